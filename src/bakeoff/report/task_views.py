"""One task in words: its results beside the published ones, figures, comparisons, confusions, networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from bakeoff.evidence.architecture import draw_architecture
from bakeoff.evidence.comparison import Comparison, find_comparison
from bakeoff.evidence.intervals import Interval
from bakeoff.evidence.summary import CandidateSummary, TaskSummary
from bakeoff.evidence.words import count, listing, number, p_text, percent, points
from bakeoff.records import RunRecord
from bakeoff.report.view import Cell, Column, Network, Row, Table, Tone, Verdict
from bakeoff.report.words import (
    MISSING,
    grouped,
    plural,
    points_range,
    range_words,
    sentences,
    shown,
    signed_number,
    typeset,
)
from bakeoff.units import format_seconds

MOST_PAIRS = 12  # rows of comparisons shown at once; the others are folded away
_DRAWN = {"name", "kind", "output_shape", "parameters", "multiplications"}  # what a drawing reads of a layer


def anchor(index: int) -> str:
    """Return the id of a task's section; names may hold anything, so they are not used."""
    return f"task-{index + 1}"


def task_words(task: TaskSummary) -> str:
    """Say what the task is: images, classes, what guessing gives."""
    parts = [plural(task.classes, "class", "classes") if task.classes else ""]
    if task.record:
        counts, size = task.record.counts, task.record.image_size
        parts.append(f"images of {size} × {size} pixels")
        parts.append(
            f"{grouped(counts.get('train', 0))} to train on, {grouped(counts.get('validation', 0))} for validation"
        )
    if task.test_images:
        parts.append(f"{grouped(task.test_images)} test images")
    if task.guess is not None:
        parts.append(f"always answering the commonest class gives {percent(task.guess)}")
    return "; ".join(filter(None, parts)) + "."


def verdict_view(task: TaskSummary, index: int) -> Verdict:
    """Put a task's verdict on a card: its first sentence large, what it rests on below."""
    said, *why = sentences(typeset(task.verdict))
    badge, tone = _badge(task)
    if len(task.groups) > 1 and why:
        said, why = why[0], [said, *why[1:]]
    return Verdict(task=task.name, anchor=anchor(index), badge=badge, tone=tone, said=said, why=" ".join(why))


def results_table(task: TaskSummary, table_number: int) -> Table:
    """Make the task's main table: a row for each candidate, the best first in each control group."""
    columns = _result_columns(task)
    rows = []
    for heading, name, is_first in _ranked(task):
        row = task.candidate(name)
        cells = _result_cells(task, row, is_first=is_first)
        rows.append(Row(cells=tuple(cells[column] for column in columns), lead=is_first, heading=heading))
    return Table(number=table_number, caption=_results_caption(task), columns=tuple(columns.values()), rows=tuple(rows))


def notes(task: TaskSummary) -> tuple[str, ...]:
    """List what a reader should look into, and each candidate's own note."""
    lines = []
    for row in task.candidates:
        lines += [f"{row.name}: {typeset(symptom.text)}." for symptom in row.symptoms]
    return tuple(lines)


def pairs_tables(task: TaskSummary, table_number: int) -> tuple[str, Table | None, Table | None]:
    """Say which candidates can be told apart.

    Returns:
        An introduction, the table of the pairs that matter most, and one of the others.
    """
    if not task.comparisons:
        return "There is no pair of candidates with a finished run under one control, so there is nothing to compare.", None, None
    leaders = [group.ranking[0] for group in task.groups if group.ranking]
    ordered = list(_ordered_pairs(task))
    if len(ordered) > MOST_PAIRS:
        shown_pairs = [pair for pair in ordered if pair.first in leaders or pair.second in leaders]
        folded = [pair for pair in ordered if pair not in shown_pairs]
    else:
        shown_pairs, folded = ordered, []
    caption = (
        "Paired comparisons on the same test images. The p values are corrected for all "
        f"{plural(len(ordered), 'pair')} of this task by Holm's method; the intervals are not."
    )
    first = _pairs_table(caption, table_number, shown_pairs, len(ordered))
    rest = _pairs_table("The other pairs.", None, folded, len(ordered)) if folded else None
    return _pairs_words(task, ordered), first, rest


def networks(task: TaskSummary, records: Sequence[RunRecord], colors: Mapping[str, int]) -> tuple[Network, ...]:
    """Show each candidate's network: the drawing and the layer table of its first run that has one."""
    first: dict[str, RunRecord] = {}
    for record in records:
        if record.layers:
            first.setdefault(record.candidate, record)
    return tuple(
        Network(
            candidate=record.candidate, color=colors[record.candidate], words=_network_words(record),
            drawing=_drawing(record),
            layers=_layers_table(record),
        )
        for record in (first[row.name] for row in task.candidates if row.name in first)
    )  # fmt: skip


def _badge(task: TaskSummary) -> tuple[str, Tone]:
    best = task.best
    if best is None:
        return ("not finished", "warn") if task.ended < task.planned else ("no result", "bad")
    group = next(group for group in task.groups if best.name in group.ranking)
    if task.ended < task.planned:
        return "provisional", "warn"
    if len(group.ranking) < 2:
        return "nothing to compare", ""
    rivals = [find_comparison(task.comparisons, best.name, name) for name in group.ranking[1:]]
    if all(rival is not None and rival.told_apart for rival in rivals):
        return "more than luck", "good"
    return "not told apart", "warn"


def _ranked(task: TaskSummary) -> Iterator[tuple[str, str, bool]]:
    """Yield heading, candidate and whether it leads, group by group, then those without any run."""
    placed = set()
    several = len(task.groups) > 1
    for group in task.groups:
        for position, name in enumerate((*group.ranking, *group.unranked)):
            placed.add(name)
            heading = f"Under {group.title}" if several and position == 0 else ""
            yield heading, name, position == 0 and bool(group.ranking)
    for row in task.candidates:
        if row.name not in placed:
            yield "", row.name, False


def _result_columns(task: TaskSummary) -> dict[str, Column]:
    """Choose the columns: no empty ones for what nobody published, no top-5 where it is always 1."""
    columns = {
        "candidate": Column(label="Candidate"),
        "accuracy": Column(label="ours", numeric=True, group="Test accuracy"),
        "accuracy published": Column(label="published", numeric=True, group="Test accuracy"),
        "accuracy difference": Column(label="difference, points", numeric=True, group="Test accuracy"),
        "loss": Column(label="ours", numeric=True, group="Test loss, nats"),
        "loss published": Column(label="published", numeric=True, group="Test loss, nats"),
        "loss difference": Column(label="difference", numeric=True, group="Test loss, nats"),
        "top5": Column(label="Top-5", numeric=True),
        "parameters": Column(label="Parameters", numeric=True),
        "time": Column(label="Training of a run", numeric=True),
        "speed": Column(label="Images/s", numeric=True),
        "runs": Column(label="Runs", numeric=True),
    }
    published = [row.published for row in task.candidates if row.published]
    if all(p.accuracy is None for p in published):
        columns = {k: v for k, v in columns.items() if not k.startswith("accuracy ")}
    if all(p.loss is None for p in published):
        columns = {k: v for k, v in columns.items() if not k.startswith("loss ")}
    if task.classes is not None and task.classes <= 5:
        del columns["top5"]
    return columns


def _result_cells(task: TaskSummary, row: CandidateSummary, *, is_first: bool) -> dict[str, Cell]:
    order = [candidate.name for candidate in task.candidates]
    published = row.published
    return {
        "candidate": Cell(text=row.name, sub=_candidate_sub(row), color=order.index(row.name)),
        "accuracy": _interval_cell(row.accuracy, percent),
        "accuracy published": Cell(text=shown(published.accuracy, percent) if published else ""),
        "accuracy difference": _difference_cell(row),
        "loss": _interval_cell(row.loss, number),
        "loss published": Cell(text=shown(published.loss, number) if published else ""),
        "loss difference": Cell(text=shown(published.loss_difference, signed_number) if published else ""),
        "top5": Cell(text=shown(row.top5.mean, percent) if row.top5 else MISSING),
        "parameters": Cell(text=shown(row.parameters, count)),
        "time": Cell(text=shown(row.train_seconds, format_seconds), sub=_epochs(row.epochs)),
        "speed": Cell(text=shown(row.images_per_second, grouped)),
        "runs": _runs_cell(row),
    }


def _candidate_sub(row: CandidateSummary) -> str:
    parts = [row.model if row.model != row.name else "", row.note]
    return "; ".join(filter(None, parts))


def _interval_cell(found: Interval | None, write: Callable[[float], str]) -> Cell:
    if found is None:
        return Cell(text=MISSING)
    return Cell(text=write(found.mean), sub=range_words(found.low, found.high, write))


def _difference_cell(row: CandidateSummary) -> Cell:
    published = row.published
    if published is None or published.accuracy is None:
        return Cell(text="")
    if published.accuracy_difference is None:
        return Cell(text=MISSING)
    sub = {True: "inside interval", False: "outside interval", None: ""}[published.inside_interval]
    tone: Tone = "good" if published.at_least_as_accurate else "warn"
    return Cell(text=typeset(points(published.accuracy_difference)).removesuffix(" points"), sub=sub, tone=tone)


def _runs_cell(row: CandidateSummary) -> Cell:
    finished = row.statuses.get("finished", 0)
    others = [f"{n} {status}" for status, n in row.statuses.items() if n and status != "finished"]
    tone: Tone = "bad" if row.statuses.get("diverged") or row.statuses.get("failed") else "warn" if others else ""
    return Cell(text=f"{finished} of {row.planned}", sub=", ".join(others), tone=tone)


def _epochs(epochs: float | None) -> str:
    return "" if epochs is None else f"{epochs:.3g} {'epoch' if epochs == 1 else 'epochs'}"


def _results_caption(task: TaskSummary) -> str:
    over = {row.accuracy.over for row in task.candidates if row.accuracy and row.accuracy.low is not None}
    images = plural(task.test_images or 0, "test image")
    what = {
        frozenset({"seeds"}): "Means over the finished runs, with 95 % intervals over seeds (Student's t).",
        frozenset({"images"}): f"One run each: 95 % intervals over the {images} (Wilson).",
    }.get(
        frozenset(over),
        "Means over the finished runs; 95 % intervals over seeds (Student's t), or for a single run over the "
        f"{images} (Wilson).",
    )
    bold = "In bold the first" + (" under each control." if len(task.groups) > 1 else ".")
    cost = "Training time leaves out evaluation and preparation."
    theirs = " Differences are ours minus published." if any(row.published for row in task.candidates) else ""
    return f"Results on the test images. {what if over else ''} {bold}{theirs} {cost}".replace("  ", " ")


def _ordered_pairs(task: TaskSummary) -> Iterator[Comparison]:
    """Yield the comparisons, the better ranked candidate first, in the order of the ranking."""
    for group in task.groups:
        for index, better in enumerate(group.ranking):
            for worse in group.ranking[index + 1 :]:
                found = find_comparison(task.comparisons, better, worse)
                if found is not None:
                    yield found


def _pairs_table(caption: str, table_number: int | None, pairs: Sequence[Comparison], tests: int) -> Table:
    columns = (
        Column(label="Pair"), Column(label="Difference", numeric=True), Column(label="first", numeric=True, group="Images only one got right"),
        Column(label="second", numeric=True, group="Images only one got right"), Column(label="Corrected p", numeric=True),
        Column(label="In words"),
    )  # fmt: skip
    rows = tuple(
        Row(cells=(
            Cell(text=f"{pair.first} and {pair.second}"),
            Cell(text=typeset(points(pair.difference)), sub=points_range(pair.low, pair.high)),
            Cell(text=_mean_count(pair.first_only)), Cell(text=_mean_count(pair.second_only)),
            Cell(text=p_text(pair.p_holm).removeprefix("p ").removeprefix("= ")),
            Cell(text=_pair_words(pair), tone="" if pair.told_apart else "warn"),
        ))
        for pair in pairs
    )  # fmt: skip
    return Table(number=table_number, caption=caption, columns=columns, rows=rows)


def _mean_count(value: float) -> str:
    return grouped(value) if value == round(value) else f"{value:.1f}"


def _pair_words(pair: Comparison) -> str:
    if not pair.told_apart:
        return "not told apart"
    better = pair.first if pair.difference > 0 else pair.second
    return f"{better} is better"


def _pairs_words(task: TaskSummary, pairs: Sequence[Comparison]) -> str:
    """Explain the tests of this task, and what p means, once."""
    apart = sum(pair.told_apart for pair in pairs)
    alike = [listing(list(names)) for group in task.groups for names in group.not_told_apart]
    result = f"{apart} of {plural(len(pairs), 'pair')} can be told apart at 5 %."
    if alike:
        result += f" Not told apart from each other: {'; '.join(alike[:6])}."
    methods = {pair.method for pair in pairs}
    how = {
        frozenset({"mcnemar"}): "McNemar's exact test on the images that only one of two got right.",
        frozenset({"seeds and images"}): "A test in which both seeds and images are drawn at random, so that more seeds "
        "are never counted as more images.",
    }.get(frozenset(methods), "McNemar's exact test for one seed, a test over seeds and images for several.")
    return (
        f"{result} {how} If all candidates were equally good, at most one study in twenty would call any pair "
        "of this table told apart."
    )


def _network_words(record: RunRecord) -> str:
    parts = [f"{grouped(record.parameters)} parameters"]
    if record.trainable != record.parameters:
        parts.append(f"{grouped(record.trainable)} trainable")
    if record.multiplications:
        parts.append(f"{count(record.multiplications)} multiplications an image")
    if record.input_size:
        parts.append(f"{record.input_size} × {record.input_size} pixels")
    return ", ".join(parts)


def _drawing(record: RunRecord) -> str:
    """Draw the network, unless its record is older than what a drawing needs."""
    if not all(_DRAWN <= set(layer) for layer in record.layers):
        return ""
    return draw_architecture(record.layers, title=record.candidate, image_size=record.input_size or None)


def _layers_table(record: RunRecord) -> Table:
    columns = (
        Column(label="Layer"), Column(label="Kind"), Column(label="Output", numeric=True),
        Column(label="Parameters", numeric=True), Column(label="Trainable", numeric=True),
        Column(label="Multiplications", numeric=True),
    )  # fmt: skip
    rows = tuple(
        Row(cells=(
            Cell(text=str(layer.get("name", ""))),
            Cell(text=" ".join(filter(None, (str(layer.get("kind", "")), str(layer.get("detail", "")))))),
            Cell(text=" × ".join(str(n) for n in layer.get("output_shape", ()))),
            *(Cell(text=_layer_count(layer.get(key))) for key in ("parameters", "trainable", "multiplications")),
        ))
        for layer in record.layers
    )  # fmt: skip
    return Table(caption=f"Layers of {record.candidate}, in the order of computation.", columns=columns, rows=rows, kind="wide")


def _layer_count(value: float | None) -> str:
    return grouped(value) if value and math.isfinite(value) else ""
