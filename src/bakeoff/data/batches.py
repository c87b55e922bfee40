"""Batches of a task's images as tensors, gathered and augmented ahead of the step.

The images are one uint8 array: mapped from the cache on a CPU, whole on a GPU where
they fit. Which images a batch holds, and what is done to them, depends on (seed, epoch,
step) alone, so an epoch can be entered at any step.

Shape letters: N images of a task, B images of a batch, H rows, W columns, C channels.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from bakeoff import rng
from bakeoff.data.augment import apply_mix, apply_moves, draw_mix, draw_moves
from bakeoff.spec import Augmentation

T = TypeVar("T")

GPU_SHARE = 0.5  # of the device's free memory that the images may take


@dataclass(frozen=True, slots=True)
class Batch:
    """Images with their labels; with mixing, also the partners' labels."""

    images_BHWC: Tensor  # uint8, or float32 on the same scale after mixup
    labels_B: Tensor  # int64
    partner_labels_B: Tensor | None = None
    kept: float = 1.0  # weight of `labels_B`; the partners' labels weigh the rest


class ImageStore:
    """All images and labels of a task, from which batches are taken by index.

    Args:
        images_NHWC: uint8, usually a memory map; or features that take the images' place, float32
            of any shape.
        labels_N: int64.
        device: Where batches are wanted.
        rows_N: The row of each image, where not all images have one; None is one row an image.
    """

    def __init__(
        self,
        images_NHWC: np.ndarray,
        labels_N: np.ndarray,
        device: torch.device,
        *,
        rows_N: np.ndarray | None = None,
    ) -> None:
        self.device = device
        self.labels_N = labels_N
        self._rows_N = rows_N
        self._images_NHWC = images_NHWC
        self._resident_NHWC: Tensor | None = None
        if device.type == "cuda" and images_NHWC.nbytes < GPU_SHARE * torch.cuda.mem_get_info(device)[0]:
            self._resident_NHWC = _upload(images_NHWC, device)

    def __len__(self) -> int:
        return len(self.labels_N)

    def take(self, index_B: np.ndarray) -> tuple[Tensor, Tensor]:
        """Gather images and labels.

        Args:
            index_B: The images' indices.

        Returns:
            Images (uint8, B H W C; features where such are kept) and labels (int64, B), on the device.

        Raises:
            LookupError: Nothing is kept of one of the images.
        """
        labels_B = self._move(torch.from_numpy(self.labels_N[index_B]))
        rows_B = index_B
        if self._rows_N is not None:
            rows_B = self._rows_N[index_B]
            if (rows_B < 0).any():
                raise LookupError(f"image {index_B[rows_B < 0][0]} has no row among those that are kept")
        if self._resident_NHWC is not None:
            return self._resident_NHWC[torch.from_numpy(rows_B).to(self.device)], labels_B
        return self._move(torch.from_numpy(self._images_NHWC[rows_B])), labels_B

    def _move(self, tensor: Tensor) -> Tensor:
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)


def _upload(images_NHWC: np.ndarray, device: torch.device) -> Tensor:
    """Copy a mapped array to a device in pieces, so that it never is in memory twice."""
    dtype = torch.from_numpy(np.array(images_NHWC[:1])).dtype
    resident = torch.empty(images_NHWC.shape, dtype=dtype, device=device)
    for start in range(0, len(images_NHWC), 4096):
        piece = np.array(images_NHWC[start : start + 4096])  # torch warns of a read-only map
        resident[start : start + len(piece)] = torch.from_numpy(piece)
    return resident


def steps_in_epoch(images: int, batch_size: int) -> int:
    """Count the batches of an epoch; a last batch of one image is left out.

    >>> steps_in_epoch(100, 32), steps_in_epoch(97, 32), steps_in_epoch(5, 32), steps_in_epoch(3, 1)
    (4, 3, 1, 3)
    """
    full, remainder = divmod(images, batch_size)
    return full + int(remainder > 1 or full == 0)


class TrainingBatches:
    """The batches of any epoch of a run.

    An epoch holds every training image once, in an order of its own; a last batch of
    a single image is left out, because batch normalization cannot use it. The balanced
    sampler draws as many images, all classes alike, with repetition.

    Args:
        store: The task's images.
        index: The training images among them.
        batch_size: Images of a batch.
        seed: The run's seed.
        augmentation: The recipe's settings.
        balanced: Draw all classes alike.
        instead: Stores of kept features, which the epochs take in turn in place of images;
            nothing is augmented then, their images were.
    """

    def __init__(
        self,
        store: ImageStore,
        index: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        augmentation: Augmentation,
        balanced: bool = False,
        instead: Sequence[ImageStore] = (),
    ) -> None:
        self.store = store
        self.instead = instead
        self.index = index
        self.batch_size = min(batch_size, len(index))
        self.steps_per_epoch = steps_in_epoch(len(index), batch_size)
        self.seed = seed
        self.augmentation = augmentation
        self.balanced = balanced

    def order(self, epoch: int) -> np.ndarray:
        """Return the images of an epoch in their order, as indices into the task's images."""
        generator = rng.generator(self.seed, "order", epoch)
        if not self.balanced:
            shuffled: np.ndarray = generator.permutation(self.index)
            return shuffled
        labels = self.store.labels_N[self.index]
        classes, counts = np.unique(labels, return_counts=True)
        share = 1 / (len(classes) * counts[np.searchsorted(classes, labels)])
        drawn: np.ndarray = generator.choice(self.index, size=len(self.index), p=share)
        return drawn

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from step `start` on, made ahead by a thread."""
        return ahead(self._make(epoch, start))

    def _make(self, epoch: int, start: int) -> Iterator[Batch]:
        order = self.order(epoch)
        for step in range(start, self.steps_per_epoch):
            yield self.batch(order[step * self.batch_size : (step + 1) * self.batch_size], epoch, step)

    def batch(self, index_B: np.ndarray, epoch: int, step: int) -> Batch:
        """Gather and augment one batch."""
        if self.instead:
            return Batch(*self.instead[epoch % len(self.instead)].take(index_B))
        images, labels_B = self.store.take(index_B)
        moves = draw_moves(self.augmentation, self.seed, epoch, step, index_B)
        if moves is not None:
            images = apply_moves(images, moves)
        generator = rng.generator(self.seed, "mix", epoch, step)
        mix = draw_mix(self.augmentation, generator, len(index_B), images.shape[1])
        if mix is None:
            return Batch(images, labels_B)
        partner_B = torch.from_numpy(mix.partner_B).to(labels_B.device)
        return Batch(apply_mix(images, mix), labels_B, labels_B[partner_B], mix.kept)


def evaluation_batches(store: ImageStore, index: np.ndarray, batch_size: int) -> Iterator[Batch]:
    """Yield the images of an index in order, as they are, made ahead by a thread."""
    starts = range(0, len(index), batch_size)
    return ahead(Batch(*store.take(index[start : start + batch_size])) for start in starts)


def ahead(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """Yield the same items, up to `depth` of them made in advance by a thread.

    An exception in the making is raised where the item would have come. Leaving the
    loop early ends the thread.
    """
    maker = _Maker(items, depth)
    maker.start()
    try:
        while (made := maker.ready.get()) is not None:
            if isinstance(made, _Failure):
                raise made.error
            yield made.item
    finally:
        maker.left.set()
        maker.join()


@dataclass(frozen=True, slots=True)
class _Made(Generic[T]):
    item: T


@dataclass(frozen=True, slots=True)
class _Failure:
    error: BaseException


class _Maker(threading.Thread, Generic[T]):
    """Puts items into a queue until they end (None follows them) or nobody waits for them any more."""

    def __init__(self, items: Iterable[T], depth: int) -> None:
        super().__init__(name="batches", daemon=True)
        self.ready: queue.Queue[_Made[T] | _Failure | None] = queue.Queue(maxsize=depth)
        self.left = threading.Event()
        self._items = items

    def run(self) -> None:
        """Make the items, one after the other."""
        try:
            for item in self._items:
                if not self._put(_Made(item)):
                    return
            self._put(None)
        except BaseException as error:
            self._put(_Failure(error))

    def _put(self, entry: _Made[T] | _Failure | None) -> bool:
        while not self.left.is_set():
            try:
                self.ready.put(entry, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False
