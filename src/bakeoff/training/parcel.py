"""A job on its way to another process: its settings, and its images by reference.

The images of a task are one array on disk, far larger than all the rest, and the lists of their names
and digests are long too. So what describes the images travels once for each task, and the pixels
not at all where the other process can map the same file.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.prepare import TaskData
from bakeoff.errors import DataError
from bakeoff.training.job import Job

DataKey = tuple[str, str]  # fingerprint of the images, digest of the split


@dataclass(frozen=True, slots=True)
class Mapped:
    """An array that lies in a file, whole."""

    path: Path
    shape: tuple[int, ...]

    def open(self) -> NDArray[np.uint8]:
        """Map it into memory.

        Returns:
            The array, read-only.

        Raises:
            DataError: The file is not there, or is another one.
        """
        try:
            if self.path.stat().st_size != int(np.prod(self.shape, dtype=np.int64)):
                raise DataError(f"data: {self.path} is no longer the file that holds the study's images")
            return np.memmap(self.path, dtype=np.uint8, mode="r", shape=self.shape)
        except OSError as error:
            raise DataError(f"data: cannot read the images in {self.path}: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class DataParcel:
    """A task's images without their pixels, and where these are."""

    data: TaskData  # its images an empty array
    images: Mapped | NDArray[np.uint8]  # an array where no file holds it

    def open(self, mapped: Mapped | None = None) -> TaskData:
        """Put the images back.

        Args:
            mapped: Where they lie instead; None is where they lay for who packed them.

        Returns:
            What was packed.

        Raises:
            DataError: The file is not there, or is another one.
        """
        place = mapped or self.images
        images_NHWC = place.open() if isinstance(place, Mapped) else place
        return replace(self.data, images_NHWC=images_NHWC)


def key_of(data: TaskData) -> DataKey:
    """Tell tasks' images apart."""
    return data.fingerprint, data.split_digest


def pack_data(data: TaskData) -> DataParcel:
    """Describe a task's images for another process."""
    images_NHWC = data.images_NHWC
    empty = replace(data, images_NHWC=np.zeros((0, *images_NHWC.shape[1:]), np.uint8))
    return DataParcel(empty, _whole_file(images_NHWC) or images_NHWC)


def _whole_file(array: NDArray[np.uint8]) -> Mapped | None:
    """Find the file that an array is all of, in its order."""
    if not isinstance(array, np.memmap) or array.filename is None or not array.flags.c_contiguous:
        return None
    path = Path(array.filename).absolute()
    return Mapped(path, array.shape) if path.stat().st_size == array.nbytes else None


def pack_job(job: Job) -> bytes:
    """Write a job without its images."""
    return pickle.dumps(replace(job, data=cast("TaskData", None)))


def unpack_job(packed: bytes, data: TaskData) -> Job:
    """Read a job back, with its images."""
    job: Job = pickle.loads(packed)
    return replace(job, data=data)
