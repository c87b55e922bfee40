"""From a study's folder to everything that its page says. Nothing is drawn here, and nothing rounds after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bakeoff.evidence.runs import Run, load_runs
from bakeoff.evidence.summary import StudySummary, TaskSummary, summarise_study
from bakeoff.evidence.words import listing
from bakeoff.records import RunRecord, StudyFolder
from bakeoff.report import control_views, figures, pictures, task_views
from bakeoff.report.view import Cell, Column, Command, Figure, Row, StudyView, Table, TaskView
from bakeoff.report.words import grouped, plain, plural
from bakeoff.spec import StudySpec, shipped_studies
from bakeoff.spec.study import slug
from bakeoff.units import format_seconds


class _Numbers:
    """Numbers tables and figures through the page."""

    def __init__(self) -> None:
        self.tables, self.figures = 0, 0

    def table(self) -> int:
        self.tables += 1
        return self.tables

    def figure(self) -> int:
        self.figures += 1
        return self.figures


def study_view(folder: StudyFolder, *, images: bool = True) -> StudyView:
    """Decide everything that the page of a study says, from its records alone.

    Args:
        folder: A study, finished or not.
        images: Whether the kept test images go into the page.

    Raises:
        StudyError: The folder holds no study, or its records contradict each other.
    """
    spec = folder.spec()
    summary = summarise_study(folder, spec)
    runs = load_runs(folder, spec)
    records = [run.record for run in runs]
    numbers = _Numbers()
    tasks = tuple(
        _task_view(folder, task, index, [run for run in runs if run.record.task == task.name], numbers, images=images)
        for index, task in enumerate(summary.tasks)
    )
    failures = control_views.failures_table(records, 0)
    if failures is not None:
        failures = control_views.failures_table(records, numbers.table())
    return StudyView(
        name=spec.name, title=summary.title, description=summary.description,
        facts=_facts(summary, records), missing=control_views.missing_runs(folder, spec),
        verdicts=tuple(task_views.verdict_view(task, index) for index, task in enumerate(summary.tasks)),
        tasks=tasks, failures=failures,
        control_words=_control_words(spec, summary), control=tuple(_control(spec, summary, records, numbers)),
        method=_method(runs, summary), commands=_commands(spec),
        provenance=(_digests(folder, records, numbers.table()),) if records else (),
    )  # fmt: skip


def task_figures(
    task: TaskSummary, runs: Sequence[Run], index: int, numbers: _Numbers | None = None
) -> tuple[Figure, ...]:
    """List a task's figures, numbered."""
    numbers = numbers or _Numbers()
    found = []
    accuracy = figures.accuracy_figure(task, runs, index, numbers.figures + 1)
    if accuracy is not None:
        numbers.figure()
        found.append(accuracy)
    curves = figures.curves_figure(task, [run.record for run in runs], index, numbers.figures + 1)
    if curves is not None:
        numbers.figure()
        found.append(curves)
    return tuple(found)


def _task_view(
    folder: StudyFolder, task: TaskSummary, index: int, runs: Sequence[Run], numbers: _Numbers, *, images: bool
) -> TaskView:
    results = task_views.results_table(task, numbers.table())
    pairs_words, pairs, other_pairs = task_views.pairs_tables(task, numbers.tables + 1)
    if pairs is not None:
        numbers.table()
    confusions_words, cards = pictures.confusions(folder, task.name, images=images)
    colors = figures.color_numbers(task)
    return TaskView(
        name=task.name, anchor=task_views.anchor(index), words=task_views.task_words(task), results=results,
        notes=task_views.notes(task), figures=task_figures(task, runs, index, numbers),
        pairs_words=pairs_words, pairs=pairs, other_pairs=other_pairs,
        confusions_words=confusions_words, confusions=cards,
        networks=task_views.networks(task, [run.record for run in runs], colors),
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


def _control_words(spec: StudySpec, summary: StudySummary) -> str:
    by_budget = [task.name for task in summary.tasks if task.control == "budget"]
    words = (
        "Everything that is not architecture is held equal for the candidates of a task: images, split, recipe, seeds. "
        "Digests of these are stored with every run, and candidates are ranked only against those with equal digests."
    )
    if by_budget:
        words += f" {listing(by_budget)}: what is held equal is the time of training, and all else is free."
    return words


def _control(
    spec: StudySpec, summary: StudySummary, records: Sequence[RunRecord], numbers: _Numbers
) -> Iterator[Table]:
    prepared = [task.record for task in summary.tasks if task.record is not None]
    if prepared:
        yield control_views.data_table(prepared, numbers.table())
    yield control_views.recipe_table(spec, numbers.table())
    departures = control_views.differences_table(records, numbers.tables + 1)
    if departures is not None:
        numbers.table()
        yield departures
    if records:
        yield control_views.machine_table(records, numbers.table())


def _method(runs: Sequence[Run], summary: StudySummary) -> tuple[str, ...]:
    """Say how the numbers came about; what can be counted is counted, not claimed."""
    finished = [run.record for run in runs if run.finished]
    if not finished:
        return ()
    most = max(len(record.test_readings) for record in finished)
    read = {0: "No run logged when it read the test images.", 1: "Every run read the test images once, after training."}
    resumed = sum(record.resumed > 0 for record in finished)
    lines = [
        read.get(most, f"A run read the test images up to {plural(most, 'time')}; each reading is logged in its record."),
        "Accuracy and loss are computed again from the stored per-image predictions, and must agree with the record.",
        "Seeds are never counted as extra images: the comparisons draw seeds and images at random, each for itself.",
    ]
    if resumed:
        lines.append(f"{plural(resumed, 'run')} were interrupted and continued.")
    return tuple(lines)


def _commands(spec: StudySpec) -> tuple[Command, ...]:
    folder = f"studies/{slug(spec.name)}"
    study = spec.name if spec.name in shipped_studies() else f"{slug(spec.name)}.toml"
    seed = spec.seeds[0]
    return (
        Command(purpose="Train it again, or continue it; runs that have ended are not repeated:", text=f"bakeoff run {study}"),
        Command(purpose="One seed only:", text=f"bakeoff run {study} --seed {seed} --out {folder}-seed-{seed}"),
        Command(purpose="This page and its tables again, from the records alone:", text=f"bakeoff report {folder}"),
        Command(purpose="Every step of every run, while it trains or afterwards:", text=f"tensorboard --logdir {folder}/runs"),
    )


def _digests(folder: StudyFolder, records: Sequence[RunRecord], number: int) -> Table:
    """List the identity of every run, by which it is found again."""
    columns = (
        Column(label="Run"), Column(label="Identity"), Column(label="Control"), Column(label="Data"), Column(label="Split"),
    )  # fmt: skip
    rows = tuple(
        Row(cells=(
            Cell(text=f"{record.candidate}, seed {record.seed}", sub=record.task),
            *(Cell(text=_short(text)) for text in (
                record.identity, record.control_digest, record.data_fingerprint, record.split_digest,
            )),
        ))
        for record in records
    )  # fmt: skip
    caption = "Digests of every run: equal control, data and split mean that two runs may be compared."
    return Table(number=number, caption=caption, columns=columns, rows=rows, kind="wide")


def _short(text: str) -> str:
    return text[:16]
