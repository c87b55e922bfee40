"""Frozen work, paid once: what the frozen beginning of a network makes of each image, kept on disk.

Nothing in the beginning moves or is random, and it ends in front of the first dense layer, whose
last bits may depend on the other images of a batch (`models.transfer.split_frozen`). So without
augmentation the rest of the network trains on what is kept exactly as it would on images. A probe
is fitted to kept features alone, so for it they are of the whole base. With augmentation a candidate names
how many augmented views of each training image are kept, which its epochs take in turn; they
are the same for all seeds. Test images are left out; they are read once, as images, by the
whole network.

    <cache>/features/<key>/rows.f32    a row for each image, in the order of its index; no header
    <cache>/features/<key>/note.json   rows that are done, of how many, and the seconds they took

The key is of the images, the view, the preprocessing, the weights of the beginning and the
precision. An interrupted pass goes on where its note was last written.

Shape letters: N images of a task, M rows kept, B images of a batch, F features (of any shape).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor, nn

from bakeoff import rng
from bakeoff.data.augment import Moves, apply_moves, draw_moves
from bakeoff.data.batches import ImageStore, ahead
from bakeoff.data.disk import FULL, disk_errors
from bakeoff.errors import BusyError
from bakeoff.homes import cache_home
from bakeoff.models.architecture import base_digest, interpolation_of
from bakeoff.models.cut import Beginning, Rest, split_frozen
from bakeoff.models.modes import evaluating
from bakeoff.models.transfer import Stacked
from bakeoff.records import claim_folder, writing
from bakeoff.spec import Augmentation, canonical_json
from bakeoff.training.classifier import Classifier
from bakeoff.training.evaluate import BATCH
from bakeoff.training.job import Job
from bakeoff.training.loop import Stopped

MOST_BYTES = 8_000_000_000  # of all views; a longer beginning has smaller features, or none are kept
NOTE_SECONDS = 20.0  # of the pass that an interruption may cost
WAIT_SECONDS = 0.5  # between two looks whether another process has done the work
_SCHEMA = "bakeoff-features-4"

Beat = Callable[[int, int], None]


@dataclass(frozen=True)
class Features:
    """What takes the place of the images in training and validation."""

    plain: ImageStore  # of the images as they are: validation, and training without augmentation
    views: tuple[ImageStore, ...]  # of the training images augmented; empty without augmentation
    seconds: float  # that the passes over the images took, when they were made

    @property
    def training(self) -> tuple[ImageStore, ...]:
        """What the epochs of a training take in turn."""
        return self.views or (self.plain,)


def rest_of(model: nn.Module) -> Rest | None:
    """Return what of a classifier is left to train behind its frozen beginning; None without one."""
    found = _split(model)
    return found[1] if found is not None else None


def keep_features(
    model: nn.Module,
    store: ImageStore,
    job: Job,
    *,
    autocast: Callable[[], torch.autocast],
    beat: Beat | None = None,
    whole_base: bool = False,
) -> Features | None:
    """Compute the features of a task's training and validation images, or find them on disk.

    Args:
        model: A classifier, on its device.
        store: The task's images.
        job: Whose.
        autocast: The precision of the training.
        beat: Called with rows done and rows in all, after every batch.
        whole_base: Take all that is below the head, frozen or not, and the images as they are.

    Returns:
        The features, or None when there is nothing frozen to compute, when the images are
        augmented and no number of views is given, or when the features would be too large to keep.

    Raises:
        ResourceError: The disk is full.
    """
    beginning, count = _beginning(model, job, whole_base), 0 if whole_base else views_of(job)
    if beginning is None or count is None:
        return None
    train, validation = np.sort(job.data.train), job.data.validation
    plain = np.sort(validation if count else np.concatenate([train, validation]))
    passes = [_Pass(beginning, store, plain, job, autocast)]
    passes += [_Pass(beginning, store, train, job, autocast, view) for view in range(count)]
    if sum(len(one.index) for one in passes) * passes[0].row_bytes > MOST_BYTES:
        return None
    total, done, seconds = sum(len(one.index) for one in passes), 0, 0.0
    for one in passes:
        seconds += one.make(_from(beat, done, total))
        done += len(one.index)
    stores = [one.read() for one in passes]
    return Features(stores[0], tuple(stores[1:]), seconds)


def _from(beat: Beat | None, before: int, total: int) -> Callable[[int], None]:
    """Count on from earlier passes."""

    def count(rows: int) -> None:
        if beat is not None:
            beat(before + rows, total)

    return count


@dataclass(frozen=True)
class SomeFeatures:
    """Features of a few training images, to time a training by; nothing of them is kept."""

    index: np.ndarray  # the images
    training: tuple[ImageStore, ...]
    seconds: float  # that the images took


def some_features(
    model: nn.Module,
    store: ImageStore,
    job: Job,
    *,
    autocast: Callable[[], torch.autocast],
    images: int = 2 * BATCH,
    whole_base: bool = False,
) -> SomeFeatures | None:
    """Compute the features of a few training images, where `keep_features` would those of all.

    Args:
        model: As for `keep_features`.
        store: Likewise.
        job: Likewise.
        autocast: Likewise.
        images: How many, at most; the first batch is not timed where there are more.
        whole_base: As for `keep_features`.

    Returns:
        The features, or None where none would be kept.
    """
    beginning, views = _beginning(model, job, whole_base), 0 if whole_base else views_of(job)
    if beginning is None or views is None:
        return None
    one = _Pass(beginning, store, np.sort(job.data.train)[:images], job, autocast)
    if (len(job.data.train) + len(job.data.validation)) * one.row_bytes > MOST_BYTES:
        return None
    parts, times = [], []
    for images_BHWC in one.images(0):
        started = time.perf_counter()
        parts.append(one.features(images_BHWC).float().cpu().numpy())
        times.append((time.perf_counter() - started) / len(images_BHWC))
    row_N = np.full(len(store), -1, dtype=np.int64)
    row_N[one.index] = np.arange(len(one.index))
    kept = ImageStore(np.concatenate(parts), store.labels_N, store.device, rows_N=row_N)
    return SomeFeatures(one.index, (kept,) * max(1, views), min(times) * len(one.index))


def kept_names(model: nn.Module, job: Job) -> tuple[str, ...]:
    """Name the layers of a classifier's network whose work is kept; none where nothing is."""
    beginning = _beginning(model, job, whole_base=False)
    if beginning is None or views_of(job) is None or not isinstance(model, Classifier):
        return ()
    kept = {id(layer) for layer in beginning.layers}
    return tuple(name for name, layer in model.network.named_modules() if id(layer) in kept)


def views_of(job: Job) -> int | None:
    """Count the augmented views that are kept of each training image.

    Args:
        job: Whose.

    Returns:
        0 where the images are taken as they are; None where every epoch needs images of its own.
    """
    if job.recipe.sizes and not job.candidate.probe:
        return None
    if job.candidate.probe and job.candidate.views is None:
        return 0
    if job.recipe.augmentation == Augmentation():
        return 0
    return job.candidate.views


def is_base_frozen(model: nn.Module) -> bool:
    """Tell whether what is kept of a classifier is all that is below its head."""
    rest = rest_of(model)
    return rest is not None and rest.is_head


def _split(model: nn.Module) -> tuple[Beginning, Rest] | None:
    """Cut a classifier behind its last frozen layer in a row; None when nothing is gained."""
    if not (isinstance(model, Classifier) and isinstance(model.network, Stacked)):
        return None
    return split_frozen(model.preprocess, model.network)


def _beginning(model: nn.Module, job: Job, whole_base: bool) -> Beginning | None:
    """Return what of a classifier comes before its head, or as much of it as is frozen and kept."""
    whole_base = whole_base or job.candidate.probe
    if whole_base and isinstance(model, Classifier) and isinstance(model.network, Stacked):
        layers: list[nn.Module] = [model.network.base]
        return Beginning(model.preprocess, layers)
    found = _split(model)
    return found[0] if found is not None else None


@dataclass
class _Pass:
    """One pass of the beginning over images, and the folder that keeps what it gives."""

    beginning: Beginning
    store: ImageStore
    index: np.ndarray  # which images, rising
    job: Job
    autocast: Callable[[], torch.autocast]
    view: int | None = None  # None takes the images as they are
    shape: tuple[int, ...] = field(init=False)  # of one image's features
    folder: Path = field(init=False)  # where they are kept

    def __post_init__(self) -> None:
        images_BHWC, _ = self.store.take(self.index[:1])
        self.shape = tuple(self.features(images_BHWC).shape[1:])
        self.folder = (self.job.cache_dir or cache_home()) / "features" / self._key()

    @property
    def row_bytes(self) -> int:
        """Of one image."""
        return 4 * int(np.prod(self.shape))

    def make(self, beat: Callable[[int], Any]) -> float:
        """Compute what is missing; return the seconds that all of it took."""
        folder = self.folder
        with _claimed(folder), disk_errors(folder):
            try:
                note = self._go_on(folder, _read_note(folder), beat)
            except OSError as error:
                if error.errno in FULL:  # what is there would only fill it
                    (folder / "rows.f32").unlink(missing_ok=True)
                    (folder / "note.json").unlink(missing_ok=True)
                raise
        return float(note["seconds"])

    def read(self) -> ImageStore:
        """Map what was made; rows are found by the images' index."""
        rows_MF = np.memmap(
            self.folder / "rows.f32", dtype=np.float32, mode="r", shape=(len(self.index), *self.shape)
        )
        row_N = np.full(len(self.store), -1, dtype=np.int64)
        row_N[self.index] = np.arange(len(self.index))
        return ImageStore(rows_MF, self.store.labels_N, self.store.device, rows_N=row_N)

    def _go_on(self, folder: Path, note: dict[str, Any], beat: Callable[[int], Any]) -> dict[str, Any]:
        """Append rows to the file from where it is sound."""
        file, total = folder / "rows.f32", len(self.index)
        there = file.stat().st_size // self.row_bytes if file.exists() else 0
        rows = min(int(note["rows"]), there)
        if rows >= total:
            return note
        started, before, noted = time.perf_counter(), float(note["seconds"]), time.perf_counter()
        with file.open("r+b" if rows else "wb") as opened:
            opened.truncate(rows * self.row_bytes)
            opened.seek(rows * self.row_bytes)
            try:
                for images_BHWC in ahead(self.images(rows)):
                    values_BF = self.features(images_BHWC).float().cpu().contiguous().numpy()
                    opened.write(values_BF.tobytes())
                    rows += len(values_BF)
                    beat(rows)
                    if time.perf_counter() - noted > NOTE_SECONDS:
                        noted = time.perf_counter()
                        _write_note(folder, opened, rows, before + noted - started)
            except Stopped:
                _write_note(folder, opened, rows, before + time.perf_counter() - started)
                raise
            return _write_note(folder, opened, rows, before + time.perf_counter() - started)

    def images(self, start: int) -> Iterator[Tensor]:
        """Yield batches of images from a row on, augmented if this is a view."""
        for at in range(start, len(self.index), BATCH):
            index_B = self.index[at : at + BATCH]
            images_BHWC, _ = self.store.take(index_B)
            moves = self._moves(index_B) if self.view is not None else None
            yield images_BHWC if moves is None else apply_moves(images_BHWC, moves)

    def _moves(self, index_B: np.ndarray) -> Moves | None:
        """Draw how images are moved, each from a stream of its own: where the pass began is no matter."""
        augmentation, seed = self.job.recipe.augmentation, rng.key(0, "views")
        parts = [
            draw_moves(augmentation, seed, self.view or 0, image, np.array([image]))
            for image in index_B.tolist()
        ]
        drawn = [moves for moves in parts if moves is not None]
        if not drawn:
            return None
        return Moves(
            np.concatenate([moves.down_B for moves in drawn]),
            np.concatenate([moves.right_B for moves in drawn]),
            np.concatenate([moves.mirror_B for moves in drawn]),
        )

    @torch.no_grad()
    def features(self, images_BHWC: Tensor) -> Tensor:
        """Compute features from bytes."""
        with self.autocast(), evaluating(self.beginning):
            values_BF: Tensor = self.beginning(images_BHWC)
        return values_BF

    def _key(self) -> str:
        """Identify features by what they are made of; SHA-256, hexadecimal."""
        view = None
        if self.view is not None:
            view = {"number": self.view, "of": self.job.recipe.augmentation.model_dump(mode="json")}
        head = {
            "schema": _SCHEMA, "data": self.job.data.fingerprint, "input_size": self.job.input_size,
            "precision": self.job.precision, "layers": self.beginning.describe(), "view": view,
            "base": base_digest(self.job.architecture, self.job.base_dir), "torch": torch.__version__,
            "timm": version("timm"), "device": self.store.device.type, "threads": torch.get_num_threads(),
            "interpolation": interpolation_of(self.job.architecture),
        }  # fmt: skip
        hasher = hashlib.sha256(canonical_json(head).encode() + b"\n")
        hasher.update(np.ascontiguousarray(self.index, dtype=np.int64).data)
        for name, tensor in self.beginning.state_dict().items():
            hasher.update(name.encode() + b"\0")
            hasher.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return hasher.hexdigest()


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Hold a folder of features; another process that makes the same ones is waited for."""
    while True:
        try:
            with claim_folder(folder):
                yield
                return
        except BusyError:
            time.sleep(WAIT_SECONDS)


def _read_note(folder: Path) -> dict[str, Any]:
    try:
        note: dict[str, Any] = json.loads((folder / "note.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {"rows": 0, "seconds": 0.0}
    return note


def _write_note(folder: Path, rows_file: IO[bytes], rows: int, seconds: float) -> dict[str, Any]:
    """Say that so many rows are sound, once they are on the disk."""
    rows_file.flush()
    os.fsync(rows_file.fileno())
    note = {"rows": rows, "seconds": seconds}
    with writing(folder / "note.json") as partial:
        partial.write_text(json.dumps(note))
    return note


def stacked_rows(stores: Sequence[ImageStore], index: np.ndarray) -> tuple[Tensor, Tensor]:
    """Read the features of images, of all views one after the other: values_MF and labels_M."""
    taken = [store.take(index) for store in stores]
    return torch.cat([values for values, _ in taken]), torch.cat([labels for _, labels in taken])
