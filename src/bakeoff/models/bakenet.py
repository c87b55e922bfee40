"""bakeoff's own networks for training from scratch in minutes; docs/findings.md has how they came about.

A whitening layer set by the images, a stem, a stage that only widens, and two stages with a residual
pair, each entered by a convolution and a maximum over 2x2 pixels; GELU; a dense layer behind the mean.
Larger images are first cut into patches, so that one of 64 pixels costs what one of 32 does.

Sources: Page, "How to Train Your ResNet", 2018, part 4 (residual pairs at two of the scales) and 2019,
part 8 (whitening); Jordan, arXiv 2404.00498 (GELU, the maximum before the norm).
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from bakeoff.models.macro import build_macro
from bakeoff.spec.macro import Macro, MacroStage

WIDTHS = {  # channels of the stem and of the three stages
    "s": (24, 48, 128, 192),
    "m": (48, 96, 256, 384),
}


def describe(size: str, image_size: int) -> Macro:
    """Lay out one of the networks.

    Args:
        size: ``s`` or ``m``.
        image_size: Pixels of a side of its images; of 48 and more 2x2 become one, of 96 and more 4x4.

    Returns:
        Its description, for a study's ``network = {...}`` or as code.

    >>> describe("s", 32).words, describe("s", 64).patch
    ('plain/residual 48x0 128x1 192x1, stem plain 24, gelu, whitened 2', 2)
    """
    stem, first, second, third = WIDTHS[size]
    patch: Literal[1, 2, 4] = 1 if image_size < 48 else 2 if image_size < 96 else 4
    return Macro(
        whiten=4 if patch == 4 else 2,
        patch=patch,
        stem_width=stem,
        activation="gelu",
        stages=(
            MacroStage(width=first, depth=0, block="plain", down="pool"),
            MacroStage(width=second, down="pool"),
            MacroStage(width=third, down="pool"),
        ),
    )


def bakenet(size: str, classes: int, image_size: int) -> nn.Module:
    """Build one of the networks, as `models.catalog` has them."""
    return build_macro(describe(size, image_size), classes)
