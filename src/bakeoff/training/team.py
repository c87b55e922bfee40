"""Several processes that share the batches of one run, and the process that shares them with nobody.

Every process holds the whole network and makes every batch whole, so that its crops, its mixing partners and
its order are those of a single process; then it takes its rows. Gradients are averaged by PyTorch's
DistributedDataParallel and batch normalization counts over all rows (`synced_norm`), so each step is a
single process's but for the order of the sums. What is decided is decided by the first process: it hears
the listener and the clock, validates, writes checkpoints and the record.
"""

from __future__ import annotations

import gc
import inspect
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from bakeoff import rng
from bakeoff.data.batches import Batch, steps_in_epoch
from bakeoff.errors import ConfigError
from bakeoff.training.job import Job
from bakeoff.training.state import Tally, TrainingState
from bakeoff.training.synced_norm import SyncedBatchNorm

PATIENCE = timedelta(days=30)  # with each other: the first process may validate for long


# Every process computes the same statistics, so they are not sent; torch has renamed the switch for it.
_SWITCHES = inspect.signature(DistributedDataParallel.__init__).parameters
_OWN_BUFFERS: dict[str, Any] = {
    "forward_sync_buffers" if "forward_sync_buffers" in _SWITCHES else "broadcast_buffers": False
}


class Team(Protocol):
    """How a run's processes take a step together."""

    @property
    def leads(self) -> bool:
        """Whether this process decides, validates and writes."""

    def part(self, batch: Batch) -> Batch:
        """Return the rows of a batch that are this process's."""

    def stream(self, key: int) -> int:
        """Return the key of what this process draws in a step, from that of a single one."""

    def forward(self, learner: nn.Module) -> Callable[[Tensor], Tensor]:
        """Return what computes logits such that gradients are those of all rows."""

    def weigh(self, loss: Tensor, rows: int, whole: int) -> Tensor:
        """Scale the mean loss of some rows such that all processes' mean is the whole batch's."""

    def add(self, tally: Tally, loss: Tensor, logits_BK: Tensor, labels_B: Tensor) -> Tensor:
        """Count all processes' rows; return the mean loss of the whole batch."""

    def agree(self, state: TrainingState, objected: bool) -> bool:
        """Take over the first process's clock, and whether it wants to stop."""

    def told(self, make: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Return what the first process makes."""

    def start_from(self, state: TrainingState) -> None:
        """Stand where the first process stands."""

    def wait(self) -> None:
        """Wait until all processes have come to this place."""


class Alone:
    """One process does it all, exactly as if there were no teams."""

    leads = True

    def part(self, batch: Batch) -> Batch:
        """Return the batch."""
        return batch

    def stream(self, key: int) -> int:
        """Return the key."""
        return key

    def forward(self, learner: nn.Module) -> Callable[[Tensor], Tensor]:
        """Return the learner."""
        return learner

    def weigh(self, loss: Tensor, rows: int, whole: int) -> Tensor:
        """Return the loss."""
        return loss

    def add(self, tally: Tally, loss: Tensor, logits_BK: Tensor, labels_B: Tensor) -> Tensor:
        """Count the batch."""
        tally.add(loss, logits_BK, labels_B)
        return loss.detach()

    def agree(self, state: TrainingState, objected: bool) -> bool:
        """Agree with oneself."""
        return objected

    def told(self, make: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Make it."""
        return make()

    def start_from(self, state: TrainingState) -> None:
        """Stand where one stands."""

    def wait(self) -> None:
        """Wait for nobody."""


ALONE = Alone()


@dataclass(frozen=True)
class Member:
    """One of several processes, all of which call the same things in the same order."""

    rank: int
    size: int
    device: torch.device
    norms: Any  # a group of its own for statistics, so that they never meet gradients on their way

    @property
    def leads(self) -> bool:
        """Whether it is the first."""
        return self.rank == 0

    def part(self, batch: Batch) -> Batch:
        """Take consecutive rows; shares differ by one row at most."""
        count = len(batch.labels_B)
        rows = slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)
        partners = batch.partner_labels_B
        return replace(
            batch, images_BHWC=batch.images_BHWC[rows], labels_B=batch.labels_B[rows],
            partner_labels_B=None if partners is None else partners[rows],
        )  # fmt: skip

    def stream(self, key: int) -> int:
        """Have every process draw its own dropout."""
        return rng.key(key, "dropout of a process", self.rank) if self.rank else key

    def forward(self, learner: nn.Module) -> Callable[[Tensor], Tensor]:
        """Wrap the learner."""
        return _Parallel(learner, self.norms)

    def weigh(self, loss: Tensor, rows: int, whole: int) -> Tensor:
        """Scale by the share of the rows: DistributedDataParallel averages over processes alike."""
        return loss if rows * self.size == whole else loss * (rows * self.size / whole)

    def add(self, tally: Tally, loss: Tensor, logits_BK: Tensor, labels_B: Tensor) -> Tensor:
        """Sum the counts of all processes."""
        own = Tally.empty(self.device)
        own.add(loss, logits_BK, labels_B)
        sums = torch.stack([own.loss, own.correct.double(), own.loss.new_tensor(float(own.seen))])
        distributed.all_reduce(sums)
        tally.loss += sums[0]
        tally.correct += sums[1].long()
        tally.seen += int(sums[2])
        return (sums[0] / sums[2]).float()

    def agree(self, state: TrainingState, objected: bool) -> bool:
        """Hear the first process."""
        word = torch.tensor([state.seconds, float(objected)], dtype=torch.float64, device=self.device)
        distributed.broadcast(word, src=0)
        if not self.leads:
            state.seconds = float(word[0])
        return bool(word[1])

    def told(self, make: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Have the first process make it and tell."""
        made: list[Any] = [make() if self.leads else None]
        distributed.broadcast_object_list(made, src=0, device=self.device)
        row: dict[str, float] = made[0]
        return row

    def start_from(self, state: TrainingState) -> None:
        """Send or take everything that a checkpoint would hold."""
        kept = io.BytesIO()
        if self.leads:
            state.write(kept)
        sent: list[Any] = [kept.getvalue()]
        distributed.broadcast_object_list(sent, src=0, device=self.device)
        if not self.leads:
            state.read(io.BytesIO(sent[0]))

    def wait(self) -> None:
        """Wait for the others."""
        distributed.all_reduce(torch.zeros(1, device=self.device))  # a barrier, for every backend


class _Parallel:
    """A learner under DistributedDataParallel, wrapped anew when other weights than before move."""

    def __init__(self, learner: nn.Module, norms: Any) -> None:
        self._learner = learner
        self._norms = norms
        self._moving: tuple[bool, ...] = ()
        self._wrapped: nn.Module | None = None

    def __call__(self, images_BHWC: Tensor) -> Tensor:
        """Return logits."""
        moving = tuple(parameter.requires_grad for parameter in self._learner.parameters())
        if self._wrapped is None or moving != self._moving:
            self._wrapped = None
            gc.collect()  # its hooks on the weights go with it
            self._wrapped, self._moving = (
                DistributedDataParallel(self._learner, **_OWN_BUFFERS),
                moving,
            )
        with SyncedBatchNorm(self._norms):
            logits_BK: Tensor = self._wrapped(images_BHWC)
        return logits_BK


def check_team(job: Job) -> None:
    """Refuse what several processes cannot share.

    Args:
        job: With the number of processes.

    Raises:
        ConfigError: Some batch has fewer images than there are processes, the network is compiled, or there
            are fewer GPUs than processes.
    """
    size, images, recipe = job.machine.processes, len(job.data.train), job.recipe
    batch = min(recipe.batch_size, images)
    last = images - (steps_in_epoch(images, recipe.batch_size) - 1) * batch
    smallest = min(batch, last)
    if size > smallest:
        raise ConfigError(
            f"--processes: got {size}, but a batch has {smallest} images; expected at most that"
        )
    if recipe.compile:
        raise ConfigError(
            f"--processes: got {size} with compile = true, which puts batch normalization out of reach; "
            "expected compile = false"
        )
    device, cards = job.machine.device, torch.cuda.device_count()
    if device != "cpu" and (device != "cuda" or cards < size):
        raise ConfigError(
            f"--processes: got {size} on {device}, of {cards} GPUs here; expected --device cpu, or "
            "--device cuda and a GPU for each process"
        )


@contextmanager
def joined(rank: int, size: int, device: torch.device, meeting: Path) -> Iterator[Member]:
    """Meet the other processes.

    Args:
        rank: This process's number, from 0.
        size: How many there are.
        device: This process's.
        meeting: A file by which they find each other; not there yet, on a disk that all of them see.

    Yields:
        What this process calls to take steps with the others.
    """
    store = distributed.FileStore(str(meeting), size)  # type: ignore[attr-defined]  # torch lists it nowhere
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    try:
        yield Member(rank, size, device, distributed.new_group(timeout=PATIENCE))
    finally:
        distributed.destroy_process_group()
