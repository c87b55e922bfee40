"""The one path from an image file to pixels; whatever reads a file goes through here.

Training, evaluation, prediction and serving all see an image exactly as this module
draws it: upright, three channels, uint8, square, resized once with Pillow's
antialiased bicubic filter. Nothing is random here and nothing is normalised.

Shape letters: H rows, W columns, C channels (red, green, blue).

Fixed rules, part of `DECODER`:
- the EXIF orientation is applied; colour profiles are not;
- transparent pixels lie on white; padding is black;
- 16-bit and 32-bit whole numbers span 0..65535; floats span 0..1, or 0..255 when one is above 1;
- JPEG draft mode stays off, as it would make the pixels depend on the size asked for;
- an image that has the right size is not resampled.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bakeoff.errors import DataError

Fit = Literal["crop", "pad", "stretch"]

DECODER = "1"  # goes into every fingerprint: raise it when a rule above changes

_DARK = 4096  # 12 bits, as many cameras and scanners have, in files of 16

_ORIENTATION = 0x0112  # the EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")


def load_image(file: str | Path | bytes | BinaryIO, size: int, fit: Fit = "crop") -> NDArray[np.uint8]:
    """Read an image file and draw it as a square.

    Args:
        file: A path, the file's bytes, or an open binary file.
        size: Pixels of both sides.
        fit: How an image that is not square becomes so; see `square`.

    Returns:
        Pixels of shape (size, size, 3).

    Raises:
        DataError: The file is missing, empty, truncated or no image.
    """
    name = str(file) if isinstance(file, str | Path) else "image"
    try:
        opened = open_image(file)
    except ValueError as error:
        raise DataError(f"{name}: {error}, expected an image file") from None
    return square(opened, size, fit)


def open_image(file: str | Path | bytes | BinaryIO) -> Image.Image:
    """Decode a whole image file, in the mode that it is stored in.

    Args:
        file: A path, the file's bytes, or an open binary file.

    Returns:
        The image, its pixels in memory.

    Raises:
        ValueError: The file cannot be read; the text says why, in a few words.
    """
    try:
        content = Path(file).read_bytes() if isinstance(file, str | Path) else file
    except OSError as error:
        raise ValueError(f"unreadable ({error.strerror})") from None
    if content == b"":
        raise ValueError("an empty file")
    try:
        image = Image.open(io.BytesIO(content) if isinstance(content, bytes) else content)
        image.load()
    except UnidentifiedImageError:
        raise ValueError("not an image") from None
    except Exception as error:  # Pillow's decoders raise anything on broken data: OSError, SyntaxError, ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"unreadable ({reason})") from None
    return image


def square(image: Image.Image, size: int, fit: Fit) -> NDArray[np.uint8]:
    """Draw a decoded image as an upright RGB square.

    Args:
        image: Any mode, any size.
        size: Pixels of both sides.
        fit: ``crop`` keeps the central square; ``pad`` keeps everything and adds black
            bars; ``stretch`` keeps everything and gives up the proportions.

    Returns:
        Pixels of shape (size, size, 3).
    """
    upright = _upright(image)
    rgb = _rgb(upright)
    width, height = rgb.size
    if fit == "stretch" or width == height:
        return np.asarray(_resized(rgb, size, size))
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        return np.asarray(_resized(rgb.crop((left, top, left + side, top + side)), size, size))
    scale = size / max(width, height)
    inner = _resized(rgb, max(1, round(width * scale)), max(1, round(height * scale)))
    padded_HWC = np.zeros((size, size, 3), dtype=np.uint8)
    top, left = (size - inner.height) // 2, (size - inner.width) // 2
    padded_HWC[top : top + inner.height, left : left + inner.width] = np.asarray(inner)
    return padded_HWC


def is_dark_16_bit(image: Image.Image) -> bool:
    """Tell whether an image of 16 or 32 bits uses 12 or fewer: drawn by the rules, it is almost black."""
    return image.mode.startswith("I") and int(np.asarray(image).max()) < _DARK


def _resized(image: Image.Image, width: int, height: int) -> Image.Image:
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # broken EXIF beside sound pixels: the image is taken as it lies
        orientation = 1
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        return _on_white(image)
    if image.mode.startswith("I"):  # I, I;16 and its byte orders
        values_HW = np.asarray(image).astype(np.float64) / 257  # 65535 / 255
        return _from_grey(values_HW)
    if image.mode == "F":
        values_HW = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0.0, neginf=0.0)
        return _from_grey(values_HW * 255 if values_HW.max() <= 1 else values_HW)
    return image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, rgba).convert("RGB")


def _from_grey(values_HW: NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(values_HW), 0, 255).astype(np.uint8)).convert("RGB")
