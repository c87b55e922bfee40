"""A first look at images: how many there are, of how many classes, and how large they are.

Only a few files are opened, and of those only the headers.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from PIL import Image

from bakeoff.data.classes import choose_classes
from bakeoff.data.locate import open_source
from bakeoff.data.source import Item, Listing, Opening, Progress, Reader, silent
from bakeoff.errors import DataError
from bakeoff.homes import cache_home, data_home
from bakeoff.spec.task import TaskSpec

LOOKS = 64  # files, evenly spaced


@dataclass(frozen=True, slots=True)
class Survey:
    """What a first look at a task's images shows."""

    images: int
    classes: int
    side: int  # median of the images' shorter sides, pixels; 0 when none could be read


def survey(
    task: TaskSpec,
    *,
    locations: Mapping[str, Path] | None = None,
    base_dir: Path,
    cache_dir: Path | None = None,
    download: bool = True,
    progress: Progress | None = None,
) -> Survey:
    """Look at a task's images without decoding them.

    Args:
        task: Which data, and which classes of it.
        locations: Paths that the user gave for sources by name.
        base_dir: What relative paths in the task refer to.
        cache_dir: Where archives are unpacked; by default `cache_home`.
        download: Whether a missing source may be fetched from the network.
        progress: Told the stage, how much is done and of how much.

    Returns:
        Counts, and the size of the images.

    Raises:
        ConfigError: The source or a class has another name, or the path is missing.
        DataError: There are no classes.
        ResourceError: The disk is full, or the network is needed and not there.
    """
    opening = Opening(cache_dir or cache_home(), data_home(), download, progress or silent)
    return survey_listing(open_source(task.data, locations or {}, base_dir, opening), task.classes)


def survey_listing(listing: Listing, classes: int | Sequence[str] | None = None) -> Survey:
    """Look at images that are listed already.

    Args:
        listing: The images.
        classes: Which of the classes, as a task says it; None is all.

    Returns:
        Counts, and the size of the images.

    Raises:
        ConfigError: A class has another name.
        DataError: There are no classes.
    """
    every = sorted({item.class_id for item in listing.items})
    if not every:
        raise DataError(f"data: no classes in {listing.place}, expected at least 2")
    chosen = set(choose_classes(classes, every, listing.names))
    items = [item for item in listing.items if item.class_id in chosen]
    sides = _sides(items[:: max(1, len(items) // LOOKS)], listing.reader)
    return Survey(len(items), len(chosen), int(median(sides)) if sides else 0)


def _sides(items: Sequence[Item], reader: Reader) -> list[int]:
    """Measure the shorter sides of images; the pass over all of them tells what cannot be read."""
    sides = []
    for item in items:
        try:
            content = reader.read(item.key)
            image = content if isinstance(content, Image.Image) else Image.open(io.BytesIO(content))
            sides.append(min(image.size))
        except Exception:
            continue
    return sides
