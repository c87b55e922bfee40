"""A stream of image files as batches of pixels: found while it runs, drawn in parallel, in bounded memory.

Threads draw, because Pillow lets go of the interpreter where the work is: on two cores and
64 pixels they are as quick as processes (docs/findings.md), and nothing has to be sent.

Not here: the cache of a study, which decodes a whole data set once (`cache`, `workers`).

Shape letters: B images, H rows, W columns, C = 3 channels.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bakeoff.cores import usable_cores
from bakeoff.data.decode import Fit, open_image, square
from bakeoff.data.source import is_image_name

CHUNK = 64  # images of a batch, at most
_BYTES = 64_000_000  # of pixels of a batch, at most
AHEAD = 2  # batches drawn ahead, for each thread


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One batch: the files that could be read, their pixels, and the others."""

    files: list[Path]
    images_BHWC: NDArray[np.uint8]
    unreadable: list[tuple[Path, str]]  # the file, and why

    @property
    def seen(self) -> int:
        """How many files this batch is about."""
        return len(self.files) + len(self.unreadable)


def find_images(places: Iterable[str | Path]) -> Iterator[Path]:
    """Find the images of files and folders, while somebody already works on the first of them.

    Args:
        places: Files, taken whatever they are called, and folders, which are walked
            with all below them for names that claim to be images. Links to folders are not followed.

    Yields:
        Files: places in their order, each folder's in the order of their names. What is not there
        is yielded, too, and turns out to be unreadable.
    """
    for place in places:
        path = Path(os.path.expanduser(place))
        if path.is_dir():
            yield from _walked(path)
        else:
            yield path


def _walked(folder: Path) -> Iterator[Path]:
    """Walk a folder in a fixed order."""
    for where, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if is_image_name(name):
                yield Path(where, name)


def draw_stream(files: Iterable[Path], size: int, fit: Fit, *, threads: int | None = None) -> Iterator[Drawn]:
    """Draw files in parallel, in their order.

    Args:
        files: Taken one batch after the other, as they are needed.
        size: Pixels of both sides.
        fit: How an image that is not square becomes so.
        threads: That draw; None is one a core.

    Yields:
        Batches; no more than a few are in memory, however many files there are.
    """
    count = threads or usable_cores()
    step = max(1, min(CHUNK, _BYTES // (3 * size**2)))
    waiting: deque[Future[Drawn]] = deque()
    with ThreadPoolExecutor(count) as pool:
        try:
            for chunk in _chunks(files, step):
                waiting.append(pool.submit(_draw, chunk, size, fit))
                if len(waiting) > AHEAD * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:  # somebody stopped listening
                future.cancel()


def _chunks(files: Iterable[Path], step: int) -> Iterator[list[Path]]:
    chunk: list[Path] = []
    for file in files:
        chunk.append(file)
        if len(chunk) == step:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _draw(files: list[Path], size: int, fit: Fit) -> Drawn:
    """Draw one batch; what cannot be read is told, whatever it is."""
    rows_BHWC = np.zeros((len(files), size, size, 3), dtype=np.uint8)
    good: list[Path] = []
    bad: list[tuple[Path, str]] = []
    for file in files:
        try:
            rows_BHWC[len(good)] = square(open_image(file), size, fit)
            good.append(file)
        except Exception as error:  # of a file that claims to be an image, anything
            bad.append((file, " ".join(str(error).split()) or type(error).__name__))
    return Drawn(files=good, images_BHWC=rows_BHWC[: len(good)], unreadable=bad)
