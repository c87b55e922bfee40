"""Who trains, who validates, who tests: drawn once per task, from the task's own seed.

Each class is drawn from a stream of its own, over its images in the order of their
names. So a class is cut alike in a task of five classes and in one of two hundred,
alike from a folder and from an archive, and never by a run's seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bakeoff import rng
from bakeoff.data.source import first_few
from bakeoff.errors import DataError
from bakeoff.spec.digest import sha256
from bakeoff.spec.task import Part

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """Sorted positions of the images of each part; no image is in two of them."""

    train: Indices
    validation: Indices
    test: Indices

    def digest(self, keys: Sequence[str]) -> str:
        """Identify the split by the names of the images in each part; SHA-256, hexadecimal."""
        names = {
            part: [keys[int(index)] for index in getattr(self, part)]
            for part in ("train", "validation", "test")
        }
        return sha256(names)


def cut(
    labels_N: NDArray[np.int64],
    given: Sequence[Part | None],
    class_ids: Sequence[str],
    *,
    test: float | None,
    validation: float,
    seed: int,
) -> Parts:
    """Split images that are in the order of their names.

    A part that the source gives is used as it is; what is missing is cut from the
    training images, stratified. A validation part never stands in for a missing test part.

    Args:
        labels_N: Class positions in ``[0, len(class_ids))``.
        given: The source's own part of every image; None where it has none.
        class_ids: The classes' names, for streams and messages.
        test: Share of the images to test on, when the source gives no test part; None cuts none.
        validation: Share of the remaining training images to validate on.
        seed: The task's split seed.

    Returns:
        Positions; every class is in every part that was cut. Without a test part that of training and
        validation is another one than with it.

    Raises:
        DataError: A class has too few images to be in every part that is cut, or is in
            one part of the source's own split and missing in another.
    """
    parts = np.array([part or "train" for part in given])
    train = np.flatnonzero(parts == "train")
    tested, validated = (np.flatnonzero(parts == part) for part in ("test", "validation"))
    _refuse_untrained(labels_N, train, tested, "test", class_ids)
    _refuse_untrained(labels_N, train, validated, "validation", class_ids)
    wanted = [part for part, own in (("test", tested), ("validation", validated)) if not len(own)]
    wanted = [part for part in wanted if part != "test" or test is not None]
    _refuse_small(labels_N[train], class_ids, wanted)
    for name, part in (("test", tested), ("validation", validated)):
        if len(part):
            _refuse_absent(labels_N[part], name, class_ids)
    if not len(tested) and test is not None:
        tested = _drawn(labels_N, train, class_ids, test, seed, "test", left=len(wanted))
        train = np.setdiff1d(train, tested)
    if not len(validated):
        validated = _drawn(labels_N, train, class_ids, validation, seed, "validation", left=1)
        train = np.setdiff1d(train, validated)
    return Parts(*(np.sort(part).astype(np.int64) for part in (train, validated, tested)))


def _drawn(
    labels_N: NDArray[np.int64],
    pool: Indices,
    class_ids: Sequence[str],
    share: float,
    seed: int,
    part: Part,
    left: int,
) -> Indices:
    """Draw a share of every class: at least one image, and `left` of them stay for the other parts."""
    drawn = []
    for label, class_id in enumerate(class_ids):
        members = pool[labels_N[pool] == label]
        count = min(max(1, int(np.floor(share * len(members) + 0.5))), len(members) - left)
        order = _stream(seed, part, class_id).permutation(len(members))
        drawn.append(members[order[:count]])
    return np.concatenate(drawn)


def _stream(seed: int, part: Part, class_id: str) -> np.random.Generator:
    """Open the stream of one class: its name, hashed, is the stream's counter."""
    counter = int.from_bytes(hashlib.sha256(class_id.encode(errors="surrogateescape")).digest()[:8], "big")
    return rng.generator(seed, f"split-{part}", counter)


def _refuse_small(labels_T: NDArray[np.int64], class_ids: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse a class that cannot have an image in training and in every part to be cut."""
    counts_K = np.bincount(labels_T, minlength=len(class_ids))
    needed = 1 + len(wanted)
    small = np.flatnonzero(counts_K < needed)
    if len(small):
        first = int(small[0])
        more = f" (and {len(small) - 1} more classes)" if len(small) > 1 else ""
        parts = ", ".join(["train", *wanted])
        plural = "" if counts_K[first] == 1 else "s"
        raise DataError(
            f"data: class '{class_ids[first]}' has {counts_K[first]} image{plural} to train on{more}, "
            f"expected at least {needed} ({parts})"
        )


def _refuse_untrained(
    labels_N: NDArray[np.int64], train: Indices, part: Indices, name: str, class_ids: Sequence[str]
) -> None:
    """Refuse a part with a class that training never sees."""
    strange = np.setdiff1d(labels_N[part], labels_N[train])
    if len(strange):
        raise DataError(f"data: {name} has classes without training images: {_shown(strange, class_ids)}")


def _refuse_absent(labels_P: NDArray[np.int64], name: str, class_ids: Sequence[str]) -> None:
    """Refuse a part of the source's own in which a class is missing: nobody would know how it is told."""
    absent = np.setdiff1d(np.arange(len(class_ids)), labels_P)
    if len(absent):
        raise DataError(
            f"data: the source's own {name} has no images of {_shown(absent, class_ids)}, "
            "expected every class that is trained"
        )


def _shown(labels: NDArray[np.int64], class_ids: Sequence[str]) -> str:
    """Name the first few classes."""
    return first_few([f"'{class_ids[int(label)]}'" for label in labels])
