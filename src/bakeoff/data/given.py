"""Images as Python programs hold them, as one more source: arrays of bytes, paths, PIL images.

They are drawn as those of any file. What no bytes are becomes so in `data.pixels`.

Shape letters: N images, H rows, W columns, C channels.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bakeoff.cores import usable_cores
from bakeoff.data.decode import Fit, open_image
from bakeoff.data.disk import disk_errors
from bakeoff.data.source import InMemory, Item, Listing, Reader
from bakeoff.data.workers import Job, decode_all
from bakeoff.errors import ConfigError, DataError

Picture = str | os.PathLike[str] | Image.Image | NDArray[np.uint8]


class Held(InMemory):
    """Pictures in this process: any of `Picture`, in a list or as one array (N, H, W, C)."""

    def __init__(self, images: Sequence[Picture] | NDArray[np.uint8]) -> None:
        self.images = images

    def read(self, key: str) -> Image.Image:
        """Return one image; ValueError where a file cannot be read."""
        image = self.images[int(key.partition(" ")[0])]
        if isinstance(image, Image.Image):
            return image
        if isinstance(image, np.ndarray):
            return Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)
        return open_image(Path(os.path.expanduser(image)))


@dataclass(frozen=True)
class Files:
    """Files by their paths, which any process can read."""

    root: str  # where relative ones start

    def read(self, key: str) -> bytes:
        """Return a file's bytes."""
        path = os.path.expanduser(key.partition(" ")[2])
        with open(os.path.join(self.root, path), "rb") as file:
            return file.read()


@dataclass(frozen=True)
class Given:
    """Images and how they are read; a key is an image's position and, where it has one, its path."""

    keys: list[str]
    reader: Reader

    def listing(self, class_ids: Sequence[str]) -> Listing:
        """List the images with their classes.

        Args:
            class_ids: One for each image.

        Returns:
            What `prepare_listing` takes.
        """
        items = [Item(key, class_id) for key, class_id in zip(self.keys, class_ids, strict=True)]
        return Listing(items, self.reader, "memory", f"{len(items)} images given by a program")

    def drawn(self, start: int, stop: int, size: int, fit: Fit) -> NDArray[np.uint8]:
        """Draw some of the images exactly as `prepare` draws them, and keep nothing.

        Args:
            start: The first.
            stop: The one behind the last.
            size: Pixels of both sides.
            fit: How an image that is not square becomes so.

        Returns:
            images_NHWC.

        Raises:
            DataError: One cannot be read.
            ResourceError: The disk is full.
        """
        keys = self.keys[start:stop]
        with tempfile.TemporaryDirectory(prefix="bakeoff-") as folder, disk_errors(Path(folder)):
            rows_file = Path(folder) / "rows.u8"
            rows_file.touch()
            job = Job(self.reader, size, fit, rows_file)
            seen = decode_all(job, keys, usable_cores(), lambda count: None)
            bad = next((at for at, one in enumerate(seen) if one.reason), None)
            if bad is not None:
                raise DataError(f"X[{start + bad}]: {keys[bad].partition(' ')[2]}: {seen[bad].reason}")
            return np.fromfile(rows_file, dtype=np.uint8).reshape(len(keys), size, size, 3)


def given_array(images_NHWC: NDArray[np.uint8]) -> Given:
    """Take the images of one array, of one channel or three."""
    return Given([f"{position:07d}" for position in range(len(images_NHWC))], Held(images_NHWC))


def given_pictures(pictures: Sequence[Picture]) -> Given:
    """Take images one by one.

    Args:
        pictures: Paths, PIL images, arrays of uint8 and shape (H, W), (H, W, 1) or (H, W, 3).

    Returns:
        Them; files are read by as many processes as there are cores, where they are many.

    Raises:
        ConfigError: One is something else.
    """
    for position, picture in enumerate(pictures):
        _check_picture(position, picture)
    if all(isinstance(picture, str | os.PathLike) for picture in pictures):
        keys = [f"{position:07d} {os.fspath(p)}" for position, p in enumerate(pictures)]  # type: ignore[arg-type]
        return Given(keys, Files(os.getcwd()))
    return Given([f"{position:07d}" for position in range(len(pictures))], Held(pictures))


def _check_picture(position: int, picture: object) -> None:
    if isinstance(picture, str | os.PathLike | Image.Image):
        return
    if not isinstance(picture, np.ndarray):
        raise ConfigError(f"X[{position}]: got {picture!r:.60}, expected a path, a PIL image or an array")
    channels = picture.shape[2:] in ((), (1,), (3,))
    if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or not channels or not picture.size:
        raise ConfigError(
            f"X[{position}]: got an array of {picture.dtype} and shape {picture.shape}, expected uint8 "
            "and (H, W) or (H, W, 3)"
        )
