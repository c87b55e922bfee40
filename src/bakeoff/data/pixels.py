"""From numbers in an array to pixels: which number is black, which is white, and where each one lies.

Both are learned once and then kept, so that the same number is the same pixel ever after. Bytes
(uint8) are pixels already.

Shape letters: N images, H rows, W columns, C channels, F numbers of an image that is one row; X is
whatever follows N.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import ConfigError

Shape = tuple[int, int, int]  # H, W, C

_CHUNK = 1024  # images whose numbers become bytes at once


@dataclass(frozen=True, slots=True)
class Scale:
    """Which number is black and which is white; for all alike, or for each column of rows."""

    low: NDArray[np.float64]  # of shape (), or (F,)
    high: NDArray[np.float64]
    of_bytes: bool = False  # whether it holds for bytes too; else they are pixels already

    def to_bytes(self, values_NX: NDArray[Any]) -> NDArray[np.uint8]:
        """Map numbers to bytes; what lies outside becomes black or white.

        Args:
            values_NX: Numbers without NaN, of any shape that begins with N.

        Returns:
            Of the same shape.

        Raises:
            ConfigError: They are on another scale than this, which would show black images or white ones.

        >>> scale = Scale(np.array(0.0), np.array(16.0))
        >>> scale.to_bytes(np.array([[0.0, 8.0, 16.0, 99.0, -1.0]])).tolist()
        [[0, 128, 255, 255, 0]]
        """
        if not self.of_bytes:
            self._refuse_other(values_NX)
            if values_NX.dtype == np.uint8:
                return values_NX
        bytes_NX = np.empty(values_NX.shape, dtype=np.uint8)
        step = 255 / (self.high - self.low)
        for start in range(0, len(values_NX), _CHUNK):
            part = values_NX[start : start + _CHUNK].astype(np.float64)
            bytes_NX[start : start + _CHUNK] = np.floor(np.clip((part - self.low) * step, 0, 255) + 0.5)
        return bytes_NX

    def _refuse_other(self, values_NX: NDArray[Any]) -> None:
        """Refuse bytes after numbers of a range of their own, and fractions after bytes."""
        low, high = float(self.low), float(self.high)
        if values_NX.dtype == np.uint8 and (low, high) not in ((0, 1), (0, 255)):
            raise ConfigError(
                f"X: got bytes (uint8), but fit saw numbers from {low:g} to {high:g}; give both alike"
            )
        if values_NX.dtype != np.uint8 and (low, high) == (0, 255) and 0 < values_NX.max() <= 1:
            raise ConfigError("X: got numbers from 0 to 1, but fit saw numbers up to 255; give both alike")


def learn_scale(values_NX: NDArray[Any], *, each_column: bool = False) -> Scale:
    """Find out which number is black and which is white.

    Args:
        values_NX: Numbers without NaN.
        each_column: Whether every column of rows has a scale of its own.

    Returns:
        0 to 255 for bytes; 0 to 1 where all numbers lie in it; else from the smallest to the largest. For
        columns always from the smallest to the largest. A number that never varies is black.

    >>> learn_scale(np.array([[0.0, 0.5]])).high, learn_scale(np.array([[0.0, 16.0]])).high
    (array(1.), array(16.))
    """
    if each_column:
        low, high = values_NX.min(axis=0).astype(np.float64), values_NX.max(axis=0).astype(np.float64)
    elif values_NX.dtype == np.uint8:
        low, high = np.array(0.0), np.array(255.0)
    else:
        low, high = np.array(float(values_NX.min())), np.array(float(values_NX.max()))
        if low >= 0 and high <= 1:
            low, high = np.array(0.0), np.array(1.0)
    return Scale(low, np.where(high > low, high, low + 1), of_bytes=each_column)


def in_shape(rows_NF: NDArray[np.uint8], shape: Shape) -> NDArray[np.uint8]:
    """Lay rows of bytes out as images, row by row and the channels last; what is left stays black.

    Args:
        rows_NF: At most H * W * C bytes of each image.
        shape: H, W, C.

    Returns:
        images_NHWC.
    """
    places = math.prod(shape)
    if rows_NF.shape[1] < places:
        rows_NF = np.pad(rows_NF, ((0, 0), (0, places - rows_NF.shape[1])))
    return rows_NF.reshape(len(rows_NF), *shape)


def shape_of(values_NX: NDArray[Any], asked: Sequence[int] | Literal["square"] | None) -> Shape:
    """Find out the height, the width and the channels of images in an array.

    Args:
        values_NX: Images (N, H, W) or (N, H, W, C), or rows (N, F).
        asked: Of rows: (H, W), (H, W, C), ``"square"`` for the smallest square that holds them, or None for
            a grey square that they fill.

    Returns:
        H, W, C.

    Raises:
        ConfigError: Rows have another number of columns.

    >>> shape_of(np.zeros((5, 64)), None), shape_of(np.zeros((5, 10)), "square")
    ((8, 8, 1), (4, 4, 1))
    """
    if values_NX.ndim > 2:
        height, width, *channels = values_NX.shape[1:]
        return height, width, channels[0] if channels else 1
    columns = values_NX.shape[1]
    side = math.isqrt(columns - 1) + 1
    if asked == "square" or (asked is None and side * side == columns):
        return side, side, 1
    if asked is None:
        raise ConfigError(
            f"image_shape: needed for rows of {columns} numbers, which are no grey square; expected "
            "(H, W, C), or 'square' for features that are no image"
        )
    shape = tuple(asked) if not isinstance(asked, str) else ()
    shape = (*shape, 1) if len(shape) == 2 else shape
    if len(shape) != 3 or shape[2] not in (1, 3) or math.prod(shape) != columns:
        raise ConfigError(
            f"image_shape: got {asked!r} for rows of {columns} numbers, expected (H, W) or (H, W, C) with as "
            "many in all and 1 or 3 channels, or 'square'"
        )
    return shape


@dataclass(frozen=True, slots=True)
class Reading:
    """How the arrays of a training, and those that come later, are read; None where it was given no array."""

    shape: Shape | None = None
    scale: Scale | None = None

    @property
    def is_of_features(self) -> bool:
        """Whether each column has a scale of its own: it is no part of an image."""
        return self.scale is not None and self.scale.low.ndim == 1

    def images(self, values_NX: NDArray[Any]) -> NDArray[np.uint8]:
        """Turn an array into images.

        Args:
            values_NX: Images (N, H, W) or (N, H, W, C) of any size, or rows (N, F) as those that it was
                learned from.

        Returns:
            images_NHWC.

        Raises:
            ConfigError: Nothing was learned about such arrays, or they are on another scale.
        """
        if self.scale is None:
            if values_NX.dtype != np.uint8:
                raise ConfigError(f"X: got {values_NX.dtype}, but fit saw pictures; expected uint8")
            bytes_NX: NDArray[np.uint8] = values_NX
        else:
            bytes_NX = self.scale.to_bytes(values_NX)
        if values_NX.ndim > 2:
            return bytes_NX if values_NX.ndim == 4 else bytes_NX[..., None]
        if self.shape is None:
            raise ConfigError(
                "X: got rows, but fit saw pictures; expected pictures, or an array (N, H, W, 3)"
            )
        return in_shape(bytes_NX, self.shape)


def learn_reading(
    values_NX: NDArray[Any],
    asked: Sequence[int] | Literal["square"] | None = None,
    value_range: tuple[float, float] | None = None,
) -> Reading:
    """Find out how an array is read.

    Args:
        values_NX: As for `shape_of`; numbers without NaN.
        asked: Likewise.
        value_range: The numbers that are black and white; None learns them.

    Returns:
        What reads this array and others like it.

    Raises:
        ConfigError: Shape or range do not fit.
    """
    shape = shape_of(values_NX, asked)
    if value_range is None:
        return Reading(shape, learn_scale(values_NX, each_column=values_NX.ndim == 2 and asked == "square"))
    low, high = value_range
    if not low < high:
        raise ConfigError(f"value_range: got {value_range}, expected two numbers, the smaller one first")
    return Reading(shape, Scale(np.array(float(low)), np.array(float(high)), of_bytes=True))
