"""What a run will cost: counted beforehand, or measured by timing a few steps of it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

import torch

from bakeoff.data.batches import ImageStore, TrainingBatches, steps_in_epoch
from bakeoff.models.summary import summarise
from bakeoff.training.allocator import give_back, private_bytes
from bakeoff.training.classifier import Classifier, build_classifier, placed
from bakeoff.training.evaluate import predict
from bakeoff.training.job import Job
from bakeoff.training.loop import Course, Diverged, Loop, Step, Stopped, own_global_state
from bakeoff.training.run import autocast_for, initial_state, objective_for

BACKWARD = 3  # a training step multiplies about three times as often as a prediction
WARM_UP = 2  # steps that are not timed


@dataclass(frozen=True, slots=True)
class Measured:
    """What a few steps of a run have shown."""

    seconds_per_step: float
    seconds_per_prediction: float  # one image, fp32
    memory_bytes: int  # at most: of the GPU, or of this process beside mapped files
    parameters: int
    images_per_second: float  # of training


def steps_expected(job: Job) -> int | None:
    """Count the optimizer steps of a run; None when the clock ends it."""
    return _course(job).steps_total


def training_multiplications(job: Job) -> float:
    """Count the multiply-accumulates of a whole run, roughly; 0 when its network cannot be built.

    A network that cannot be built fails when its run comes, and is recorded then.
    """
    try:
        network = _classifier(job).network
        per_image = summarise(network, job.input_size).multiplications
    except Exception:  # a user's network can raise anything
        return 0.0
    steps = steps_expected(job) or 0
    return float(BACKWARD * per_image * steps * min(job.recipe.batch_size, len(job.data.train)))


def measure(job: Job, *, steps: int = 6, seconds: float = 10.0) -> Measured:
    """Time a few training steps and predictions of a job; nothing is written.

    Args:
        job: What would be trained.
        steps: At most so many timed steps.
        seconds: Stop earlier after so long; two steps are timed in any case.

    Returns:
        Means over the timed steps.

    Raises:
        RuntimeError: The network cannot be trained, for want of memory for example.
    """
    give_back()
    with own_global_state(job.machine.torch_device):
        device = job.machine.torch_device
        on_gpu = device.type == "cuda"
        model = placed(_classifier(job), device)
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(device)  # a measurement before this one had its own
        parameters = sum(p.numel() for p in model.parameters())
        store = ImageStore(job.data.images_NHWC, job.data.labels_N, device)
        state = initial_state(model, job)
        watch = _Watch(WARM_UP, WARM_UP + steps, seconds)
        loop = _short_loop(job, model, store, watch)
        with suppress(Stopped, Diverged):  # its steps take as long
            loop.run(state)
        memory = torch.cuda.max_memory_allocated(device) if on_gpu else private_bytes()
        index = job.data.train[:128]
        started = time.perf_counter()
        predict(model, store, index)
        predicting = time.perf_counter() - started
    per_step = watch.seconds_per_step
    images = min(job.recipe.batch_size, len(job.data.train))
    return Measured(per_step, predicting / len(index), memory, parameters, images / per_step)


class _Watch:
    """Times the steps after the warm-up, and stops when it has seen enough."""

    def __init__(self, first: int, last: int, limit: float) -> None:
        self._first, self._last, self._limit = first, last, limit
        self._started = self._before = self._latest = time.perf_counter()
        self._counted = 0

    def on_step(self, step: Step) -> bool:
        """Note the time of a step."""
        step.loss.item()  # a GPU may still be at work; the loop itself waits for it once an epoch
        self._latest = time.perf_counter()
        if step.steps <= self._first:
            self._before = self._latest
        self._counted = step.steps
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


def _short_loop(job: Job, model: Classifier, store: ImageStore, watch: _Watch) -> Loop:
    recipe = job.recipe
    batches = TrainingBatches(
        store, job.data.train, batch_size=recipe.batch_size, seed=job.seed,
        augmentation=recipe.augmentation, balanced=recipe.sampler == "balanced",
    )  # fmt: skip
    return Loop(
        course=_course(job),
        batches=batches,
        objective=objective_for(job),
        autocast=autocast_for(job),
        forward=model,
        validate=lambda state: {"validation_loss": 0.0, "validation_accuracy": 0.0},
        checkpoint=lambda state: None,
        checkpoint_seconds=float("inf"),
        listeners=[watch],
    )


def _course(job: Job) -> Course:
    return Course(job.recipe, steps_in_epoch(len(job.data.train), job.recipe.batch_size))


def _classifier(job: Job) -> Classifier:
    return build_classifier(
        job.candidate.model, classes=len(job.data.class_ids), input_size=job.input_size,
        mean=job.mean, std=job.std, seed=job.seed, base_dir=job.base_dir,
    )  # fmt: skip
