"""From a study's folder to everything that its page says.

Nothing is drawn here, and nothing is rounded after it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bakeoff.evidence.runs import Run
from bakeoff.evidence.summarise import gather
from bakeoff.evidence.summary import Evidence, StudySummary, TaskSummary
from bakeoff.evidence.words import listing
from bakeoff.records import RunRecord, StudyFolder
from bakeoff.report import (
    attribution_views,
    class_views,
    control_views,
    cost_views,
    data_views,
    figures,
    network_views,
    pair_views,
    pictures,
    search_views,
    task_views,
)
from bakeoff.report.calibration_views import calibration_view
from bakeoff.report.label_error_views import label_errors_view
from bakeoff.report.view import Cell, Command, Figure, StudyView, Table, TaskView, row, words
from bakeoff.report.words import DIGITS, grouped, plain, plural
from bakeoff.spec import StudySpec, shipped_studies
from bakeoff.units import format_seconds


class _Counter:
    """Numbers tables and figures through the page."""

    def __init__(self) -> None:
        self.tables, self.figures = 0, 0

    def table(self) -> int:
        self.tables += 1
        return self.tables

    def figure(self) -> int:
        self.figures += 1
        return self.figures


def study_view(folder: StudyFolder, *, images: bool = True, evidence: Evidence | None = None) -> StudyView:
    """Decide everything that the page of a study says, from its records alone.

    Args:
        folder: A study, finished or not.
        images: Whether the kept test images go into the page.
        evidence: Of the study, where it is there already.

    Returns:
        The page's words, in order.

    Raises:
        StudyError: The folder holds no study, or its records contradict each other.
    """
    spec = folder.spec()
    evidence = evidence or gather(folder)
    runs, summary = evidence.runs, evidence.summary
    records = [run.record for run in runs]
    counter = _Counter()
    control = tuple(_control(spec, summary, records, counter))
    tasks = tuple(
        _task_view(folder, task, index, runs, counter, images=images)
        for index, task in enumerate(summary.tasks)
    )
    failures = control_views.failures_table(records, 0)
    if failures is not None:
        failures = control_views.failures_table(records, counter.table())
    return StudyView(
        name=spec.name, title=summary.title, description=summary.description,
        facts=_facts(summary, records), missing=control_views.missing_runs(folder, spec),
        verdicts=tuple(task_views.verdict_view(task, index) for index, task in enumerate(summary.tasks)),
        tasks=tasks, failures=failures,
        control_words=_control_words(summary), control=control,
        method=_method(runs), commands=_commands(spec, folder.read_lock() or {}),
        provenance=(_digests(records, counter.table()),) if records else (),
    )  # fmt: skip


def task_figures(
    task: TaskSummary, runs: Sequence[Run], index: int, counter: _Counter | None = None
) -> tuple[Figure, ...]:
    """List a task's figures, numbered."""
    counter = counter or _Counter()
    found = []
    accuracy = figures.accuracy_figure(task, runs, index, counter.figures + 1)
    if accuracy is not None:
        counter.figure()
        found.append(accuracy)
    curves = figures.curves_figure(task, [run.record for run in runs], index, counter.figures + 1)
    if curves is not None:
        counter.figure()
        found.append(curves)
    return tuple(found)


def _task_view(
    folder: StudyFolder,
    task: TaskSummary,
    index: int,
    all_runs: Sequence[Run],
    counter: _Counter,
    *,
    images: bool,
) -> TaskView:
    runs = [run for run in all_runs if run.record.task == task.name]
    data = data_views.data_view(
        task, folder.read_check_images(task.name) if images else {}, index,
        table=counter.table, figure=counter.figure,
    )  # fmt: skip
    results = task_views.results_table(task, counter.table())
    pairs_words, pairs, other_pairs = pair_views.pairs_tables(task, counter.tables + 1)
    if pairs is not None:
        counter.table()
    classes_words, classes = class_views.class_view(task)
    confusions_words, cards = pictures.confusions(folder, task.name, images=images, runs=runs)
    colors = figures.color_numbers(task)
    shown = task_figures(task, runs, index, counter)
    calibration = calibration_view(task, index, counter.figures + 1, counter.tables + 1)
    if calibration is not None:
        counter.figure()
        counter.table()
    cost_words, cost = cost_views.cost_view(task, counter.tables + 1)
    if cost is not None:
        counter.table()
    return TaskView(
        name=task.name, anchor=task_views.anchor(index), words=task_views.task_words(task), results=results,
        notes=task_views.notes(task), figures=shown,
        pairs_words=pairs_words, pairs=pairs, other_pairs=other_pairs,
        confusions_words=confusions_words, confusions=cards,
        networks=network_views.networks(task, [run.record for run in runs], colors),
        apart=pair_views.told_apart(task),
        heat=attribution_views.heat_table(
            folder, task.name, [run.record for run in runs], colors, images=images
        ),
        calibration=calibration, label_errors=label_errors_view(folder, task.name, images=images),
        cost_words=cost_words, cost=cost, classes_words=classes_words, classes=classes,
        measures=class_views.measures_table(task),
        data=data,
        searches=search_views.searches(
            folder, [run.record for run in runs], index, colors, table=counter.table, figure=counter.figure
        ),
    )  # fmt: skip


def _facts(summary: StudySummary, records: Sequence[RunRecord]) -> tuple[tuple[str, str], ...]:
    seconds = sum(record.total_seconds for record in records)
    precisions = list(dict.fromkeys(r.precision["used"] for r in records if r.precision.get("used")))
    facts = [
        ("Tasks", grouped(len(summary.tasks))),
        ("Candidates", grouped(len({row.name for task in summary.tasks for row in task.candidates}))),
        ("Seeds", plain(list(summary.seeds))),
        ("Runs ended", f"{grouped(summary.ended)} of {grouped(summary.planned)}"),
        ("Time of all runs", format_seconds(seconds) if records else ""),
        ("Hardware", control_views.hardware_words(records) if records else ""),
        ("Precision of training", listing(precisions) if precisions else ""),
    ]
    return tuple((label, value) for label, value in facts if value)


def _control_words(summary: StudySummary) -> str:
    by_budget = [task.name for task in summary.tasks if task.control == "budget"]
    said = (
        "Everything that is not architecture is held equal for the candidates of a task: images, split, "
        "recipe, seeds. Digests of these are stored with every run, and candidates are ranked only against "
        "those with equal digests."
    )
    if by_budget:
        said += f" {listing(by_budget)}: what is held equal is the time of training, and all else is free."
    return said


def _control(
    spec: StudySpec, summary: StudySummary, records: Sequence[RunRecord], counter: _Counter
) -> Iterator[Table]:
    prepared = [task.record for task in summary.tasks if task.record is not None]
    if prepared:
        yield control_views.data_table(prepared, counter.table())
    departures = control_views.differences_table(records, counter.tables + 1)
    if departures is not None:
        counter.table()
        yield departures
    yield control_views.recipe_table(spec, counter.table())
    if records:
        yield control_views.machine_table(records, counter.table())


def _method(runs: Sequence[Run]) -> tuple[str, ...]:
    """Say how the numbers came about; what can be counted is counted, not claimed."""
    finished = [run.record for run in runs if run.finished]
    if not finished:
        return ()
    most = max(len(record.test_readings) for record in finished)
    several = f"A run read the test images up to {plural(most, 'time')}; each reading is in its record."
    read = {
        0: "No run logged when it read the test images.",
        1: "Every run read the test images once, after training.",
    }
    resumed = sum(record.resumed > 0 for record in finished)
    lines = [
        read.get(most, several),
        "Accuracy and loss are computed again from the stored per-image predictions, and must agree with "
        "the record.",
        "Seeds are never counted as extra images: the comparisons draw both at random, each for itself.",
    ]
    if resumed:
        verb = "was" if resumed == 1 else "were"
        lines.append(f"{plural(resumed, 'run')} {verb} interrupted and continued.")
    return tuple(lines)


def _asked_for(spec: StudySpec, lock: Mapping[str, Any]) -> str:
    """Return the study and flags as the user typed them; for a lock without them, what is most likely."""
    command = lock.get("command") or {}
    study, flags = command.get("study"), command.get("flags", [])
    if isinstance(study, str) and isinstance(flags, list):
        return shlex.join([study, *map(str, flags), *_of_the_bits(lock, flags)])
    return spec.name if spec.name in shipped_studies() else shlex.quote(f"{spec.name}.toml")


def _of_the_bits(lock: Mapping[str, Any], flags: Sequence[Any]) -> list[str]:
    """Return flags without which another folder would have other sums: what was shared among cores."""
    resolved, cores = lock.get("resolved") or {}, (lock.get("environment") or {}).get("cores")
    threads, processes = resolved.get("threads"), resolved.get("processes", 1)
    found = []
    if isinstance(threads, int) and isinstance(cores, int) and threads != cores and "--threads" not in flags:
        found += ["--threads", str(threads)]
    if isinstance(processes, int) and processes > 1 and "--processes" not in flags:
        found += ["--processes", str(processes)]
    return found


def _commands(spec: StudySpec, lock: Mapping[str, Any]) -> tuple[Command, ...]:
    study, out = _asked_for(spec, lock), (lock.get("command") or {}).get("out")
    folder = shlex.quote(out if isinstance(out, str) else f"studies/{spec.name}")
    again = f"bakeoff run {study}" + (f" --out {folder}" if isinstance(out, str) else "")
    one_seed = shlex.quote(f"studies/{spec.name}-seed-{spec.seeds[0]}")
    found = {
        "Train it again, or continue it; runs that have ended are not repeated:": again,
        "One seed only:": f"bakeoff run {study} --seed {spec.seeds[0]} --out {one_seed}",
        "This page and its tables again, from the records alone:": f"bakeoff report {folder}",
        "Is it what its lock says? Its records, tables and images, recomputed:": f"bakeoff verify {folder}",
        "Every step of every run, while it trains or afterwards:": f"tensorboard --logdir {folder}/runs",
    }
    return tuple(Command(purpose=purpose, text=text) for purpose, text in found.items())


def _digests(records: Sequence[RunRecord], number: int) -> Table:
    """List the identity of every run, by which it is found again."""
    columns = tuple(map(words, ("Run", "Identity", "Control", "Data", "Split")))
    rows = tuple(
        row(
            Cell(text=f"{record.candidate}, seed {record.seed}", sub=record.task),
            *(digest[:DIGITS] for digest in (
                record.identity, record.control_digest, record.data_fingerprint, record.split_digest,
            )),
        )
        for record in records
    )  # fmt: skip
    caption = "Digests of every run: equal control, data and split mean that two runs may be compared."
    return Table(number=number, caption=caption, columns=columns, rows=rows, kind="wide")
