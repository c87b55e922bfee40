"""Decoded images on disk: one uint8 array per set of images, found again without reading them.

An array is named by its fingerprint, which says what it holds: names, labels, contents,
size and the rules of decoding. Beside it, a note named by what a listing shows (names,
labels, sizes, times) leads to the fingerprint. So a second preparation opens nothing but
these two files, and touched but equal files end in the same array.

    <cache>/images/<fingerprint>.u8     the array, images_NHWC, without a header
    <cache>/notes/<quick key>.json      fingerprint, digests, what could not be read

The split is no part of either. Files appear whole or not at all; of two processes that
fill the same cache, both do the work and one's equal file stays.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.decode import DECODER, Fit
from bakeoff.data.disk import disk_errors, sweep
from bakeoff.data.source import Item, Progress, Reader
from bakeoff.data.workers import Job, Seen, decode_all
from bakeoff.spec.digest import canonical_json

_SCHEMA = "bakeoff-images-1"


@dataclass(frozen=True)
class Wanted:
    """Which images to hold decoded, and how they are drawn."""

    items: Sequence[Item]  # in the order of their keys
    labels: Sequence[int]
    class_ids: Sequence[str]
    place: str  # the listing's
    reader: Reader
    size: int
    fit: Fit

    @property
    def quick_key(self) -> str:
        """Identify the images by what the listing shows of them; SHA-256, hexadecimal."""
        hasher = _hasher(self, place=self.place)
        for item in self.items:
            hasher.update(f"{item.key}\0{item.class_id}\0{item.stamp}\n".encode(errors="surrogateescape"))
        return hasher.hexdigest()


@dataclass(frozen=True)
class Note:
    """What one decode pass found out; all lists are of readable images only, in order."""

    fingerprint: str
    digests: list[str]
    unreadable: list[dict[str, str]]  # file, reason
    modes: dict[str, int]  # Pillow's names of how the files store pixels
    widths: list[float]  # smallest, median, largest; pixels
    heights: list[float]
    dark_16_bit: int = 0  # images of 16 bits that hold 12 or fewer; absent in the oldest notes


def _hasher(wanted: Wanted, **more: str) -> hashlib._Hash:
    head = {"schema": _SCHEMA, "decoder": DECODER, "image_size": wanted.size, "fit": wanted.fit,
            "class_ids": list(wanted.class_ids), **more}  # fmt: skip
    return hashlib.sha256(canonical_json(head).encode() + b"\n")


def fingerprint_of(wanted: Wanted, digests: Sequence[str]) -> str:
    """Identify images by what they are: names, labels, contents, and how they are drawn.

    Args:
        wanted: The readable images.
        digests: Of their contents, in the same order.

    Returns:
        A SHA-256, hexadecimal; equal on every machine.
    """
    hasher = _hasher(wanted)
    for item, label, digest in zip(wanted.items, wanted.labels, digests, strict=True):
        hasher.update(f"{item.key}\0{label}\0{digest}\n".encode(errors="surrogateescape"))
    return hasher.hexdigest()


def decoded(
    wanted: Wanted, cache_dir: Path, decoders: int, progress: Progress
) -> tuple[NDArray[np.uint8], Note, bool]:
    """Return images as an array on disk, decoding them only when they are not there yet.

    Args:
        wanted: The images, readable or not.
        cache_dir: Where arrays and notes are kept.
        decoders: Processes that decode.
        progress: Told how many images are decoded.

    Returns:
        images_NHWC of the readable images, read-only; what is known of them; and
        whether they were there already.

    Raises:
        ResourceError: The cache cannot be written; nothing partial is left.
    """
    note_file = cache_dir / "notes" / f"{wanted.quick_key}.json"
    note = _read_note(note_file)
    if note is not None:
        images_NHWC = _open(cache_dir, note, wanted.size)
        if images_NHWC is not None and not _healed(wanted, note, cache_dir, decoders):
            return images_NHWC, note, True
    note = _fill(wanted, cache_dir, decoders, progress)
    with disk_errors(note_file), _partial(note_file.parent) as partial:
        partial.write_text(json.dumps(asdict(note)), encoding="ascii")
        partial.replace(note_file)
    images_NHWC = _open(cache_dir, note, wanted.size)
    if images_NHWC is None:
        raise FileNotFoundError(f"{cache_dir / 'images' / note.fingerprint}.u8")
    return images_NHWC, note, False


def _read_note(file: Path) -> Note | None:
    """Read a note; one that is missing or broken is as good as none."""
    try:
        return Note(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _open(cache_dir: Path, note: Note, size: int) -> NDArray[np.uint8] | None:
    """Map an array into memory, if it is there in full length."""
    shape = (len(note.digests), size, size, 3)
    file = cache_dir / "images" / f"{note.fingerprint}.u8"
    if not note.digests:  # an empty file cannot be mapped
        return np.zeros(shape, dtype=np.uint8)
    try:
        whole = file.stat().st_size == int(np.prod(shape, dtype=np.int64))
        return np.memmap(file, dtype=np.uint8, mode="r", shape=shape) if whole else None
    except OSError:
        return None


def _healed(wanted: Wanted, note: Note, cache_dir: Path, decoders: int) -> bool:
    """Try again what could not be read: a share was away, a file was locked, Pillow has learned a format."""
    lost = [entry["file"] for entry in note.unreadable]
    if not lost:
        return False
    with disk_errors(cache_dir), _partial(cache_dir / "images") as rows_file:
        job = Job(wanted.reader, wanted.size, wanted.fit, rows_file)
        return any(not one.reason for one in decode_all(job, lost, decoders, lambda count: None))


def _fill(wanted: Wanted, cache_dir: Path, decoders: int, progress: Progress) -> Note:
    """Decode every image, and put the array of the readable ones in its place."""
    folder = cache_dir / "images"
    keys = [item.key for item in wanted.items]
    finished = 0

    def on_rows(count: int) -> None:
        nonlocal finished
        finished += count
        progress("decoding", finished, len(keys))

    with disk_errors(folder), _partial(folder) as rows_file:
        job = Job(wanted.reader, wanted.size, wanted.fit, rows_file)
        seen = decode_all(job, keys, decoders, on_rows)
        note = _noted(wanted, seen)
        _drop_rows(rows_file, wanted.size, [index for index, one in enumerate(seen) if not one.reason])
        _settle(rows_file, folder / f"{note.fingerprint}.u8")
    return note


@contextmanager
def _partial(folder: Path) -> Iterator[Path]:
    """Create a file to fill, and remove it whatever happens; its name is not even a thread's twice.

    Not `records.writing`: its name is one a process, but threads fill a cache together; it
    wants the target's name, which for an array is known only when the file is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    file = folder / f".{os.getpid()}-{secrets.token_hex(4)}.partial"
    try:
        file.touch()
        yield file
    finally:
        file.unlink(missing_ok=True)


def _drop_rows(file: Path, size: int, kept: Sequence[int]) -> None:
    """Move the kept rows together, front to back, and cut the rest off."""
    row_bytes = size * size * 3
    with file.open("r+b") as rows:
        for target, source in enumerate(kept):
            if target != source:
                rows.seek(source * row_bytes)
                row = rows.read(row_bytes)
                rows.seek(target * row_bytes)
                rows.write(row)
        rows.truncate(len(kept) * row_bytes)
        rows.flush()
        os.fsync(rows.fileno())


def _settle(partial: Path, target: Path) -> None:
    """Put a finished array in its place, unless an equal one is there already."""
    if not (target.is_file() and target.stat().st_size == partial.stat().st_size):
        partial.replace(target)


def _noted(wanted: Wanted, seen: Sequence[Seen]) -> Note:
    """Sum up a pass."""
    kept = [index for index, one in enumerate(seen) if not one.reason]
    readable = Wanted(
        [wanted.items[index] for index in kept], [wanted.labels[index] for index in kept],
        wanted.class_ids, wanted.place, wanted.reader, wanted.size, wanted.fit,
    )  # fmt: skip
    digests = [seen[index].digest for index in kept]
    modes: dict[str, int] = {}
    for index in kept:
        modes[seen[index].mode] = modes.get(seen[index].mode, 0) + 1
    return Note(
        fingerprint=fingerprint_of(readable, digests),
        digests=digests,
        unreadable=[{"file": wanted.items[index].key, "reason": one.reason}
                    for index, one in enumerate(seen) if one.reason],
        modes=dict(sorted(modes.items())),
        widths=_range([seen[index].width for index in kept]),
        heights=_range([seen[index].height for index in kept]),
        dark_16_bit=sum(seen[index].dark for index in kept),
    )  # fmt: skip


def _range(values: Sequence[int]) -> list[float]:
    """Return the smallest, the median and the largest; nothing of nothing."""
    return [float(min(values)), float(np.median(values)), float(max(values))] if values else []
