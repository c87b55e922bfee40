"""A heat map over its image, as one small picture inside the page.

The image lies below in grey, the heat above it in colours whose lightness rises with the heat alone:
they can be read in grey and without a sense of colour, on a light page and on a dark one.

Shape letters: H rows, W columns, h and w positions of a map, S pixels of a side.
"""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image, features

SIZE = 64  # pixels of a picture's side
TINY = 16  # pixels up to which an image is enlarged in squares, so that its own pixels are seen
STRENGTH = 0.6  # of the colours over the grey image

# Inferno of matplotlib (van der Walt and Smith, 2015, CC0), nine of its colours evenly spaced.
STOPS = (
    "#000004", "#210c4a", "#57106e", "#8a226a", "#bc3754", "#e45a31", "#f98e09", "#f9cb35", "#fcffa4",
)  # fmt: skip
_COLOURS = np.array([[int(stop[at : at + 2], 16) for at in (1, 3, 5)] for stop in STOPS], dtype=np.float64)


def colours(heat_HW: np.ndarray) -> np.ndarray:
    """Colour heat in [0, 1]; float64 on the scale of bytes, of shape (H, W, 3).

    >>> colours(np.array([[0.0, 1.0]])).tolist()
    [[[0.0, 0.0, 4.0], [252.0, 255.0, 164.0]]]
    """
    places = np.linspace(0, 1, len(_COLOURS))
    return np.stack([np.interp(heat_HW, places, _COLOURS[:, channel]) for channel in range(3)], axis=-1)


def enlarged(map_hw: np.ndarray, size: int = SIZE) -> np.ndarray:
    """Bring a map of bytes to a picture's size, bilinearly, its strongest place to 1.

    Args:
        map_hw: As it is kept.
        size: Pixels of both sides.

    Returns:
        Heat in [0, 1], float64; 0 everywhere where the map is.
    """
    picture = Image.fromarray(np.ascontiguousarray(map_hw, dtype=np.float32))
    heat_SS = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR), dtype=np.float64)
    return heat_SS / max(float(heat_SS.max()), 1e-12) if map_hw.any() else heat_SS


def overlaid(image_HWC: np.ndarray, map_hw: np.ndarray, size: int = SIZE) -> np.ndarray:
    """Lay a map over its image.

    Args:
        image_HWC: uint8.
        map_hw: uint8.
        size: Pixels of both sides of the picture.

    Returns:
        uint8 of shape (S, S, 3); without any heat the grey image alone.
    """
    grey_SS = np.asarray(_drawn(image_HWC, size).convert("L"), dtype=np.float64)[..., None]
    if not map_hw.any():
        return np.repeat(grey_SS, 3, axis=2).astype(np.uint8)
    mixed_SSC = (1 - STRENGTH) * grey_SS + STRENGTH * colours(enlarged(map_hw, size))
    return np.rint(mixed_SSC).astype(np.uint8)


def _drawn(image_HWC: np.ndarray, size: int) -> Image.Image:
    """Bring an image to a picture's size."""
    image = Image.fromarray(np.ascontiguousarray(image_HWC))
    tiny = max(image.size) <= TINY
    return image.resize((size, size), Image.Resampling.NEAREST if tiny else Image.Resampling.BICUBIC)


def picture(image_HWC: np.ndarray, size: int = SIZE) -> str:
    """Write an image into the page, at a picture's size."""
    return _uri(_drawn(image_HWC, size))


def overlay(image_HWC: np.ndarray, map_hw: np.ndarray, size: int = SIZE) -> str:
    """Write an image with its heat into the page."""
    return _uri(Image.fromarray(overlaid(image_HWC, map_hw, size)))


def _uri(image: Image.Image) -> str:
    """Write a picture in a kilobyte or two; equal pixels give equal bytes."""
    file = io.BytesIO()
    if features.check("webp"):
        image.save(file, "WEBP", quality=70, method=6)
        kind = "webp"
    else:  # a build of Pillow without it; its wheels have it
        image.save(file, "JPEG", quality=70, optimize=True)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def where(map_hw: np.ndarray) -> str:
    """Say where a map's strongest place is, by thirds; empty for a map without heat.

    >>> where(np.uint8([[0, 0, 9], [0, 0, 0], [0, 0, 0]])), where(np.uint8([[7]])), where(np.uint8([[0]]))
    ('at the upper right', 'in the middle', '')
    """
    if not map_hw.any():
        return ""
    heat_SS = enlarged(map_hw)
    row, column = np.unravel_index(int(heat_SS.argmax()), heat_SS.shape)
    # Several equal places, such as a map that is the same everywhere, meet in their middle.
    rows, columns = np.nonzero(heat_SS >= heat_SS[row, column] - 1e-6)
    thirds = [int(3 * (float(np.mean(places)) + 0.5) / SIZE) for places in (rows, columns)]
    vertical, horizontal = ("upper", "", "lower")[thirds[0]], ("left", "", "right")[thirds[1]]
    if not (vertical or horizontal):
        return "in the middle"
    if vertical and horizontal:
        return f"at the {vertical} {horizontal}"
    return {"upper": "at the top", "lower": "at the bottom"}.get(vertical, f"at the {horizontal}")
