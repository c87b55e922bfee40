"""What weights have seen before a study, and what that means for its images."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORDNET = re.compile(r"n\d{8}")
# Parts of timm's tags. Without its labels ImageNet was seen by the masked autoencoders, by DINO, and by
# its successors, whose images (LVD) were collected around it (Oquab et al., TMLR 2024, section 3).
_IMAGENET = re.compile(r"inw?(1|12|21|22)k|(fc)?mae|dino|lvd\d+m")
_OTHERS = re.compile(
    r"openai|webli|laion\w*|datacomp\w*|dfn\w*|merged2b|metaclip\w*|tinyclip|yfcc\w*|sa1b|swag|wsl|seer|jft"
)


def seen_by(tag: str) -> str:
    """Say what weights were trained on, by the tag that timm gives them.

    >>> seen_by("fb_in22k_ft_in1k"), seen_by("fcmae"), seen_by("laion2b"), seen_by("fb")
    ('on ImageNet', 'on ImageNet', 'elsewhere', 'on images that are not known')
    """
    words = tag.split("_")
    if any(_IMAGENET.fullmatch(word) for word in words):
        return "on ImageNet"
    known = any(_OTHERS.fullmatch(word) for word in words)
    return "elsewhere" if known else "on images that are not known"


def are_imagenets(class_ids: Iterable[str]) -> bool:
    """Tell whether classes carry WordNet ids, as those of ImageNet and of Tiny ImageNet do.

    >>> are_imagenets(["n01443537", "n01629819"]), are_imagenets(["cat", "dog"])
    (True, False)
    """
    return all(_WORDNET.fullmatch(name) for name in class_ids)
