"""What a task's images hold now: the SHA-256 of each, read anew and never from the cache.

A preparation believes sizes and times of files, as it must to be quick; whoever wants proof
reads them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bakeoff.data.cache import Wanted, fingerprint_of
from bakeoff.data.classes import choose_classes
from bakeoff.data.locate import open_source
from bakeoff.data.source import Item, Opening, Progress, silent
from bakeoff.data.workers import content_digest
from bakeoff.homes import cache_home, data_home
from bakeoff.spec.task import TaskSpec

_NEWS = 500  # images between two words about the progress


@dataclass(frozen=True, slots=True)
class Content:
    """One image of a source as it is now."""

    class_id: str
    sha256: str  # of its contents; empty when they cannot be read


def read_contents(
    task: TaskSpec,
    *,
    locations: Mapping[str, Path] | None = None,
    base_dir: Path,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Content]:
    """Read and hash every image of a task's classes.

    Args:
        task: Which data, and which classes of it.
        locations: Paths that the user gave for sources by name.
        base_dir: What relative paths in the task refer to.
        cache_dir: Where archives are unpacked; by default `cache_home`.
        progress: Told the stage, how much is done and of how much.

    Returns:
        Class and digest by the image's name in the source; nothing is downloaded.

    Raises:
        ConfigError: The source or a class has another name, or the path is missing.
        DataError: What is there cannot be listed.
        ResourceError: The source is not on this machine.
    """
    opening = Opening(cache_dir or cache_home(), data_home(), False, progress or silent)
    listing = open_source(task.data, locations or {}, base_dir, opening)
    every = sorted({item.class_id for item in listing.items})
    chosen = set(choose_classes(task.classes, every, listing.names))
    items = [item for item in listing.items if item.class_id in chosen]
    found = {}
    for done, item in enumerate(items, start=1):
        try:
            digest = content_digest(listing.reader.read(item.key))
        except OSError:
            digest = ""
        found[item.key] = Content(item.class_id, digest)
        if done % _NEWS == 0 or done == len(items):
            opening.progress("hashing", done, len(items))
    return found


def fingerprint_of_manifest(
    task: TaskSpec, class_ids: Sequence[str], images: Sequence[Mapping[str, str]]
) -> str:
    """Identify a task's images by the rows of its manifest, as `prepare` does by the images themselves.

    Args:
        task: How they were drawn.
        class_ids: Of the task, in the order of the labels.
        images: Rows with ``file``, ``class`` and ``sha256``, in the manifest's order.

    Returns:
        The fingerprint that the images had when they were prepared.

    Raises:
        ValueError: A row has a class that the task does not have.
    """
    items = [Item(row["file"], row["class"]) for row in images]
    labels = [list(class_ids).index(row["class"]) for row in images]
    wanted = Wanted(items, labels, class_ids, "", _Nothing(), task.image_size, task.fit)
    return fingerprint_of(wanted, [row["sha256"] for row in images])


class _Nothing:
    """Reads no image: a fingerprint needs none."""

    def read(self, key: str) -> bytes:
        """Refuse."""
        raise FileNotFoundError(key)
