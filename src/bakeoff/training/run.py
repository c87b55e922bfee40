"""One run from a job to its record: build, train or continue, evaluate once, write.

The record is written last, so a folder with a record is a run that has ended. A diverged
training is a result with a reason; an exception inside a candidate is a failed run, and
the study goes on.
"""

from __future__ import annotations

import math
import os
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, cast

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from bakeoff.data.batches import ImageStore, TrainingBatches
from bakeoff.errors import ConfigError, DataError, ResourceError, StudyError
from bakeoff.models.architecture import describe_origin, title, user_files
from bakeoff.models.summary import summarise
from bakeoff.models.transfer import Stacked, blocks, blocks_at_rest, describe_frozen
from bakeoff.records import RunFolder, RunRecord, writing
from bakeoff.records.atomic import write_text
from bakeoff.records.run import Scored, Status
from bakeoff.spec import canonical_json
from bakeoff.training.account import Account
from bakeoff.training.allocator import give_back, private_bytes
from bakeoff.training.assembly import assembled
from bakeoff.training.averaging import Averaged
from bakeoff.training.classifier import Classifier, build_classifier, placed
from bakeoff.training.energy import EnergyMeter
from bakeoff.training.evaluate import predict, read_test, score
from bakeoff.training.events import EventLog
from bakeoff.training.features import (
    MOST_BYTES,
    Features,
    is_base_frozen,
    keep_features,
    rest_of,
    stacked_rows,
)
from bakeoff.training.first_layer import show_first
from bakeoff.training.job import Job
from bakeoff.training.latency import LEAST_SECONDS, SECONDS, TimeLimits, measure_inference
from bakeoff.training.loop import Course, Diverged, Listener, Loop, Step, Stopped, own_global_state
from bakeoff.training.objective import Objective, balanced_weights
from bakeoff.training.optimizers import build_optimizer
from bakeoff.training.probe import PENALTIES, Fit, Probe
from bakeoff.training.recalibrate import recalibrate
from bakeoff.training.scoring import keep_scores
from bakeoff.training.source import describe_source
from bakeoff.training.state import Tally, TrainingState
from bakeoff.training.team import ALONE, Team
from bakeoff.units import format_bytes, format_seconds

CHECKPOINT_SECONDS = 60.0  # of training that an interruption may cost


# Being asked to stop, a full disk, lost images and a wrong folder are nobody's fault among the
# candidates and end the study's work. Anything else is the candidate's own: a user's network
# can raise exceptions of kinds that nobody knows.
NO_FAULT_OF_ITS_OWN = (Stopped, OSError, DataError, StudyError, ResourceError)


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

    Args:
        job: What is asked for.
        folder: Receives predictions, weights, events, and the record at the end.
        listener: Hears steps, epochs and evaluations, and may stop the training.
        checkpoint_seconds: Of training that an interruption may cost.

    Returns:
        The record that was written.

    Raises:
        Stopped: The listener asked for it; the checkpoint is written.
        ResourceError: The disk is full.
    """
    work = _Attempt(job, folder, listener, checkpoint_seconds)

    def act() -> None:
        with assembled(job) as team:
            work.run(team)

    status, reason = _attempt(act, job, folder)
    work.tick()
    record = work.account.record(job, status, reason, folder.test_readings())
    folder.write(record)
    # What failed is tried again by the next command, and goes on from where it was.
    folder.clear_unfinished(checkpoint=status != "failed")
    return record


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """What a network has shown at the end of a training that reads no test image."""

    status: Status
    reason: str | None
    validation: dict[str, float]  # accuracy and loss behind the last step, in the training's precision
    images: int  # seen
    seconds: float  # of steps


def train_trial(
    job: Job,
    folder: RunFolder,
    listener: RunListener,
    *,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Showing:
    """Train a job to its end, from its checkpoint if there is one, and score its validation images once.

    Args:
        job: What is asked for.
        folder: Receives the checkpoint; no record is written.
        listener: As for `train_run`.
        checkpoint_seconds: As for `train_run`.

    Returns:
        What it has shown.

    Raises:
        Stopped: As for `train_run`.
        ResourceError: Likewise.
    """
    work = _Attempt(job, folder, listener, checkpoint_seconds, only_last=True)
    status, reason = _attempt(work.learn, job, folder)
    state = work.account.state
    row = state.history[-1] if state is not None and state.history and status == "finished" else {}
    prefix = "validation_"
    found = {name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)}
    if status == "finished" and not all(np.isfinite(value) for value in found.values()):
        status, reason, found = "diverged", "the trained network's outputs are not finite", {}
    return Showing(
        status=status, reason=reason, validation=found, images=state.images if state is not None else 0,
        seconds=state.seconds if state is not None else 0.0,
    )  # fmt: skip


def _attempt(act: Callable[[], object], job: Job, folder: RunFolder) -> tuple[Status, str | None]:
    """Do the work of a job, and say how that has ended."""
    job.machine.apply()  # an earlier candidate's code may have changed it
    give_back()
    try:
        with own_global_state(job.machine.torch_device):
            act()
    except Diverged as end:
        return "diverged", str(end)
    except (Exception, SystemExit) as error:
        if isinstance(error, NO_FAULT_OF_ITS_OWN) and not _in_users_code(error, job):
            raise
        write_text(folder.traceback_path, traceback.format_exc())
        return "failed", one_line(error)
    return "finished", None


def record_failure(job: Job, folder: RunFolder, reason: str) -> RunRecord:
    """Write the record of a run whose process has ended without one.

    Args:
        job: The run's.
        folder: Its; the checkpoint in it stays, from which the next command goes on.
        reason: Why, in one line.

    Returns:
        The record, which says that the run failed.
    """
    record = Account().record(job, "failed", reason, folder.test_readings())
    folder.write(record)
    folder.clear_unfinished(checkpoint=False)
    return record


def follow_run(job: Job, team: Team) -> None:
    """Share the steps of a run that another process leads.

    Args:
        job: The run's, on this process's own device.
        team: Of the processes.

    Raises:
        Stopped: The leading process asked for it.
    """
    job.machine.apply()
    folder = RunFolder(Path(os.devnull))  # nothing is written there
    with own_global_state(job.machine.torch_device):
        _Attempt(job, folder, _Deaf(), math.inf).follow(team)


class _Deaf:
    """Hears nothing and objects to nothing."""

    def on_step(self, step: Step) -> bool:
        """Object to nothing."""
        return False

    def on_epoch(self, row: dict[str, float]) -> None:
        """Hear nothing."""

    def on_evaluation(self, split: str, done: int, total: int) -> None:
        """Hear nothing."""


class _Attempt:
    """One attempt at a job."""

    def __init__(
        self,
        job: Job,
        folder: RunFolder,
        listener: RunListener,
        checkpoint_seconds: float,
        *,
        only_last: bool = False,
    ) -> None:
        self.job = job
        self.only_last = only_last  # whether validation images are scored behind the last step alone
        self.folder = folder
        self.listener = listener
        self.checkpoint_seconds = checkpoint_seconds
        self.account = Account()
        self.features: Features | None = None
        self.meter: EnergyMeter | None = None
        self._ticked = time.monotonic()
        self.team: Team = ALONE

    def run(self, team: Team = ALONE) -> None:
        """Build, train and evaluate; the account keeps whatever was reached."""
        self.team = team
        state, store = self.learn()
        # The evaluation may take a while, and fail; a probe's features are kept, and its fit is short.
        if state.seconds > self.checkpoint_seconds and not self.job.candidate.probe:
            self._checkpoint(state)
        self._close_training(state)
        self._evaluate(state, store)
        state.peak_bytes = max(state.peak_bytes, private_bytes())

    def learn(self) -> tuple[TrainingState, ImageStore]:
        """Build and train; the account keeps whatever was reached."""
        job, device = self.job, self.job.machine.torch_device
        self.account.source = describe_source(job)
        self.account.pretrained = describe_origin(job.architecture)
        model = classifier_of(job)
        self.account.summary = summarise(model.network, job.input_size)
        self.account.frozen = describe_frozen(model)
        store = ImageStore(job.data.images_NHWC, job.data.labels_N, device)
        seconds = show_first(placed(model, device), store, job)
        state = initial_state(model, job)
        state.seconds = seconds
        state.load(self.folder.checkpoint_path, job.identity)
        self.account.state = state
        self.meter = EnergyMeter(job.machine.device)
        features = keep_features(
            model,
            store,
            job,
            autocast=autocast_for(job),
            beat=lambda done, total: self.listener.on_evaluation("features", done, total),
        )
        if features is not None:
            self.account.features = {"seconds": features.seconds}
            if state.steps == 0:
                state.seconds += features.seconds
        self.features = features
        self.team.wait()  # the others find the features on the disk
        if job.candidate.probe:
            self._probe(state)
        else:
            if job.candidate.head_start == "probe" and state.steps == 0:
                self._start_head(state, store)
            state.lead = state.seconds if state.steps == 0 else state.lead
            self.team.start_from(state)
            self._train(state, store)
        return state, store

    def follow(self, team: Team) -> None:
        """Take the steps of the recipe with a process that leads; write nothing."""
        self.team = team
        job, device = self.job, self.job.machine.torch_device
        store = ImageStore(job.data.images_NHWC, job.data.labels_N, device)
        state = initial_state(placed(classifier_of(job), device), job)
        team.wait()
        self.features = keep_features(state.model, store, job, autocast=autocast_for(job))
        team.start_from(state)
        self._loop(state, store, []).run(state)

    def _close_training(self, state: TrainingState) -> None:
        """Note what the training took, and time predictions of what it made: before any test image is read.

        Interrupted here, a run has read no test image that it would read again. The time of this is
        not charged to the run.
        """
        self.tick()
        if self.meter is not None and not state.resumed:  # nobody knows what went before
            self.account.energy_joules = self.meter.joules
        if not self.job.timed or state.resumed:
            return
        seconds = min(SECONDS, max(LEAST_SECONDS, state.seconds / 4))
        with suppress(RuntimeError, MemoryError):  # timed it is in spare memory, or not at all
            self.account.inference = measure_inference(
                state.scored, self.job.data.images_NHWC.shape[1:], self.job.machine.torch_device,
                limits=TimeLimits(seconds=seconds), beat=self._beat("latency"),
            )  # fmt: skip
        self._ticked = time.monotonic()

    def _train(self, state: TrainingState, store: ImageStore) -> None:
        """Take the steps of the recipe."""
        length = self.job.recipe.length
        if state.steps == 0 and length.unit == "seconds" and state.seconds >= length.amount:
            took = format_seconds(state.seconds)
            raise ConfigError(
                f"time: what is frozen or fitted took {took} of the {length} that the recipe gives, so that "
                "no step was left; give more, or a smaller input_size"
            )
        if self.only_last:  # a trial's course is nobody's to look at
            self._loop(state, store, [self.listener]).run(state)
        else:
            log = EventLog(self.folder.tensorboard_path, state.history)
            try:
                self._loop(state, store, [self.listener, _Logger(log)]).run(state)
            finally:
                log.close()
        self._rest(state, max(0, state.epoch - 1))  # also where a checkpoint stood behind the last epoch

    def _probe(self, state: TrainingState) -> None:
        """Fit the last layer to the kept features, in place of steps."""
        if self.features is None:
            raise ConfigError(self._too_large("probe"))
        self._fit(state, self.features)
        state.images = len(self.job.data.train) * len(self.features.training)

    def _too_large(self, setting: str) -> str:
        return (
            f"{setting}: the features of '{self.job.candidate.name}' take more than "
            f"{format_bytes(MOST_BYTES)}, expected fewer images or a smaller input_size"
        )

    def _start_head(self, state: TrainingState, store: ImageStore) -> None:
        """Fit the head to what the base makes of the images as they are, before the first step."""
        features = self.features
        if features is None or features.views or not is_base_frozen(state.model):
            features = keep_features(
                state.model,
                store,
                self.job,
                autocast=autocast_for(self.job),
                beat=lambda done, total: self.listener.on_evaluation("features", done, total),
                whole_base=True,
            )
            if features is None:
                raise ConfigError(self._too_large("head_start"))
            state.seconds += features.seconds
        self._fit(state, features)

    def _fit(self, state: TrainingState, features: Features) -> None:
        """Give the head the weights of the best probe."""
        job, started = self.job, time.perf_counter()
        probe = Probe(
            stacked_rows(features.training, job.data.train),
            stacked_rows([features.plain], job.data.validation),
            len(job.data.class_ids),
            objective_for(job),
        )
        fits: list[Fit] = []

        def heard(fit: Fit) -> None:
            fits.append(fit)
            self.listener.on_evaluation("probe", len(fits), len(PENALTIES))

        best = probe.walk(heard)
        for model in (state.model, state.scored):
            network = cast("Stacked", cast("Classifier", model).network)
            network.head.set_output(best.weight_KF, best.bias_K)
        state.probe = [fit.row | {"chosen": float(fit is best)} for fit in fits]
        state.seconds += time.perf_counter() - started

    def tick(self) -> None:
        """Charge the time since the last tick to the run."""
        now = time.monotonic()
        if self.account.state is not None:
            self.account.state.total_seconds += now - self._ticked
        if self.meter is not None:
            self.meter.sample()
        self._ticked = now

    def _loop(self, state: TrainingState, store: ImageStore, listeners: Sequence[Listener]) -> Loop:
        job, recipe = self.job, self.job.recipe
        batches = TrainingBatches(
            store, job.data.train, batch_size=recipe.batch_size, seed=job.seed,
            augmentation=recipe.augmentation, balanced=recipe.sampler == "balanced",
            instead=self.features.training if self.features is not None else (),
        )  # fmt: skip
        learner = self._learner(state.model)
        course = Course(recipe, batches.steps_per_epoch)
        return Loop(
            course=course,
            batches=batches,
            objective=objective_for(job),
            autocast=autocast_for(job),
            # Each size of batch has its own code: code for any size, made at a run's second size,
            # computes other last bits, and would be made at another step after an interruption.
            forward=torch.compile(learner, dynamic=False) if recipe.compile else self.team.forward(learner),
            validate=lambda state: (
                {} if self.only_last and not course.ended(state) else self._validate(state, store)
            ),
            checkpoint=self._checkpoint,
            checkpoint_seconds=self.checkpoint_seconds,
            listeners=listeners,
            begin_epoch=lambda state: self._rest(state, state.epoch),
            team=self.team,
        )

    def _rest(self, state: TrainingState, epoch: int) -> None:
        """Let the head move alone in the first epochs, and blocks after it, where that is asked for."""
        candidate = self.job.candidate
        for model in (state.model, state.scored):
            network = cast("Classifier", model).network
            if isinstance(network, Stacked):
                network.rest(
                    blocks_at_rest(
                        epoch,
                        len(blocks(network.base)),
                        head_epochs=candidate.head_epochs,
                        unfreeze_epochs=candidate.unfreeze_epochs,
                    )
                )

    def _learner(self, model: nn.Module) -> nn.Module:
        """Return what takes the steps: the model on images, or its rest on features."""
        rest = rest_of(model) if self.features is not None else None
        return rest if rest is not None else model

    def _checkpoint(self, state: TrainingState) -> None:
        if not self.team.leads:
            return
        self.tick()
        state.save(self.folder.checkpoint_path, self.job.identity)
        self.folder.keep(self.folder.checkpoint_path)

    def _validate(self, state: TrainingState, store: ImageStore) -> dict[str, float]:
        """Score the validation images between two epochs, in the precision of the training."""
        index = self.job.data.validation
        self._settle(state, store, autocast_for(self.job))
        probabilities_NK = predict(
            self._learner(state.scored), store if self.features is None else self.features.plain, index,
            autocast=autocast_for(self.job), beat=self._beat("validation"),
        )  # fmt: skip
        found = score(probabilities_NK, self.job.data.labels_N[index])
        return {f"validation_{name}": value for name, value in found.items()}

    def _settle(
        self, state: TrainingState, store: ImageStore, autocast: Callable[[], torch.autocast] | None
    ) -> None:
        """Bring batch normalization's statistics up to date, when the recipe asks for it."""
        recipe, data = self.job.recipe, self.job.data
        if recipe.norm_statistics == "recalibrated":
            recalibrate(
                state.scored, store, data.train,
                batch_size=recipe.batch_size, seed=self.job.seed, autocast=autocast,
            )  # fmt: skip

    def _evaluate(self, state: TrainingState, store: ImageStore) -> None:
        """Score validation and test images once, in fp32, and store predictions and weights."""
        job = self.job
        self._settle(state, store, None)
        if not all(bool(tensor.isfinite().all()) for tensor in state.scored.state_dict().values()):
            raise Diverged("the trained weights are not finite")
        if describe_frozen(state.scored) != self.account.frozen:
            raise RuntimeError("frozen weights or statistics have changed in training")
        index: dict[Scored, np.ndarray] = {"validation": job.data.validation}
        found: dict[Scored, np.ndarray] = {
            "validation": predict(
                state.scored, store, index["validation"],
                beat=self._beat("validation"), views=job.recipe.test_views,
            ),
        }  # fmt: skip
        if len(job.data.test):  # a program may give all its images to be learned from
            index["test"] = job.data.test
            found["test"] = read_test(
                state.scored, store, index["test"], self.folder,
                purpose="final evaluation", beat=self._beat("test"), views=job.recipe.test_views,
            )  # fmt: skip
        if not all(np.isfinite(probabilities_NK).all() for probabilities_NK in found.values()):
            raise Diverged("the trained network's outputs are not finite")
        scores = keep_scores(self.folder, found, index, job.data.labels_N)
        self._write_weights(state)
        self.account.metrics |= scores.metrics
        self.account.calibration = scores.calibration

    def _write_weights(self, state: TrainingState) -> None:
        weights = {  # copies: safetensors refuses weights that share memory, as tied layers do
            name: tensor.to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, tensor in state.scored.state_dict().items()
        }
        # One key: safetensors writes several in any order, and equal runs should leave equal bytes.
        about = {
            "bakeoff": canonical_json({"model": title(self.job.architecture), "identity": self.job.identity})
        }
        with writing(self.folder.weights_path) as partial:
            partial.write_bytes(save(weights, metadata=about))

    def _beat(self, split: Scored | Literal["latency"]) -> Callable[[int, int], None]:
        return lambda done, total: self.listener.on_evaluation(split, done, total)


def classifier_of(job: Job, *, trained: bool = True) -> Classifier:
    """Build a job's classifier, on the processor.

    Args:
        job: Whose.
        trained: Whether the weights of a source are read.

    Returns:
        In training mode, nothing of it trained here.
    """
    model = build_classifier(
        job.architecture, classes=len(job.data.class_ids), input_size=job.input_size,
        mean=job.mean, std=job.std, seed=job.seed, base_dir=job.base_dir, trained=trained,
    )  # fmt: skip
    if isinstance(model.network, Stacked) and job.candidate.source_norms == "kept":
        model.network.keep_statistics()
    return model


def initial_state(model: Classifier, job: Job) -> TrainingState:
    """Stand before the first step of a job."""
    model.train()
    decay = None if job.candidate.probe else job.recipe.ema  # a probe is fitted, and takes no steps
    averaged = Averaged(model, decay) if decay is not None else None
    factors = None
    if isinstance(model.network, Stacked):
        factors = model.network.rates(job.candidate.source_lr, job.candidate.layer_decay)
    optimizer = build_optimizer(model, job.recipe.optimizer, factors)
    return TrainingState(model, optimizer, averaged, Tally.empty(job.machine.torch_device))


def autocast_for(job: Job) -> Callable[[], torch.autocast]:
    """Return a maker of contexts in which the network computes in the job's precision."""
    device = job.machine.torch_device.type
    return lambda: torch.autocast(device, dtype=torch.bfloat16, enabled=job.precision == "bf16")


def objective_for(job: Job) -> Objective:
    """Return the loss that the job's recipe asks for."""
    weights = None
    if job.recipe.class_weights == "balanced":
        train_labels_N = job.data.labels_N[job.data.train]
        weights = balanced_weights(train_labels_N, len(job.data.class_ids)).to(job.machine.torch_device)
    return Objective(job.recipe.label_smoothing, weights)


def _in_users_code(error: BaseException, job: Job) -> bool:
    """Tell whether a user's model file was at work when an exception of the system rose."""
    names = [name.rpartition(":")[0] for name in user_files(job.architecture)]
    files = {str(job.base_dir / Path(os.path.expanduser(name))) for name in names}
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, OSError) and any(frame.filename in files for frame in frames)


def one_line(error: BaseException) -> str:
    """Say in one line what went wrong inside a candidate."""
    text = " ".join(str(error).split())[:300]
    if isinstance(error, ConfigError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
