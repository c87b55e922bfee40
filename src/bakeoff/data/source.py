"""What every data source lists: which images there are, their class, and how to read one.

A source says what exists without opening a single image; decoding, splitting and
caching are the same for all of them and live elsewhere.
"""

from __future__ import annotations

import os.path
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from PIL import Image

from bakeoff.spec.task import Part

Progress = Callable[[str, int, int], None]  # what is done, how much, of how much

SPLIT_FOLDERS: Mapping[str, Part] = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip

IMAGE_SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff",
     ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif"]
)  # fmt: skip


def is_image_name(name: str) -> bool:
    """Tell by its name whether a file claims to be an image.

    >>> is_image_name("a/b.JPEG"), is_image_name("a/boxes.txt")
    (True, False)
    """
    dot = name.rfind(".")
    return dot >= 0 and name[dot:].lower() in IMAGE_SUFFIXES


def count_ignored(names: Iterable[str]) -> dict[str, int]:
    """Count by suffix the files that do not claim to be images, so that none vanishes unsaid.

    >>> count_ignored(["a/1.png", "a/2.HEIC", "b/3.heic", "README"])
    {'': 1, '.heic': 2}
    """
    suffixes = (os.path.splitext(name)[1].lower() for name in names if not is_image_name(name))
    return dict(sorted(Counter(suffixes).items()))


def first_few(names: Sequence[str]) -> str:
    """Name three at most, for a message of one line.

    >>> first_few(["ant", "bee", "cat", "dog", "eel"])
    'ant, bee, cat and 2 more'
    """
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a source."""

    key: str  # its name in the source, with '/', such as "train/cat/7.png"
    class_id: str
    split: Part | None = None  # None where the source has no split of its own
    stamp: str = ""  # what the listing knows of the content: size, times, checksum


class Reader(Protocol):
    """Opens single images, in any process; can be pickled unless it is an `InMemory`."""

    def read(self, key: str) -> bytes | Image.Image:
        """Return a file's bytes, or an image that never was a file."""
        ...


class InMemory:
    """Base of readers whose images never were files: they stay in this process."""

    def read(self, key: str) -> Image.Image:
        """Return one image."""
        raise NotImplementedError


@dataclass(frozen=True)
class Listing:
    """All images of a source, unread."""

    items: list[Item]
    reader: Reader
    place: str  # tells apart two sources with equal listings: an absolute path, or name and version
    sentence: str  # for people: what this is, and from where
    names: Mapping[str, str] = field(default_factory=dict)  # class id -> human name, where they differ
    ignored: int = 0  # image files that belong to no class
    ignored_files: Mapping[str, int] = field(default_factory=dict)  # other files, by suffix


@dataclass(frozen=True)
class Opening:
    """What a source may use while it lists itself."""

    cache_dir: Path  # tar archives are unpacked below it
    data_dir: Path  # downloads go here
    download: bool  # whether the network may be used
    progress: Progress


def silent(_stage: str, _done: int, _total: int) -> None:
    """Report progress to nobody."""
