"""Single images that are hard to learn from: blank, dark, bright, pale, blurred.

The kinds are those of cleanvision; the measures are taken from the images as they are drawn
for training, all of a chunk at once. A kind is a question to a person, not a verdict: a
night sky is dark by nature.

Shape letters: N images, H rows, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.grey import chunks, grey
from bakeoff.data.source import Progress, silent

Floats = NDArray[np.float32]

SHARP_SIDE = 64  # pixels at which sharpness is measured, when there are more
_PERCENT = 5  # of the pixels that may be otherwise in a dark or a bright image


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of image to look at: which measure, and beyond which bound."""

    measure: Literal["contrast", "bright_part", "dark_part", "sharpness"]
    side: Literal["below", "above"]
    bound: float


# Chosen by looking at the images of Tiny ImageNet that lie near them (docs/findings.md); said in words by
# `evidence.findings`. A blank image is none of the others.
KINDS = {
    "blank": Kind(measure="contrast", side="below", bound=3),
    "dark": Kind(measure="bright_part", side="below", bound=50),
    "bright": Kind(measure="dark_part", side="above", bound=235),
    "pale": Kind(measure="contrast", side="below", bound=12),
    "blurred": Kind(measure="sharpness", side="below", bound=0.05),
}


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What was measured of each image; brightness is on the scale of the bytes, 0 to 255."""

    contrast_N: Floats  # standard deviation of the brightness
    bright_part_N: Floats  # brightness that 5 % of the pixels exceed
    dark_part_N: Floats  # brightness that 95 % of the pixels exceed
    sharpness_N: Floats  # energy of the Laplacian per variance; 0 for one colour, 20 for white noise

    def of(self, kind: str) -> Floats:
        """Return the measure that decides a kind."""
        found: Floats = getattr(self, f"{KINDS[kind].measure}_N")
        return found

    def flagged(self, kind: str) -> NDArray[np.bool_]:
        """Tell for each image whether it is of a kind."""
        known, values_N = KINDS[kind], self.of(kind)
        flagged_N: NDArray[np.bool_] = (
            values_N < known.bound if known.side == "below" else values_N > known.bound
        )
        return flagged_N if kind == "blank" else flagged_N & ~self.flagged("blank")

    def worst(self, kind: str) -> NDArray[np.int64]:
        """Return the positions of the images of a kind, the worst first; equals in order."""
        index = np.flatnonzero(self.flagged(kind))
        sign = 1 if KINDS[kind].side == "below" else -1
        worst: NDArray[np.int64] = index[np.argsort(sign * self.of(kind)[index], kind="stable")]
        return worst


def measure_quality(
    images_NHWC: NDArray[np.uint8], *, enlarged: float = 1.0, progress: Progress = silent
) -> Quality:
    """Measure every image.

    Args:
        images_NHWC: Square images; read in chunks, so they may be mapped from a disk.
        enlarged: How much larger they are drawn than their files are, at the median. Sharpness
            is measured after making them that much smaller again, as drawing up blurs everything,
            and at `SHARP_SIDE` pixels at most: the larger an image, the smoother its pixels.
        progress: Told how many images are measured, as ``"measuring images"``.

    Returns:
        The measures.

    Source:
        Contrast: root mean square, Peli, "Contrast in complex images", JOSA A 7 (1990), eq. 4,
        in bytes. Dark and bright parts: percentiles, as cleanvision's "dark" and "light".
        Sharpness: energy of the Laplacian, Pertuz et al., Pattern Recognition 46 (2013), LAP1
        and 3, on the 4-neighbour kernel, divided by the variance so that contrast does not count.
    """
    images = len(images_NHWC)
    found = np.zeros((4, images), dtype=np.float32)
    for start, part_NHWC in chunks(images_NHWC):
        found[:, start : start + len(part_NHWC)] = _measured(part_NHWC, enlarged)
        progress("measuring images", start + len(part_NHWC), images)
    contrast_N, bright_N, dark_N, sharpness_N = found
    return Quality(contrast_N=contrast_N, bright_part_N=bright_N, dark_part_N=dark_N, sharpness_N=sharpness_N)


def _measured(images_NHWC: NDArray[np.uint8], enlarged: float) -> NDArray[np.float32]:
    grey_NHW = grey(images_NHWC)
    sorted_NP = np.sort(np.rint(grey_NHW).astype(np.uint8).reshape(len(grey_NHW), -1), axis=1)
    last = sorted_NP.shape[1] - 1
    low, high = round(last * _PERCENT / 100), round(last * (100 - _PERCENT) / 100)
    return np.stack([
        grey_NHW.std(axis=(1, 2)), sorted_NP[:, high], sorted_NP[:, low],
        sharpness(_reduced(grey_NHW, enlarged)),
    ]).astype(np.float32)  # fmt: skip


def sharpness(grey_NHW: Floats) -> Floats:
    """Measure how much neighbouring pixels differ, beside how much all pixels do.

    Args:
        grey_NHW: At least 3 rows and columns.

    Returns:
        Mean square of the 4-neighbour Laplacian divided by the variance: 0 for one colour, 20 for noise.
    """
    inner_NHW = grey_NHW[:, 1:-1, 1:-1]
    edges_NHW = (
        4 * inner_NHW
        - grey_NHW[:, :-2, 1:-1] - grey_NHW[:, 2:, 1:-1] - grey_NHW[:, 1:-1, :-2] - grey_NHW[:, 1:-1, 2:]
    )  # fmt: skip
    variance_N = grey_NHW.var(axis=(1, 2))
    ratio_N: Floats = (edges_NHW**2).mean(axis=(1, 2)) / np.maximum(variance_N, 1e-6)
    return ratio_N


def _reduced(grey_NHW: Floats, enlarged: float) -> Floats:
    """Average whole blocks of pixels, as many as drawing up has made of one; 4 rows stay at least."""
    images, height, width = grey_NHW.shape
    factor = max(1, min(round(max(enlarged, height / SHARP_SIDE)), height // 4, width // 4))
    if factor == 1:
        return grey_NHW
    rows, columns = height // factor, width // factor
    cut_NHW = grey_NHW[:, : rows * factor, : columns * factor]
    reduced_NHW: Floats = cut_NHW.reshape(images, rows, factor, columns, factor).mean(axis=(2, 4))
    return reduced_NHW
