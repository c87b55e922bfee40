"""Two candidates of one study, put side by side from its records alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bakeoff.errors import ConfigError, StudyError, UnknownNameError, nearest
from bakeoff.evidence.agreement import Agreement, Parting, agreement, paired, partings
from bakeoff.evidence.between import Unpaired, compare_unpaired
from bakeoff.evidence.comparison import BySeed, Comparison, compare, find_comparison
from bakeoff.evidence.per_class import ClassDifference, class_differences
from bakeoff.evidence.runs import Run, load_runs
from bakeoff.evidence.summarise import summarise_task
from bakeoff.evidence.summary import CandidateSummary, TaskSummary
from bakeoff.records import StudyFolder
from bakeoff.spec import StudySpec, TaskSpec


@dataclass(frozen=True, kw_only=True)
class CandidatePair:
    """What two candidates of a task show beside each other."""

    study: str
    task: TaskSummary
    first: CandidateSummary
    second: CandidateSummary
    runs: tuple[Run, ...]  # of both
    # The difference, asked for by itself: p is of this one pair. None when they share no seed.
    comparison: Comparison | None
    unpaired: Unpaired | None  # instead, where they share no seed
    among_all: Comparison | None  # the same corrected for all pairs of the task; None under two controls
    agreement: Agreement | None
    classes: tuple[ClassDifference, ...]  # the largest difference first
    partings: tuple[Parting, ...]  # images that one recognises in more seeds

    @property
    def same_control(self) -> bool:
        """Whether the study ranks the two against each other."""
        return self.first.control_digest == self.second.control_digest

    def differences(self) -> dict[str, tuple[Any, Any]]:
        """Name the settings in which the two depart from each other, with both values."""
        found = {}
        for key in sorted({*self.first.differences, *self.second.differences}):
            tasks = (self.first.differences.get(key) or self.second.differences[key])[0]
            values = tuple(row.differences.get(key, [tasks, tasks])[1] for row in (self.first, self.second))
            if values[0] != values[1]:
                found[key] = (values[0], values[1])
        return found


def pair_candidates(folder: StudyFolder, first: str, second: str, task: str | None = None) -> CandidatePair:
    """Compare two candidates of a study.

    Args:
        folder: The study.
        first: A candidate's name.
        second: Another one's.
        task: In which task; None where only one has both.

    Returns:
        Everything that the records say of the two.

    Raises:
        UnknownNameError: There is no such candidate or task; the nearest name is told.
        ConfigError: The two are one, share no task, or share several and none was named.
        StudyError: The folder holds no study, or one of them has not finished a run.
    """
    spec = folder.spec()
    if first == second:
        raise ConfigError(f"compare: got '{first}' twice, expected two candidates")
    chosen = _task_of(spec, first, second, task)
    all_runs = load_runs(folder, spec, chosen.name)
    summary = summarise_task(folder, spec, chosen, all_runs)
    runs = tuple(run for run in all_runs if run.record.candidate in (first, second))
    by_name = {name: tested(runs, name) for name in (first, second)}
    for name, found in by_name.items():
        if not found:
            raise StudyError(f"compare: no run of '{name}' in task '{chosen.name}' has finished")
    shared = set(by_name[first]) & set(by_name[second])
    pair = paired(by_name[first], by_name[second]) if shared else None
    names = summary.record.class_names if summary.record is not None else None
    return CandidatePair(
        study=spec.title or spec.name, task=summary, first=summary.candidate(first),
        second=summary.candidate(second), runs=runs,
        comparison=compare(first, second, by_name[first], by_name[second]) if shared else None,
        unpaired=None if shared else compare_unpaired(first, second, by_name[first], by_name[second]),
        among_all=find_comparison(summary.comparisons, first, second),
        agreement=agreement(pair) if pair else None,
        classes=class_differences(pair, names) if pair else (),
        partings=partings(pair) if pair else (),
    )  # fmt: skip


def only(task: TaskSummary, names: Sequence[str]) -> TaskSummary:
    """Return a task as if it had these candidates alone, in this order; its comparisons stay."""
    return replace(
        task,
        candidates=tuple(task.candidate(name) for name in names),
        groups=tuple(group for group in task.groups if set(names) & {*group.ranking, *group.unranked}),
    )


def tested(runs: Sequence[Run], candidate: str) -> BySeed:
    """Collect a candidate's test predictions by seed."""
    found: Mapping[int, Any] = {
        run.record.seed: run.test
        for run in runs
        if run.record.candidate == candidate and run.test is not None
    }
    return found


def _task_of(spec: StudySpec, first: str, second: str, task: str | None) -> TaskSpec:
    """Find the task that both candidates belong to."""
    known = [candidate.name for candidate in spec.candidates]
    for name in (first, second):
        if name not in known:
            raise UnknownNameError(f"compare: got '{name}'{nearest(name, known)}")
    names = [one.name for one in spec.tasks]
    if task is not None and task not in names:
        raise UnknownNameError(f"--task: got '{task}'{nearest(task, names)}")
    both = [
        one
        for one in spec.tasks
        if task in (None, one.name) and {first, second} <= {c.name for c in spec.candidates_of(one)}
    ]
    if not both:
        where = f"task '{task}' does not have" if task is not None else "no task has"
        raise ConfigError(f"compare: {where} both '{first}' and '{second}'")
    if len(both) > 1:
        listed = ", ".join(f"'{one.name}'" for one in both)
        raise ConfigError(f"--task: '{first}' and '{second}' are both in {listed}; name one of them")
    return both[0]
