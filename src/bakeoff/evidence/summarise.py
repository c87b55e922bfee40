"""From a study's records to what it found: every task, with its rows, groups, comparisons and verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from bakeoff.evidence.agreement import paired
from bakeoff.evidence.bounded import bootstrap_single_runs
from bakeoff.evidence.comparison import BySeed, compare_pairs
from bakeoff.evidence.findings import checks_of
from bakeoff.evidence.groups import control_group, rank, titled_apart
from bakeoff.evidence.per_class import ClassDifference, class_differences
from bakeoff.evidence.rows import summarise_candidate
from bakeoff.evidence.runs import Run, load_runs
from bakeoff.evidence.summary import Evidence, StudySummary, TaskSummary
from bakeoff.evidence.verdict import sensitivity_words, task_verdict
from bakeoff.records import StudyFolder, TaskRecord
from bakeoff.spec import StudySpec, TaskSpec


def gather(folder: StudyFolder) -> Evidence:
    """Read the runs of a study, and summarise them; for many runs of many images nothing takes longer.

    Args:
        folder: The study, finished or not.

    Returns:
        Of all that the folder's lock asks for.

    Raises:
        StudyError: The folder holds no study, or a record contradicts its predictions.
    """
    spec = folder.spec()
    runs = tuple(load_runs(folder, spec))
    return Evidence(runs=runs, summary=summarise_study(folder, spec, runs))


def summarise_study(
    folder: StudyFolder, spec: StudySpec | None = None, runs: Sequence[Run] | None = None
) -> StudySummary:
    """Summarise every task of a study from its records alone.

    Args:
        folder: The study.
        spec: Which tasks, candidates and seeds, when not all those of the folder's lock.
        runs: Theirs, where they are read already.

    Returns:
        The summary, its tasks in the study's order.

    Raises:
        StudyError: The folder holds no study, or a record contradicts its predictions.
    """
    spec = spec or folder.spec()
    return StudySummary(
        name=spec.name, title=spec.title or spec.name, description=spec.description, seeds=spec.seeds,
        tasks=tuple(summarise_task(folder, spec, task, runs) for task in spec.tasks),
    )  # fmt: skip


def summarise_task(
    folder: StudyFolder, spec: StudySpec, task: TaskSpec, runs: Sequence[Run] | None = None
) -> TaskSummary:
    """Summarise one task: rows, groups, comparisons, verdict.

    Args:
        folder: The study.
        spec: The study's candidates and seeds.
        task: One of its tasks.
        runs: Of the study, where they are read already.

    Returns:
        The summary; candidates without an ended run have a row too.

    Raises:
        StudyError: A record contradicts its predictions, or candidates were tested on different images.
    """
    if runs is None:
        runs = load_runs(folder, spec, task.name)
    runs = [run for run in runs if run.record.task == task.name]
    record = folder.read_task(task.name)
    candidates = spec.candidates_of(task)
    by_candidate = {c.name: [run for run in runs if run.record.candidate == c.name] for c in candidates}
    classes, test_images, guess = _size(record, runs)
    seeds = spec.seeds_of(task)
    checks = checks_of(folder, task.name, record)
    twins = frozenset() if checks is None else checks.test_twins
    single = bootstrap_single_runs(
        {name: [run for run in own if run.finished] for name, own in by_candidate.items()}
    )
    rows = tuple(
        summarise_candidate(c, by_candidate[c.name], seeds, record, single.get(c.name), twins)
        for c in candidates
    )
    planned = len(rows) * len(seeds)
    rankings = rank(rows)
    pairs = [pair for names in rankings.values() for pair in combinations(names, 2)]
    tested = _tested(by_candidate)
    comparisons = compare_pairs(pairs, tested)
    groups = titled_apart(
        [control_group(task, digest, names, rows, comparisons) for digest, names in rankings.items()]
    )
    rivals = next(((names[0], names[1]) for names in rankings.values() if len(names) > 1), None)
    return TaskSummary(
        name=task.name, record=record, control=task.control, classes=classes, test_images=test_images,
        guess=guess, candidates=rows, groups=groups, comparisons=comparisons,
        planned=planned, ended=len(runs),
        verdict=task_verdict(
            [group.verdict for group in groups if group.ranking], len(runs), planned, tested=test_images != 0
        ),
        sensitivity=sensitivity_words(comparisons), rivals=rivals,
        by_class=_by_class(rivals, tested, record),
        checks=checks,
    )  # fmt: skip


def _by_class(
    rivals: tuple[str, str] | None, tested: Mapping[str, BySeed], record: TaskRecord | None
) -> tuple[ClassDifference, ...]:
    """Compare the winner and the runner-up on each class."""
    if rivals is None:
        return ()
    first, second = (tested[name] for name in rivals)
    if not set(first) & set(second):
        return ()
    return class_differences(paired(first, second), None if record is None else record.class_names)


def _tested(by_candidate: Mapping[str, Sequence[Run]]) -> dict[str, dict[int, Any]]:
    """Collect the test predictions by candidate and seed."""
    return {
        name: {run.record.seed: run.test for run in runs if run.test is not None}
        for name, runs in by_candidate.items()
    }


def _size(record: TaskRecord | None, runs: Sequence[Run]) -> tuple[int | None, int | None, float | None]:
    """Return the classes, the test images and the accuracy of the commonest class's constant guess."""
    tested = next((run.test for run in runs if run.test is not None), None)
    classes = None if record is None else len(record.class_names)
    if tested is None:
        return classes, None if record is None else record.counts.get("test"), None
    images = len(tested.label_N)
    return classes, images, max(Counter(tested.label_N.tolist()).values()) / images
