"""The resizing of bytes to bytes as matrices of whole numbers, exact to the last bit.

PyTorch and Pillow resize bytes in two passes, columns first, by weights that are rounded to
fractions of a power of two. Products of whole numbers below 2^53 are exact in double
precision, in whatever order they are summed: so an exported graph gets the very bytes that
the scored network saw.

Shape letters: M pixels afterwards, N pixels before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.preprocess import Interpolation

_BITS = 15  # of a weight, beside its sign
_MOST = 22  # bits of precision, at most

_CURVE = -0.5  # of the bicubic filter, as Pillow's; PyTorch has it where it is antialiased


@dataclass(frozen=True, slots=True)
class ByteWeights:
    """One pass of a resizing: multiply, add a half, divide by two to the bits, cut off, clip to bytes."""

    weights_MN: NDArray[np.float64]  # whole numbers
    bits: int


def byte_weights(before: int, after: int, interpolation: Interpolation) -> ByteWeights:
    """Compute the weights of a pass, antialiased.

    Args:
        before: Pixels of an axis.
        after: Pixels that they become.
        interpolation: The filter.

    Returns:
        A row of weights for each pixel afterwards.

    Source:
        ATen/native/cpu/UpSampleKernel.cpp of PyTorch 2.14, the weights of 16 bits, which follow
        Pillow's Resample.c.

    >>> found = byte_weights(4, 2, "bilinear")
    >>> (found.weights_MN / 2**found.bits).round(3).tolist()
    [[0.429, 0.429, 0.143, 0.0], [0.0, 0.143, 0.429, 0.429]]
    """
    scale = before / after
    stretch = max(1.0, scale)
    reach = stretch * (2.0 if interpolation == "bicubic" else 1.0)
    shares_MN = np.zeros((after, before))
    for pixel in range(after):
        centre = scale * (pixel + 0.5)
        first, last = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), before)
        distance = np.abs((np.arange(first, last) - centre + 0.5) * (1 / stretch))
        height = _cubic(distance) if interpolation == "bicubic" else np.maximum(1 - distance, 0.0)
        shares_MN[pixel, first:last] = height / height.sum()
    bits = 0
    while bits < _MOST and int(0.5 + shares_MN.max() * 2 ** (bits + 1)) < 2**_BITS:
        bits += 1
    return ByteWeights(np.trunc(shares_MN * 2.0**bits + np.where(shares_MN < 0, -0.5, 0.5)), bits)


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate the filter at distances of 0 and more. Source: Keys, IEEE TASSP 29 (1981), eq. 8."""
    near = ((_CURVE + 2) * distance - (_CURVE + 3)) * distance * distance + 1
    far = (((distance - 5) * distance + 8) * distance - 4) * _CURVE
    return np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
