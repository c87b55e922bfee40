"""What a run will cost: counted beforehand, or measured by timing a few steps of it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch

from bakeoff.data.batches import ImageStore, TrainingBatches, steps_in_epoch
from bakeoff.models.summary import summarise
from bakeoff.training.allocator import give_back, private_bytes
from bakeoff.training.classifier import Classifier, placed
from bakeoff.training.evaluate import predict
from bakeoff.training.features import (
    SomeFeatures,
    is_base_frozen,
    kept_names,
    rest_of,
    some_features,
    stacked_rows,
    views_of,
)
from bakeoff.training.job import Job
from bakeoff.training.loop import Course, Diverged, Loop, Step, Stopped, own_global_state
from bakeoff.training.probe import Probe
from bakeoff.training.run import autocast_for, classifier_of, initial_state, objective_for

BACKWARD = 3  # a training step multiplies about three times as often as a prediction
PROBE_PASSES = 120  # over its features, that a probe takes, more or less
WARM_UP = 2  # steps that are not timed


@dataclass(frozen=True, slots=True)
class Measured:
    """What a few steps of a run have shown."""

    seconds_per_step: float
    seconds_per_prediction: float  # one image, fp32
    memory_bytes: int  # at most: of the GPU, or of this process beside mapped files
    parameters: int
    images_per_second: float  # of training
    seconds_once: float = 0.0  # of frozen work, which the first run of a candidate pays for all
    seconds_start: float = 0.0  # of fitting the head before the first step
    is_frozen: bool = False  # in part, so that validations between epochs cost next to nothing
    is_cut_short: bool = False  # by a step that took too long, so that its time is rough


def steps_expected(job: Job) -> int | None:
    """Count the optimizer steps of a run; None when the clock ends it.

    A probe takes none; the passes over its features, which are not known beforehand, stand for them.
    """
    return PROBE_PASSES if job.candidate.probe else _course(job).steps_total


def training_multiplications(job: Job) -> float:
    """Count the multiply-accumulates of a whole run, roughly; 0 when its network cannot be built.

    A network that cannot be built fails when its run comes, and is recorded then.
    """
    try:
        model = classifier_of(job, trained=False)
        rows = summarise(model.network, job.input_size).rows
        kept = kept_names(model, job)
        stages = [
            (share, summarise(model.network, pixels).multiplications) for pixels, share in job.recipe.sizes
        ]
    except Exception:  # a user's network can raise anything
        return 0.0
    inside = tuple(f"{name}." for name in kept)
    once = sum(
        row["multiplications"] for row in rows if row["name"] in kept or row["name"].startswith(inside)
    )
    again = sum(row["multiplications"] for row in rows) - once
    if stages:
        again = sum(share * multiplications for share, multiplications in stages)
    images = len(job.data.train)
    steps = steps_expected(job) or 0
    seen = steps * (images if job.candidate.probe else min(job.recipe.batch_size, images))
    started = (once + again) * images if job.candidate.head_start == "probe" else 0
    return float(BACKWARD * again * seen + once * images * max(1, views_of(job) or 1) + started)


def measure(job: Job, *, steps: int = 6, seconds: float = 10.0, longest: float = math.inf) -> Measured:
    """Time a few training steps and predictions of a job; nothing is written.

    Args:
        job: What would be trained.
        steps: At most so many timed steps.
        seconds: Stop earlier after so long; two steps are timed in any case.
        longest: Stop behind the first step, also one of the warm-up, that takes longer than so many seconds.

    Returns:
        Means over the timed steps.

    Raises:
        RuntimeError: The network cannot be trained, for want of memory for example.
    """
    give_back()
    with own_global_state(job.machine.torch_device):
        device = job.machine.torch_device
        on_gpu = device.type == "cuda"
        model = placed(classifier_of(job, trained=False), device)
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(device)  # a measurement before this one had its own
        parameters = sum(p.numel() for p in model.parameters())
        store = ImageStore(job.data.images_NHWC, job.data.labels_N, device)
        some = some_features(model, store, job, autocast=autocast_for(job))
        start, fitting = None, 0.0
        if job.candidate.head_start == "probe":
            start = some_features(model, store, job, autocast=autocast_for(job), whole_base=True)
            fitting = PROBE_PASSES * _probe_pass(job, start)
            if some is not None and is_base_frozen(model) and not views_of(job):
                start = None  # the same
        watches: list[_Watch] = []
        if job.candidate.probe:
            per_step = _probe_pass(job, some)
        else:
            by_size = []
            for pixels, share in job.recipe.sizes or [(job.input_size, 1.0)]:
                watch = _Watch(WARM_UP, WARM_UP + steps, seconds / max(1, len(job.recipe.sizes)), longest)
                watches.append(watch)
                with suppress(Stopped, Diverged):  # its steps take as long
                    _short_loop(job, model, store, some, watch, pixels).run(initial_state(model, job))
                by_size.append((share, watch.seconds_per_step))
            per_step = _mean_step(job, by_size)
        memory = torch.cuda.max_memory_allocated(device) if on_gpu else private_bytes()
        index = job.data.train[:128]
        started = time.perf_counter()
        predict(model, store, index)
        predicting = time.perf_counter() - started
    images = len(job.data.train)
    batch = images if job.candidate.probe else min(job.recipe.batch_size, images)
    once = 0.0
    for passed in (some, start):
        if passed is not None:
            views, others = len(passed.training), len(job.data.validation)
            once += passed.seconds / len(passed.index) * (images * views + others)
    return Measured(
        seconds_per_step=per_step,
        seconds_per_prediction=predicting / len(index),
        memory_bytes=memory,
        parameters=parameters,
        images_per_second=batch / per_step,
        seconds_once=once,
        seconds_start=fitting,
        is_frozen=some is not None,
        is_cut_short=any(watch.cut_short for watch in watches),
    )


def _probe_pass(job: Job, some: SomeFeatures | None) -> float:
    """Time one pass over the features of a probe, by a part of them."""
    if some is None:
        raise RuntimeError("the features are too large to keep")
    rows = stacked_rows(some.training, some.index)
    probe = Probe(rows, rows, len(job.data.class_ids), objective_for(job))
    started = time.perf_counter()
    passes = probe.walk().row["passes"]
    return (time.perf_counter() - started) / passes / len(rows[1]) * len(job.data.train)


def _mean_step(job: Job, by_size: Sequence[tuple[float, float]]) -> float:
    """Average the seconds of a step over the sizes of its images, by their shares of the length."""
    if job.recipe.length.unit == "seconds":  # shares are of seconds, in which quick steps are many
        return 1 / sum(share / seconds for share, seconds in by_size)
    return sum(share * seconds for share, seconds in by_size)


class _Watch:
    """Times the steps after the warm-up, and stops when it has seen enough."""

    def __init__(self, first: int, last: int, limit: float, longest: float = math.inf) -> None:
        self._first, self._last, self._limit, self._longest = first, last, limit, longest
        self._started = self._before = self._latest = time.perf_counter()
        self._counted = 0
        self.cut_short = False  # by a step that was too long

    def on_step(self, step: Step) -> bool:
        """Note the time of a step."""
        step.loss.item()  # a GPU may still be at work; the loop itself waits for it once an epoch
        before, self._latest = self._latest, time.perf_counter()
        if step.steps <= self._first:
            self._before = self._latest
        self._counted = step.steps
        if self._latest - before > self._longest:
            self.cut_short = True
            return True
        enough = step.steps >= self._last or self._latest - self._started > self._limit
        return enough and step.steps >= self._first + 2

    def on_epoch(self, row: dict[str, float]) -> None:
        """Go on; a small task's epochs are shorter than what is timed."""

    @property
    def seconds_per_step(self) -> float:
        """The mean over the timed steps; over all of them when the course was too short for a warm-up."""
        if self._counted > self._first:
            return (self._latest - self._before) / (self._counted - self._first)
        return (self._latest - self._started) / max(self._counted, 1)


def _short_loop(
    job: Job, model: Classifier, store: ImageStore, some: SomeFeatures | None, watch: _Watch, pixels: int
) -> Loop:
    recipe = job.recipe.model_copy(update={"sizes": ((pixels, 1.0),)})
    batches = TrainingBatches(
        store, job.data.train if some is None else some.index, batch_size=recipe.batch_size, seed=job.seed,
        augmentation=recipe.augmentation, balanced=recipe.sampler == "balanced",
        instead=() if some is None else some.training,
    )  # fmt: skip
    rest = None if some is None else rest_of(model)
    return Loop(
        course=Course(recipe, steps_in_epoch(len(job.data.train), recipe.batch_size)),
        batches=batches,
        objective=objective_for(job),
        autocast=autocast_for(job),
        forward=model if rest is None else rest,
        validate=lambda state: {"validation_loss": 0.0, "validation_accuracy": 0.0},
        checkpoint=lambda state: None,
        checkpoint_seconds=float("inf"),
        listeners=[watch],
    )


def _course(job: Job) -> Course:
    return Course(job.recipe, steps_in_epoch(len(job.data.train), job.recipe.batch_size))
