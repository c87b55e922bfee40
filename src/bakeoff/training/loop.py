"""The training itself: steps until the course ends, and what happens between epochs."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from bakeoff import rng
from bakeoff.data.batches import Batch, TrainingBatches
from bakeoff.spec import Recipe
from bakeoff.training.allocator import private_bytes
from bakeoff.training.classifier import showing
from bakeoff.training.objective import Objective
from bakeoff.training.optimizers import set_rate
from bakeoff.training.schedules import rate_factor
from bakeoff.training.state import Tally, TrainingState
from bakeoff.training.team import ALONE, Team

CHECK_EVERY = 20  # steps between two looks at the loss: a look makes a GPU wait


class Diverged(Exception):
    """The loss is no longer a finite number; the run ends here, with this reason."""


class Stopped(Exception):
    """Somebody asked the training to stop; its checkpoint is written."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a listener hears after every step."""

    epoch: int  # from 0
    steps: int  # done in all
    steps_total: int | None  # None when the clock ends the training
    loss: Tensor  # of the batch, nats, still on its device
    images_seen: int  # in all
    seconds: float  # spent in steps so far
    progress: float  # share of the training that is done


class Listener(Protocol):
    """Hears every step and every epoch; an answer of True to a step stops the training."""

    def on_step(self, step: Step) -> bool:
        """Hear a step."""

    def on_epoch(self, row: dict[str, float]) -> None:
        """Hear the history's new row."""


@dataclass(frozen=True)
class Course:
    """How long a training lasts and how its rate moves, in steps or seconds."""

    recipe: Recipe
    steps_per_epoch: int

    @cached_property
    def steps_total(self) -> int | None:
        """All optimizer steps, or None when the clock ends the training."""
        return self.recipe.length.to_steps(self.steps_per_epoch)

    def progress(self, state: TrainingState) -> float:
        """Return the share of the training that is done, in [0, 1]."""
        if self.steps_total is None:
            left = self.recipe.length.amount - state.lead  # the rate's course begins with the first step
            return min((state.seconds - state.lead) / left, 1.0) if left > 0 else 1.0
        return state.steps / self.steps_total

    def ended(self, state: TrainingState) -> bool:
        """Tell whether the length is reached or the early stop has spoken."""
        return self.progress(state) >= 1 or _stops_early(self.recipe, state.history)

    def size(self, state: TrainingState) -> int | None:
        """Return the pixels that the next step's images have; None is what the network takes otherwise."""
        done, until, pixels = self.progress(state), 0.0, None
        for pixels, share in self.recipe.sizes:  # noqa: B007 - the last size is also for what rounding leaves
            until += share
            if done < until:
                break
        return pixels

    def rate(self, state: TrainingState) -> float:
        """Return the learning rate of the next step; neither the first nor the last is wasted at 0."""
        total = self.steps_total
        progress = (state.steps + 1) / (total + 1) if total is not None else self.progress(state)
        return self.recipe.optimizer.lr * rate_factor(self.recipe.schedule, progress, self.recipe.warmup)


def _stops_early(recipe: Recipe, history: Sequence[dict[str, float]]) -> bool:
    """Tell whether the last `patience` epochs brought no better validation loss."""
    if recipe.early_stop is None or len(history) <= recipe.early_stop.patience:
        return False
    # Not a number is no better than anything: `min` would make its answer depend on the order.
    losses = [math.inf if math.isnan(row["validation_loss"]) else row["validation_loss"] for row in history]
    return min(losses[-recipe.early_stop.patience :]) >= min(losses[: -recipe.early_stop.patience])


@dataclass(frozen=True)
class Loop:
    """The parts that a training is made of; `run` puts them to work."""

    course: Course
    batches: TrainingBatches
    objective: Objective
    autocast: Callable[[], torch.autocast]
    forward: Callable[[Tensor], Tensor]  # the model, compiled or not
    validate: Callable[[TrainingState], dict[str, float]]
    checkpoint: Callable[[TrainingState], None]
    checkpoint_seconds: float  # of work that an interruption may cost
    listeners: Sequence[Listener] = ()
    begin_epoch: Callable[[TrainingState], None] = lambda state: None  # what moves may depend on the epoch
    team: Team = ALONE  # processes that share the batches

    def run(self, state: TrainingState) -> None:
        """Train from where the state stands to the end of the course.

        Args:
            state: Where the training stands; moved in place.

        Raises:
            Diverged: The loss is not finite.
            Stopped: A listener asked for it; a checkpoint was written.
        """
        saved = time.monotonic()
        while not self.course.ended(state):
            for step in self._epoch(state):
                objections = [listener.on_step(step) for listener in self.listeners]
                objected = self.team.agree(state, any(objections))
                if self.course.ended(state):  # first of all: a checkpoint never stands behind the last step
                    break
                if objected:
                    self.checkpoint(state)
                    raise Stopped
                if time.monotonic() - saved > self.checkpoint_seconds:
                    self.checkpoint(state)
                    saved = time.monotonic()
            self._end_epoch(state)

    def _epoch(self, state: TrainingState) -> Iterator[Step]:
        """Yield after each step of the rest of an epoch; the clock runs only inside."""
        self.begin_epoch(state)
        started = time.perf_counter()
        for batch in self.batches.epoch(state.epoch, state.step):
            loss = self._step(state, batch)
            state.seconds += time.perf_counter() - started
            yield Step(
                state.epoch, state.steps, self.course.steps_total, loss,
                state.images, state.seconds, self.course.progress(state),
            )  # fmt: skip
            started = time.perf_counter()

    def _step(self, state: TrainingState, whole: Batch) -> Tensor:
        """Move the weights once; return the loss of the batch."""
        batch, images = self.team.part(whole), len(whole.labels_B)
        _seed_global_generators(
            self.team.stream(rng.key(self.batches.seed, "dropout", state.epoch, state.step))
        )
        set_rate(state.optimizer, self.course.rate(state))
        with self.autocast(), showing(state.model, self.course.size(state)):
            logits_BK = self.forward(batch.images_BHWC)
        loss = self.objective(logits_BK, batch)
        state.optimizer.zero_grad(set_to_none=True)
        self.team.weigh(loss, len(batch.labels_B), images).backward()
        if self.course.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(state.model.parameters(), self.course.recipe.clip_norm)
        state.optimizer.step()
        if state.averaged is not None:
            state.averaged.update(state.model, state.steps)
        told = self.team.add(state.tally, loss, logits_BK, batch.labels_B)
        state.step += 1
        state.steps += 1
        state.images += images
        if state.steps % CHECK_EVERY == 0:
            self._look(state)
        return told

    def _look(self, state: TrainingState) -> None:
        """See whether the losses are finite, and how much memory is in use."""
        state.peak_bytes = max(state.peak_bytes, private_bytes())
        if not math.isfinite(float(state.tally.loss)):
            raise Diverged(
                f"the loss was no longer finite by step {state.steps} (epoch {state.epoch + 1}, "
                f"learning rate {self.course.rate(state):.3g})"
            )

    def _end_epoch(self, state: TrainingState) -> None:
        """Write the history's row and start the next epoch."""
        started = time.perf_counter()
        self._look(state)  # a GPU may still be at work on the last steps
        state.seconds += time.perf_counter() - started
        self.team.agree(state, False)  # by time, rates and sizes follow from the seconds
        row = self.team.told(lambda: self._row(state))
        state.history.append(row)
        state.epoch, state.step = state.epoch + 1, 0
        state.tally = Tally.empty(state.tally.loss.device)
        for listener in self.listeners:
            listener.on_epoch(row)

    def _row(self, state: TrainingState) -> dict[str, float]:
        """Make the history's row of the epoch that ends."""
        tally = state.tally
        return {
            "epoch": state.images / len(self.batches.index),
            "step": float(state.steps),
            "train_loss": float(tally.loss) / tally.seen,
            "train_accuracy": float(tally.correct) / tally.seen,
            "seconds": state.seconds,
            "images_per_second": state.images / state.seconds,
            "lr": self.course.rate(state),
            **self.validate(state),
        }


@contextmanager
def own_global_state(device: torch.device) -> Iterator[None]:
    """Leave the caller's global generators and default type as they were; inside, weights are float32."""
    devices = [device] if device.type == "cuda" else []
    python, numpy, dtype = random.getstate(), np.random.get_state(), torch.get_default_dtype()  # noqa: NPY002
    torch.set_default_dtype(torch.float32)
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002 - networks of users may draw from it
        torch.set_default_dtype(dtype)


def _seed_global_generators(key: int) -> None:
    """Give dropout, and whatever a user's network draws, the stream of this step."""
    torch.default_generator.manual_seed(key)  # torch.manual_seed formats a stack for every kind of device
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(key)
    random.seed(key)
    np.random.seed(key % 2**32)  # noqa: NPY002 - as above
