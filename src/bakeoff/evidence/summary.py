"""What a study found, as plain values: candidates' rows, control groups, tasks, the study.

Page, terminal and JSON show these objects; they choose fonts, not words. `summarise` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bakeoff.evidence.comparison import Comparison
from bakeoff.evidence.confidence import CandidateCalibration
from bakeoff.evidence.cost import Place
from bakeoff.evidence.intervals import Interval
from bakeoff.evidence.per_class import ClassDifference
from bakeoff.evidence.runs import Run
from bakeoff.evidence.symptoms import Symptom
from bakeoff.records import TaskRecord
from bakeoff.records.checks import TaskChecks
from bakeoff.spec import Published


@dataclass(frozen=True, kw_only=True)
class AgainstPublished:
    """Ours beside what somebody else reported."""

    loss: float | None
    accuracy: float | None
    accuracy_difference: float | None  # ours minus published, a fraction
    loss_difference: float | None  # ours minus published, nats
    at_least_as_accurate: bool | None  # by the mean; None when no accuracy was published
    inside_interval: bool | None  # whether our interval holds the published accuracy
    text: str


@dataclass(frozen=True, kw_only=True)
class CandidateSummary:
    """One candidate of a task over its seeds; None where no run has finished."""

    # Who
    name: str
    model: str
    note: str
    control_digest: str  # candidates with equal ones are ranked together
    differences: dict[str, list[Any]]  # "batch_size": [the task's, its own]
    mixed: str = ""  # what its seeds have more than one of ("control"), so that it is ranked alone
    # How its runs ended
    planned: int
    statuses: dict[str, int]  # "finished", "diverged", "failed", "missing"
    seeds: tuple[int, ...]  # the finished ones
    # What it showed; over seeds and images, or for one seed over its test images (`bounded`)
    accuracy: Interval | None = None
    loss: Interval | None = None
    top5: Interval | None = None
    macro_f1: Interval | None = None
    balanced_accuracy: Interval | None = None
    validation_accuracy: Interval | None = None
    validation_loss: Interval | None = None
    # What it is and cost; means over the finished seeds
    parameters: int | None = None
    trainable: int | None = None
    multiplications: int | None = None
    input_size: int | None = None
    epochs: float | None = None
    train_seconds: float | None = None
    total_seconds: float | None = None
    images_per_second: float | None = None
    pretrained: str = ""  # what its weights have seen before the study; empty for fresh ones
    source: str = ""  # the candidate that it is built on
    source_seconds: float | None = None  # that the training of its source took, with what that one stands on
    search_seconds: float | None = None  # that the trials took of the search that found it
    searched: str = ""  # what the search was: how many trials, and in what time; empty for other candidates
    peak_memory_bytes: int | None = None
    precision: str = ""
    external: str = ""  # what was held equal for an external program, and what was not; empty for networks
    # What to make of it
    reported: Published | None = None  # as the study file has it, epochs included
    published: AgainstPublished | None = None
    symptoms: tuple[Symptom, ...] = ()
    calibration: CandidateCalibration | None = None  # how far its probabilities can be trusted
    # What one image takes once it is trained, on the study's machine (`training.latency`); empty where that
    # was not measured. And what its training took, mean over the seeds that could be read
    inference: dict[str, Any] = field(default_factory=dict)
    energy_joules: float | None = None
    deduplicated: Interval | None = None  # accuracy without test images that have a twin; None where none has

    @property
    def finished(self) -> bool:
        """Whether at least one run has finished."""
        return bool(self.seeds)


@dataclass(frozen=True, kw_only=True)
class ControlGroup:
    """Candidates that were trained under the same control, and so may be ranked."""

    digest: str
    title: str  # "the task's recipe", "the task's budget", or what differs from it
    differences: dict[str, list[Any]]  # "batch_size": [the task's, the group's]
    ranking: tuple[str, ...]  # best first; those with a finished run only
    unranked: tuple[str, ...]  # no run has finished
    not_told_apart: tuple[tuple[str, ...], ...]  # the largest groups, best first
    verdict: str
    recommended: str = ""  # the cheapest that is not significantly worse than the best; empty without a rival
    places: tuple[Place, ...] = ()  # between accuracy and training time

    def standing(self, name: str) -> Place | None:
        """Return where a candidate stands; None for one without accuracy or time."""
        return next((place for place in self.places if place.candidate == name), None)


@dataclass(frozen=True, kw_only=True)
class TaskSummary:
    """A task: its rows in the study's order, its control groups, its comparisons and its verdict."""

    name: str
    record: TaskRecord | None  # None when its images were never prepared
    control: str  # "recipe" or "budget"
    classes: int | None
    test_images: int | None
    guess: float | None  # accuracy of always answering the commonest class
    candidates: tuple[CandidateSummary, ...]
    groups: tuple[ControlGroup, ...]
    comparisons: tuple[Comparison, ...]  # all pairs inside groups, corrected together
    planned: int  # runs
    ended: int
    verdict: str  # one to three sentences
    sensitivity: str = ""  # how far apart two candidates have to lie, in words
    rivals: tuple[str, str] | None = None  # winner and runner-up of the largest group
    by_class: tuple[ClassDifference, ...] = ()  # theirs, the largest first
    checks: TaskChecks | None = None  # None when these images were not checked

    def candidate(self, name: str) -> CandidateSummary:
        """Return the row of a candidate."""
        return next(row for row in self.candidates if row.name == name)

    @property
    def best(self) -> CandidateSummary | None:
        """The winner of the largest group (the first among equals), or None before any run has finished."""
        ranked = [group for group in self.groups if group.ranking]
        if not ranked:
            return None
        return self.candidate(max(ranked, key=lambda group: len(group.ranking)).ranking[0])


@dataclass(frozen=True, kw_only=True)
class StudySummary:
    """A whole study."""

    name: str
    title: str
    description: str
    seeds: tuple[int, ...]
    tasks: tuple[TaskSummary, ...]

    @property
    def planned(self) -> int:
        """Runs that the study asks for."""
        return sum(task.planned for task in self.tasks)

    @property
    def ended(self) -> int:
        """Runs that have ended, in whatever way."""
        return sum(task.ended for task in self.tasks)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A study's runs with what they say: page, tables, charts and terminal are all made of one of these."""

    runs: tuple[Run, ...]
    summary: StudySummary
