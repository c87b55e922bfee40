"""What weights have seen before a study, and what that means for its images."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORDNET = re.compile(r"n\d{8}")
_IMAGENET = re.compile(r"in(1|12|21|22)k|mae|dino")  # the last two without its labels


def seen_by(tag: str) -> str:
    """Say what weights were trained on, by the tag that timm gives them.

    >>> seen_by("fb_in22k_ft_in1k"), seen_by("in1k"), seen_by("laion2b")
    ('on ImageNet', 'on ImageNet', 'elsewhere')
    """
    return "on ImageNet" if any(_IMAGENET.fullmatch(word) for word in tag.split("_")) else "elsewhere"


def are_imagenets(class_ids: Iterable[str]) -> bool:
    """Tell whether classes carry WordNet ids, as those of ImageNet and of Tiny ImageNet do.

    >>> are_imagenets(["n01443537", "n01629819"]), are_imagenets(["cat", "dog"])
    (True, False)
    """
    return all(_WORDNET.fullmatch(name) for name in class_ids)
