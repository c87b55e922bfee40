"""From a task to its images, labels and split, as one call.

Find the source, list it, choose the classes, decode what is not decoded yet, leave out
or refuse what cannot be read, cut the split. The user's files are only ever read.

Shape letters: N images, H rows, W columns, C channels.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bakeoff.cores import usable_cores
from bakeoff.data.cache import Note, Wanted, decoded
from bakeoff.data.classes import choose_classes
from bakeoff.data.locate import open_source
from bakeoff.data.source import Item, Listing, Opening, Progress, silent
from bakeoff.data.split import Indices, Parts, cut
from bakeoff.errors import ConfigError, DataError
from bakeoff.homes import cache_home, data_home
from bakeoff.spec.task import TaskSpec


@dataclass(frozen=True)
class TaskData:
    """A task's images with their labels and parts; all per-image lists in the order of the keys."""

    # Images
    images_NHWC: NDArray[np.uint8]  # on disk, read-only; three channels, square
    labels_N: NDArray[np.int64]  # positions in class_ids
    keys: list[str]  # names in the source, with '/'
    digests: list[str]  # SHA-256 of the contents; equal digests are equal files
    # Classes
    class_ids: list[str]  # sorted
    class_names: list[str]  # for people, in the same order
    # Parts: sorted positions
    train: Indices
    validation: Indices
    test: Indices
    # Identity
    fingerprint: str  # of names, labels, contents and drawing; SHA-256, hexadecimal
    split_digest: str  # of the names in each part; SHA-256, hexadecimal
    # How it went
    source: str  # a sentence for people
    unreadable: list[dict[str, str]]  # file, reason; left out for every candidate
    ignored: int  # image files of the source that belong to no class
    modes: dict[str, int]  # how the files store pixels, Pillow's names
    widths: list[float]  # smallest, median, largest of the files; pixels
    heights: list[float]
    seconds: float
    cached: bool  # whether the images had been decoded before
    ignored_files: dict[str, int] = field(default_factory=dict)  # the source's other files, by suffix
    dark_16_bit: int = 0  # images of 16 bits that hold 12 or fewer: almost black

    def describe(self) -> dict[str, Any]:
        """Say what the data is, as plain values for a record."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        counts = {part: self._counts(indices) for part, indices in parts.items()}
        return {
            "source": self.source,
            "fingerprint": self.fingerprint,
            "split_digest": self.split_digest,
            "images": len(self.keys),
            "image_size": int(self.images_NHWC.shape[1]),
            "parts": {part: len(indices) for part, indices in parts.items()},
            "classes": [
                {"id": class_id, "name": name, **{part: counts[part][label] for part in parts}}
                for label, (class_id, name) in enumerate(zip(self.class_ids, self.class_names, strict=True))
            ],
            "modes": self.modes,
            "widths": dict(zip(("min", "median", "max"), self.widths, strict=False)),
            "heights": dict(zip(("min", "median", "max"), self.heights, strict=False)),
            "unreadable": self.unreadable,
            "ignored": self.ignored,
            "ignored_files": self.ignored_files,
            "dark_16_bit": self.dark_16_bit,
            "leaks": self.leaks(),
            "seconds": round(self.seconds, 3),
            "cached": self.cached,
        }

    def leaks(self) -> dict[str, int]:
        """Count the images of one part whose very bytes are in another.

        Returns:
            For ``"train-test"`` and ``"validation-test"`` the number of test images, for
            ``"train-validation"`` of validation images.
        """
        train, validation = (
            {self.digests[index] for index in part} for part in (self.train, self.validation)
        )

        def among(part: Indices, others: set[str]) -> int:
            return sum(self.digests[index] in others for index in part)

        return {
            "train-test": among(self.test, train),
            "validation-test": among(self.test, validation),
            "train-validation": among(self.validation, train),
        }

    def _counts(self, indices: Indices) -> list[int]:
        return [int(n) for n in np.bincount(self.labels_N[indices], minlength=len(self.class_ids))]


def prepare(
    task: TaskSpec,
    *,
    locations: Mapping[str, Path] | None = None,
    base_dir: Path,
    cache_dir: Path | None = None,
    decoders: int | None = None,
    on_corrupt: Literal["stop", "exclude"] = "stop",
    download: bool = True,
    progress: Progress | None = None,
) -> TaskData:
    """Make a task's images, labels and split ready for training.

    Args:
        task: Which data, which classes, how drawn, how split.
        locations: Paths that the user gave for sources by name.
        base_dir: What relative paths in the task refer to.
        cache_dir: Where decoded images are kept; by default `cache_home`.
        decoders: Processes that decode; by default one per core.
        on_corrupt: What to do when an image cannot be read.
        download: Whether a missing source may be fetched from the network.
        progress: Told the stage, how much is done and of how much.

    Returns:
        The data; equal for equal files and settings, wherever and whenever.

    Raises:
        ConfigError: The source or a class has another name, or the path is missing, or
            there would be no worker.
        DataError: The images or labels are not usable.
        ResourceError: The disk is full, or the network is needed and not there.
    """
    began = time.perf_counter()
    cache_dir = cache_dir if cache_dir is not None else cache_home()
    opening = Opening(cache_dir, data_home(), download, progress or silent)
    _refuse_no_worker(decoders)
    listing = open_source(task.data, locations or {}, base_dir, opening)
    return prepare_listing(
        task, listing, cache_dir=cache_dir, decoders=decoders, on_corrupt=on_corrupt, progress=progress,
        began=began,
    )  # fmt: skip


def prepare_listing(
    task: TaskSpec,
    listing: Listing,
    *,
    cache_dir: Path,
    decoders: int | None = None,
    on_corrupt: Literal["stop", "exclude"] = "stop",
    progress: Progress | None = None,
    tested: bool = True,
    began: float | None = None,
) -> TaskData:
    """Make images that are listed already ready for training.

    Args:
        task: Which classes, how drawn, how split; its source is not looked at.
        listing: The images.
        cache_dir: Where decoded images are kept.
        decoders: As for `prepare`.
        on_corrupt: Likewise.
        progress: Likewise.
        tested: Whether there is to be a test part; without one, the task says nothing of new images.
        began: When the work on them began, by `time.perf_counter`; None is now.

    Returns:
        As `prepare`.

    Raises:
        ConfigError: A class has another name, or there would be no worker.
        DataError: The images or labels are not usable.
        ResourceError: The disk is full.
    """
    _refuse_no_worker(decoders)
    began = time.perf_counter() if began is None else began
    wanted = _wanted(task, listing)
    # Before the long pass: it may be refused.
    _cut(task, wanted.items, wanted.labels, wanted.class_ids, tested)
    images_NHWC, note, cached = decoded(wanted, cache_dir, decoders or usable_cores(), progress or silent)
    if note.unreadable and on_corrupt == "stop":
        raise _corrupt(note.unreadable, listing.place)
    lost = {entry["file"] for entry in note.unreadable}
    items = [item for item in wanted.items if item.key not in lost]
    labels_N = np.array([label for item, label in zip(wanted.items, wanted.labels, strict=True)
                         if item.key not in lost], dtype=np.int64)  # fmt: skip
    try:
        parts = _cut(task, items, labels_N, wanted.class_ids, tested)
    except DataError as error:  # they sufficed before the unreadable ones were left out
        first, more = note.unreadable[0], len(note.unreadable) - 1
        others = f" and {more} more" if more else ""
        raise DataError(
            f"{error}; left out because they cannot be read: {first['file']} ({first['reason']}){others}"
        ) from None
    keys = [item.key for item in items]
    return _task_data(images_NHWC, labels_N, keys, parts, wanted, listing, note, began, cached)


def _refuse_no_worker(decoders: int | None) -> None:
    if decoders is not None and decoders < 1:
        raise ConfigError(f"--decoders: got {decoders}, expected a whole number of at least 1")


def _cut(
    task: TaskSpec,
    items: Sequence[Item],
    labels: Sequence[int] | NDArray[np.int64],
    class_ids: Sequence[str],
    tested: bool,
) -> Parts:
    """Split as the task says."""
    return cut(
        np.asarray(labels, dtype=np.int64), [item.split for item in items], class_ids,
        test=task.test if tested else None, validation=task.validation, seed=task.split_seed,
    )  # fmt: skip


def _wanted(task: TaskSpec, listing: Listing) -> Wanted:
    """Choose the classes' images and put them in the order of their names."""
    every = sorted({item.class_id for item in listing.items})
    if len(every) < 2:
        shown = f"one class ('{every[0]}')" if every else "no classes"
        raise DataError(f"data: {shown} in {listing.place}, expected at least 2")
    class_ids = choose_classes(task.classes, every, listing.names)
    label_of = {class_id: label for label, class_id in enumerate(class_ids)}
    items = sorted((item for item in listing.items if item.class_id in label_of), key=lambda item: item.key)
    twins = [key for key, count in Counter(item.key for item in items).items() if count > 1]
    if twins:
        raise DataError(f"data: '{twins[0]}' is listed twice in {listing.place}")
    labels = [label_of[item.class_id] for item in items]
    return Wanted(items, labels, class_ids, listing.place, listing.reader, task.image_size, task.fit)


def _corrupt(unreadable: Sequence[Mapping[str, str]], place: str) -> DataError:
    """Name the first few files that cannot be read, and the way out."""
    shown = ", ".join(f"{entry['file']}: {entry['reason']}" for entry in unreadable[:3])
    more = f" and {len(unreadable) - 3} more" if len(unreadable) > 3 else ""
    files = "1 file" if len(unreadable) == 1 else f"{len(unreadable)} files"
    return DataError(
        f"data: {files} in {place} cannot be read ({shown}{more}); "
        "repair or remove them, or leave them out with --on-corrupt exclude"
    )


def _task_data(
    images_NHWC: NDArray[np.uint8],
    labels_N: NDArray[np.int64],
    keys: list[str],
    parts: Parts,
    wanted: Wanted,
    listing: Listing,
    note: Note,
    began: float,
    cached: bool,
) -> TaskData:
    return TaskData(
        images_NHWC=images_NHWC,
        labels_N=labels_N,
        keys=keys,
        digests=note.digests,
        class_ids=list(wanted.class_ids),
        class_names=[listing.names.get(class_id, class_id) for class_id in wanted.class_ids],
        train=parts.train,
        validation=parts.validation,
        test=parts.test,
        fingerprint=note.fingerprint,
        split_digest=parts.digest(keys),
        source=listing.sentence,
        unreadable=note.unreadable,
        ignored=listing.ignored,
        modes=note.modes,
        widths=note.widths,
        heights=note.heights,
        seconds=time.perf_counter() - began,
        cached=cached,
        ignored_files=dict(listing.ignored_files),
        dark_16_bit=note.dark_16_bit,
    )
