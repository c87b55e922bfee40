"""The runs of a study that a verification looks at: those whose record can be read, and the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff.errors import StudyError
from bakeoff.records import RunFolder, RunRecord, StudyFolder, TaskRecord
from bakeoff.spec import CandidateSpec, StudySpec, TaskSpec


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A run that has ended, with what its study says of it."""

    record: RunRecord
    folder: RunFolder
    task: TaskSpec
    candidate: CandidateSpec

    @property
    def name(self) -> str:
        """The run as people call it."""
        return run_name(self.record.task, self.record.candidate, self.record.seed)

    @property
    def finished(self) -> bool:
        """Whether it trained to its end and was tested."""
        return self.record.status == "finished"


@dataclass(frozen=True, kw_only=True)
class Contents:
    """A study's folder as far as it can be read."""

    folder: StudyFolder
    spec: StudySpec
    runs: Sequence[Ended]
    planned: int
    unreadable: Sequence[str]  # records, and what is wrong with each
    tasks: dict[str, TaskRecord]
    unreadable_tasks: Sequence[str]

    def of(self, task: str) -> list[Ended]:
        """List a task's runs."""
        return [run for run in self.runs if run.task.name == task]


def run_name(task: str, candidate: str, seed: int) -> str:
    """Write a run as ``--retrain`` takes it.

    >>> run_name("5 classes", "model1", 0)
    '5 classes/model1/0'
    """
    return f"{task}/{candidate}/{seed}"


def read_ended(folder: StudyFolder) -> Contents:
    """Read every record of a study; a damaged one stops nothing.

    Args:
        folder: The study's.

    Returns:
        What can be read, and what is wrong with the rest.

    Raises:
        StudyError: The folder holds no study.
    """
    spec = folder.spec()
    runs, unreadable, planned = [], [], 0
    tasks, unreadable_tasks = {}, []
    for task in spec.tasks:
        try:
            known = folder.read_task(task.name)
            if known is not None:
                tasks[task.name] = known
        except StudyError as error:
            unreadable_tasks.append(str(error))
        for candidate in spec.candidates_of(task):
            for seed in spec.seeds_of(task):
                planned += 1
                place = folder.run(task.name, candidate.name, seed)
                try:
                    record = place.read()
                except StudyError as error:
                    unreadable.append(str(error))
                    continue
                if record is not None:
                    runs.append(Ended(record=record, folder=place, task=task, candidate=candidate))
    return Contents(
        folder=folder, spec=spec, runs=runs, planned=planned, unreadable=unreadable, tasks=tasks,
        unreadable_tasks=unreadable_tasks,
    )  # fmt: skip
