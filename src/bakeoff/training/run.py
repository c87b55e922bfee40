"""One run from a job to its record: build, train or continue, evaluate once, write.

The record is written last, so a folder with a record is a run that has ended. A diverged
training is a result with a reason; an exception inside a candidate is a failed run, and
the study goes on.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import save_file

from bakeoff.data.batches import ImageStore, TrainingBatches
from bakeoff.errors import ConfigError
from bakeoff.evidence.predictions import summarise_probabilities
from bakeoff.models.summary import Summary, summarise
from bakeoff.records import RunFolder, RunRecord, writing
from bakeoff.records.atomic import write_text
from bakeoff.training.allocator import give_back, private_bytes
from bakeoff.training.averaging import Averaged
from bakeoff.training.classifier import Classifier, build_classifier
from bakeoff.training.evaluate import predict, read_test, score
from bakeoff.training.events import EventLog
from bakeoff.training.job import Job
from bakeoff.training.loop import Course, Diverged, Listener, Loop, Step, Stopped, own_random_state
from bakeoff.training.machine import describe_environment
from bakeoff.training.objective import Objective, balanced_weights
from bakeoff.training.optimizers import build_optimizer
from bakeoff.training.state import Tally, TrainingState

CHECKPOINT_SECONDS = 60.0  # of training that an interruption may cost

# What a candidate's network can raise: no memory, wrong shapes, errors in a user's code.
# A full disk, lost images and a wrong folder are nobody's fault among the candidates and
# stop the study.
_OWN_FAULTS = (
    RuntimeError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError, NameError,
    MemoryError, NotImplementedError, AssertionError, ConfigError,
)  # fmt: skip


class RunListener(Listener, Protocol):
    """Hears also of the evaluation."""

    def on_evaluation(self, split: str, done: int, total: int) -> None:
        """Hear how many images of a split are predicted."""


@dataclass(frozen=True)
class _Logger:
    """Passes epochs on to TensorBoard."""

    log: EventLog

    def on_step(self, step: Step) -> bool:
        """Object to nothing."""
        return False

    def on_epoch(self, row: dict[str, float]) -> None:
        """Write the row."""
        self.log.add(row)


def train_run(
    job: Job,
    folder: RunFolder,
    listener: RunListener,
    *,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> RunRecord:
    """Train a job to its end, from its checkpoint if there is one, and write its record.

    Raises:
        Stopped: The listener asked for it; the checkpoint is written.
        ResourceError: The disk is full.
    """
    with own_random_state(job.machine.torch_device):
        return _Run(job, folder, listener, checkpoint_seconds).run()


class _Run:
    """One attempt at a job; remembers what its record will hold."""

    def __init__(self, job: Job, folder: RunFolder, listener: RunListener, checkpoint_seconds: float) -> None:
        self.job = job
        self.folder = folder
        self.listener = listener
        self.checkpoint_seconds = checkpoint_seconds
        self.started = datetime.now(UTC)
        self.clock = time.monotonic()
        self.summary: Summary | None = None
        self.state: TrainingState | None = None
        self.metrics: dict[str, float] = {}

    def run(self) -> RunRecord:
        """Do the work, and turn its end, good or bad, into a record."""
        give_back()
        status, reason = "finished", None
        try:
            self._work()
        except Diverged as end:
            status, reason = "diverged", str(end)
        except (Stopped, KeyboardInterrupt):
            raise
        except _OWN_FAULTS as error:
            status, reason = "failed", _reason(error)
            write_text(self.folder.path / "traceback.txt", traceback.format_exc())
        record = self._record(status, reason)
        self.folder.write(record)
        self.folder.clear_unfinished()
        return record

    def _work(self) -> None:
        job, device = self.job, self.job.machine.torch_device
        model = build_classifier(
            job.candidate.model, classes=len(job.data.class_ids), input_size=job.input_size,
            mean=job.mean, std=job.std, seed=job.seed, base_dir=job.base_dir,
        )  # fmt: skip
        self.summary = summarise(model.network, job.input_size)
        model = model.to(device=device, memory_format=torch.channels_last)
        store = ImageStore(job.data.images_NHWC, job.data.labels_N, device)
        self.state = state = initial_state(model, job)
        state.load(self.folder.checkpoint_path, job.identity)
        log = EventLog(self.folder.tensorboard_path, state.history)
        try:
            self._loop(state, store, [self.listener, _Logger(log)]).run(state)
        finally:
            log.close()
        if state.seconds > self.checkpoint_seconds:  # the evaluation may take a while
            self._checkpoint(state)
        self._evaluate(state, store)
        state.peak_bytes = max(state.peak_bytes, private_bytes())

    def _loop(self, state: TrainingState, store: ImageStore, listeners: Sequence[Listener]) -> Loop:
        job, recipe = self.job, self.job.recipe
        batches = TrainingBatches(
            store, job.data.train, batch_size=recipe.batch_size, seed=job.seed,
            augmentation=recipe.augmentation, balanced=recipe.sampler == "balanced",
        )  # fmt: skip
        weights = None
        if recipe.class_weights == "balanced":
            train_labels = job.data.labels_N[job.data.train]
            weights = balanced_weights(train_labels, len(job.data.class_ids)).to(store.device)
        return Loop(
            course=Course(recipe, batches.steps_per_epoch),
            batches=batches,
            objective=Objective(recipe.label_smoothing, weights),
            autocast=autocast_for(job),
            forward=torch.compile(state.model) if recipe.compile else state.model,
            validate=lambda state: self._validate(state, store),
            checkpoint=self._checkpoint,
            checkpoint_seconds=self.checkpoint_seconds,
            listeners=listeners,
        )

    def _checkpoint(self, state: TrainingState) -> None:
        now = time.monotonic()
        state.total_seconds += now - self.clock
        self.clock = now
        state.save(self.folder.checkpoint_path, self.job.identity)

    def _validate(self, state: TrainingState, store: ImageStore) -> dict[str, float]:
        """Score the validation images between two epochs, in the precision of the training."""
        found = self._predict(state, store, "validation", in_training=True)
        return {f"validation_{name}": value for name, value in score(found, self._labels("validation")).items()}

    def _predict(self, state: TrainingState, store: ImageStore, split: str, *, in_training: bool = False) -> np.ndarray:
        autocast = autocast_for(self.job) if in_training else None
        beat = self._beat(split)
        index = getattr(self.job.data, split)
        if split == "test":
            return read_test(state.scored, store, index, self.folder, purpose="final evaluation", beat=beat)
        return predict(state.scored, store, index, autocast=autocast, beat=beat)

    def _beat(self, split: str) -> Callable[[int, int], None]:
        return lambda done, total: self.listener.on_evaluation(split, done, total)

    def _labels(self, split: str) -> np.ndarray:
        labels_N: np.ndarray = self.job.data.labels_N[getattr(self.job.data, split)]
        return labels_N

    def _evaluate(self, state: TrainingState, store: ImageStore) -> None:
        """Score validation and test images once, in fp32, and store predictions and weights."""
        by_split = {split: self._predict(state, store, split) for split in ("validation", "test")}
        if not all(np.isfinite(found).all() for found in by_split.values()):
            raise Diverged("the trained network's outputs are not finite")
        for split, found in by_split.items():
            self.metrics |= {f"{split}_{name}": value for name, value in score(found, self._labels(split)).items()}
        self.folder.write_predictions({
            split: summarise_probabilities(found, self._labels(split), getattr(self.job.data, split))
            for split, found in by_split.items()
        })  # fmt: skip
        with writing(self.folder.probabilities_path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **by_split)
        weights = {name: tensor.cpu().contiguous() for name, tensor in state.scored.state_dict().items()}
        with writing(self.folder.weights_path) as partial:
            save_file(weights, partial, metadata={"model": self.job.candidate.model, "identity": self.job.identity})

    def _record(self, status: Any, reason: str | None) -> RunRecord:
        job, state, summary = self.job, self.state, self.summary
        trained = {} if state is None else {
            "epochs": state.images / len(job.data.train),
            "steps": state.steps,
            "train_seconds": state.seconds,
            "total_seconds": state.total_seconds + time.monotonic() - self.clock,
            "images_per_second": state.images / state.seconds if state.seconds else 0.0,
            "peak_memory_bytes": state.peak_bytes,
            "resumed": state.resumed,
            "history": state.history,
        }  # fmt: skip
        network = {} if summary is None else {
            "parameters": summary.parameters,
            "trainable": summary.trainable,
            "multiplications": summary.multiplications,
            "layers": list(summary.rows),
        }  # fmt: skip
        return RunRecord(
            identity=job.identity,
            study=job.study,
            task=job.task.name,
            candidate=job.candidate.name,
            seed=job.seed,
            status=status,
            reason=reason,
            control=job.task.control,
            control_digest=job.control_digest,
            recipe=job.recipe.model_dump(mode="json"),
            differences=job.differences,
            data_fingerprint=job.data.fingerprint,
            split_digest=job.data.split_digest,
            model=job.candidate.model,
            input_size=job.input_size,
            environment=describe_environment(job.machine),
            precision={"used": job.precision, "reason": job.precision_reason},
            metrics=self.metrics,
            test_readings=self.folder.test_readings(),
            published=None if job.candidate.published is None
            else job.candidate.published.model_dump(mode="json", exclude_defaults=True),
            started=self.started.isoformat(timespec="seconds"),
            ended=datetime.now(UTC).isoformat(timespec="seconds"),
            **network,
            **trained,
        )  # fmt: skip


def initial_state(model: Classifier, job: Job) -> TrainingState:
    """Stand before the first step of a job."""
    model.train()
    averaged = Averaged(model, job.recipe.ema) if job.recipe.ema is not None else None
    optimizer = build_optimizer(model, job.recipe.optimizer)
    return TrainingState(model, optimizer, averaged, Tally.empty(job.machine.torch_device))


def autocast_for(job: Job) -> Callable[[], torch.autocast]:
    """Return a maker of contexts in which the network computes in the job's precision."""
    device = job.machine.torch_device.type
    return lambda: torch.autocast(device, dtype=torch.bfloat16, enabled=job.precision == "bf16")


def _reason(error: Exception) -> str:
    """Say in one line what went wrong inside a candidate."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
