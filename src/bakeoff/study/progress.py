"""What a study tells while it works; who shows it is somebody else's business."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bakeoff.data.prepare import TaskData
from bakeoff.records import RunRecord
from bakeoff.training.job import Job
from bakeoff.training.loop import Step


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run of the plan: its job, its expected work, and its record if it has ended before."""

    job: Job
    multiplications: float  # of the whole training, to weigh runs against each other; 0 if unknown
    seconds: float | None  # of training, when the recipe gives it
    record: RunRecord | None
    older: bool  # a result of an older version of the network lies there, and will be replaced
    given_up: int = 0  # steps of a checkpoint of another version or other settings, which will be replaced


class StudyListener(Protocol):
    """Hears of everything that happens in a study; answers True to a step to stop it.

    One that has a property `wants_stop` is asked by it, too, while runs wait for a cluster and take no step.
    """

    def on_remark(self, text: str) -> None:
        """Hear a sentence that the user should read."""

    def on_prepare(self, task: str, phase: str, done: int, total: int) -> None:
        """Hear how far the images of a task are read."""

    def on_data(self, task: str, data: TaskData) -> None:
        """Hear that a task's images are ready."""

    def on_plan(self, runs: Sequence[PlannedRun]) -> None:
        """Hear all runs that were asked for, those already done included."""

    def on_run_start(self, job: Job) -> None:
        """Hear that a run starts or continues."""

    def on_step(self, job: Job, step: Step) -> bool:
        """Hear a step; True stops the study."""

    def on_epoch(self, job: Job, row: dict[str, float]) -> None:
        """Hear an epoch's row of the history."""

    def on_evaluation(self, job: Job, split: str, done: int, total: int) -> None:
        """Hear how far a split is predicted."""

    def on_run_end(self, job: Job, record: RunRecord) -> None:
        """Hear that a run has ended, in whatever way."""


class Quiet:
    """Hears everything and says nothing."""

    def on_remark(self, text: str) -> None:
        """Say nothing."""

    def on_prepare(self, task: str, phase: str, done: int, total: int) -> None:
        """Say nothing."""

    def on_data(self, task: str, data: TaskData) -> None:
        """Say nothing."""

    def on_plan(self, runs: Sequence[PlannedRun]) -> None:
        """Say nothing."""

    def on_run_start(self, job: Job) -> None:
        """Say nothing."""

    def on_step(self, job: Job, step: Step) -> bool:
        """Go on."""
        return False

    def on_epoch(self, job: Job, row: dict[str, float]) -> None:
        """Say nothing."""

    def on_evaluation(self, job: Job, split: str, done: int, total: int) -> None:
        """Say nothing."""

    def on_run_end(self, job: Job, record: RunRecord) -> None:
        """Say nothing."""
