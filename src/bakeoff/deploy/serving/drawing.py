"""From a file that a stranger sent to pixels, once its header has been seen.

An image's size is read from its header, and one that is too large is never decoded: a few
kilobytes of PNG can ask for gigabytes of pixels. What passes is drawn by `data.decode`, as files on
the disk are; the file is opened once, as that takes as long as decoding a small one.

Shape letters: H rows, W columns.
"""

from __future__ import annotations

import io
import re

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bakeoff.data.decode import Fit, square
from bakeoff.deploy.serving.limits import Limits
from bakeoff.deploy.serving.refusals import Refusal
from bakeoff.deploy.serving.uploads import Upload

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
LARGE = 4_000_000  # pixels from which on an image has to wait for other large ones

_NAMES = "JPEG, PNG, WebP, GIF, BMP or TIFF"
_BEGINNINGS = (
    b"\xff\xd8", b"\x89PNG", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+",
)  # fmt: skip
_WIDE_MODES = ("I", "F")  # whole numbers of 16 and 32 bits, floats: drawn through 64 bits a pixel
_WIDE = 4  # times the memory of another image


def opened(upload: Upload, limits: Limits) -> Image.Image:
    """Read an image's header, without decoding it.

    Args:
        upload: The file.
        limits: On pixels.

    Returns:
        The image, its pixels not in memory yet.

    Raises:
        Refusal: It is no image, of a format that is not accepted, or too large.
    """
    if not upload.content:
        raise Refusal("empty", f"{upload.name}: an empty file, expected an image")
    try:
        image = Image.open(io.BytesIO(upload.content), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow's own guard, which the server sets to the same limit, met it while it read the header.
        found = re.search(r"\d+", str(error))
        raise _too_many_pixels(upload, f"{int(found[0]):,}" if found else "more", limits) from None
    except UnidentifiedImageError:
        raise _unidentified(upload) from None
    except Exception as error:  # Pillow's readers of headers raise anything on broken data
        raise _unreadable(upload, error) from None
    if pixels_of(image) > limits.max_pixels:
        raise _too_many_pixels(upload, f"{image.width} x {image.height}", limits)
    return image


def pixels_of(image: Image.Image) -> int:
    """Count what an image costs: its pixels, fourfold when they have 16 bits or more."""
    return image.width * image.height * (_WIDE if image.mode.startswith(_WIDE_MODES) else 1)


def draw(image: Image.Image, upload: Upload, size: int, fit: Fit) -> NDArray[np.uint8]:
    """Decode an image whose header has passed, and draw it as the study's images were drawn.

    Args:
        image: As `opened` has returned it.
        upload: Its file.
        size: Pixels of both sides.
        fit: How an image that is not square becomes so.

    Returns:
        Pixels of shape (size, size, 3).

    Raises:
        Refusal: It is truncated or damaged.
    """
    try:
        image.load()
        return square(image, size, fit)
    except Exception as error:  # Pillow's decoders raise anything on broken data: OSError, SyntaxError, ...
        raise _unreadable(upload, error) from None


def _unidentified(upload: Upload) -> Refusal:
    if upload.content.startswith(_BEGINNINGS):
        return _unreadable(upload, "damaged at its beginning")
    return Refusal("wrong_type", f"{upload.name}: not an image that is read here, expected {_NAMES}")


def _unreadable(upload: Upload, why: object) -> Refusal:
    words = " ".join(str(why).split())[:120] or type(why).__name__
    return Refusal("unreadable", f"{upload.name}: unreadable ({words}), expected a whole image file")


def _too_many_pixels(upload: Upload, came: str, limits: Limits) -> Refusal:
    return Refusal(
        "too_many_pixels",
        f"{upload.name}: got {came} pixels, expected at most {limits.max_pixels:,} (--max-pixels)",
    )
