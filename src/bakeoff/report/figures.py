"""A task's figures: which charts, from which numbers, under which words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set

from bakeoff.evidence.cost import cost_of
from bakeoff.evidence.curves import CurvePoint, learning_curves
from bakeoff.evidence.runs import Run
from bakeoff.evidence.summary import CandidateSummary, TaskSummary
from bakeoff.evidence.words import listing, number, percent, published_percent
from bakeoff.records import RunRecord
from bakeoff.report.charts import MOST_NAMES, Bar, Line, accuracy_chart, cost_chart, curve_chart
from bakeoff.report.view import Cell, Figure, Legend, Panel, Table, numbers, row, words
from bakeoff.report.words import MISSING, plural

WIDE_SPAN = 8.0  # losses that differ by more than this factor are drawn on a logarithmic axis

_CURVES = (
    ("validation", "accuracy", "Validation accuracy"),
    ("validation", "loss", "Validation loss (nats)"),
    ("train", "accuracy", "Training accuracy"),
    ("train", "loss", "Training loss (nats)"),
)


def accuracy_figure(task: TaskSummary, runs: Sequence[Run], index: int, figure_number: int) -> Figure | None:
    """Show accuracy by candidate, and against what it cost; None when no run has finished."""
    bars = [_bar(task, row, runs) for row in _best_first(task)]
    if not bars:
        return None
    order = [row.name for row in task.candidates]
    panels = [
        Panel(
            key=f"task-{index + 1}-accuracy", title="Accuracy on the test images",
            spec=accuracy_chart(bars, order, task.guess if task.guess is not None else 0.0),
            description="Test accuracy: " + "; ".join(f"{bar.candidate} {percent(bar.mean)}" for bar in bars),
            marks=("seed", "mean", "interval", "published", "guess"),
        )
    ]  # fmt: skip
    if any(bar.seconds for bar in bars):
        panels.append(Panel(
            key=f"task-{index + 1}-cost", title="Accuracy and what it cost", spec=cost_chart(bars, order),
            description="Test accuracy against training time, and who is on the front of both; the numbers "
            "are in the table of costs",
        ))  # fmt: skip
    has_published = any(bar.published is not None for bar in bars)
    has_interval = any(bar.low is not None for bar in bars)
    marks = [("seed", "one seed"), ("mean", "mean")]
    marks += [("interval", "95 % interval")] * has_interval
    marks += [("published", "published")] * has_published
    if task.guess is not None:
        marks.append(("guess", f"guessing, {percent(task.guess)}"))
    caption = f"{plural(len(bars), 'candidate')}{', the most accurate first' * (len(bars) > 1)}."
    if len(task.groups) > 1:
        caption += " They were trained under different controls: compare only inside one."
    named = len(bars) <= MOST_NAMES  # beside their points
    legend = () if named or len(panels) < 2 else _legend(order, {bar.candidate for bar in bars})
    return Figure(
        number=figure_number, caption=caption, panels=tuple(panels), marks=tuple(marks), legend=legend
    )


def curves_figure(
    task: TaskSummary, records: Sequence[RunRecord], index: int, figure_number: int
) -> Figure | None:
    """Show the learning curves of all seeds with the published ones over them; None without a history."""
    published_by = {row.name: row.reported for row in task.candidates if row.reported is not None}
    points = learning_curves(records, published_by)
    order = [row.name for row in task.candidates]
    panels = []
    for split, quantity, title in _CURVES:
        chosen = [point for point in points if (point.split, point.quantity) == (split, quantity)]
        if not any(not point.published for point in chosen):
            continue
        values = [point.value for point in chosen]
        wide = quantity == "loss" and min(values) > 0 and max(values) / min(values) > WIDE_SPAN
        panels.append(Panel(
            key=f"task-{index + 1}-{split}-{quantity}", title=title + (", logarithmic" if wide else ""),
            spec=curve_chart(_lines(chosen), order, percent=quantity == "accuracy", logarithmic=wide),
            description=f"{title} by epoch; the numbers are in the table below", marks=("line", "dashed"),
        ))  # fmt: skip
    if not panels:
        return None
    shown = {point.candidate for point in points if not point.published}
    published = [name for name in order if any(p.published and p.candidate == name for p in points)]
    marks = [("line", "a seed of ours")] + [("dashed", "published")] * bool(published)
    caption = "Learning curves of all seeds"
    caption += f", with the published epochs of {listing(published)} laid over ours." if published else "."
    caption += _training_words(records)
    return Figure(
        number=figure_number, caption=caption, panels=tuple(panels), marks=tuple(marks),
        legend=_legend(order, shown),
        table=_curve_table(points, order),
    )  # fmt: skip


def _training_words(records: Sequence[RunRecord]) -> str:
    """Warn a reader who would wonder why training looks worse than validation."""
    given = [record.recipe.get("augmentation") or {} for record in records]
    mixed = [bool(changes.get("mixup") or changes.get("cutmix")) for changes in given]
    moved = [bool(changes.get("crop")) or changes.get("flip", "none") != "none" for changes in given]
    if any(mixed):
        return (
            f" Training figures{_of_some(mixed)} are of images mixed from two, which no network can get all "
            "right: accuracy reads lower and loss higher than on whole images."
        )
    if any(moved):
        crop = any(changes.get("crop") for changes in given)
        flip = any(changes.get("flip", "none") != "none" for changes in given)
        how = " and ".join(word for word, done in (("shifted", crop), ("mirrored", flip)) if done)
        return f" Training figures{_of_some(moved)} are of images as they were {how}."
    return ""


def _of_some(given: Sequence[bool]) -> str:
    return "" if all(given) else " of some candidates"


def _legend(order: Sequence[str], shown: Set[str]) -> tuple[Legend, ...]:
    return tuple(Legend(candidate=name, color=color) for color, name in enumerate(order) if name in shown)


def _best_first(task: TaskSummary) -> list[CandidateSummary]:
    """Sort the candidates that have an accuracy, whatever their control."""
    measured = [row for row in task.candidates if row.accuracy is not None]
    return sorted(measured, key=lambda row: -row.accuracy.mean if row.accuracy else 0.0)


def _bar(task: TaskSummary, row: CandidateSummary, runs: Sequence[Run]) -> Bar:
    by_seed = {
        run.record.seed: value
        for run in runs
        if run.record.candidate == row.name and (value := run.metric("test_accuracy")) is not None
    }
    accuracy, published = row.accuracy, row.published
    place = next((found for group in task.groups if (found := group.standing(row.name)) is not None), None)
    return Bar(
        candidate=row.name, mean=accuracy.mean if accuracy else 0.0, low=accuracy.low if accuracy else None,
        high=accuracy.high if accuracy else None, by_seed=by_seed,
        published=published.accuracy if published else None, seconds=cost_of(row),
        standing="front" if place is None else place.standing, group=row.control_digest,
    )  # fmt: skip


def _lines(points: Sequence[CurvePoint]) -> list[Line]:
    grouped: dict[tuple[str, str], list[CurvePoint]] = {}
    for point in points:
        source = "published" if point.seed is None else f"seed {point.seed}"
        grouped.setdefault((point.candidate, source), []).append(point)
    return [
        Line(candidate=name, source=source, epochs=[p.epoch for p in line], values=[p.value for p in line])
        for (name, source), line in grouped.items()
    ]


def _curve_table(points: Sequence[CurvePoint], order: Sequence[str]) -> Table:
    """List the validation numbers of every epoch: our mean over seeds, and the published ones."""
    sums: dict[tuple[str, bool, str], dict[float, list[float]]] = {}
    for point in points:
        if point.split == "validation":
            by_epoch = sums.setdefault((point.candidate, point.published, point.quantity), {})
            by_epoch.setdefault(point.epoch, []).append(point.value)
    epochs = sorted({epoch for by_epoch in sums.values() for epoch in by_epoch})
    rows = tuple(
        row(
            Cell(text=name, sub=f"{quantity}, {'published' if is_published else 'mean of seeds'}"),
            *(
                _mean_cell(sums[name, is_published, quantity].get(epoch), _write(quantity, is_published))
                for epoch in epochs
            ),
        )
        for name, is_published, quantity in sorted(sums, key=lambda key: _curve_rank(key, order))
    )
    columns = (words("Epoch"), *(numbers(f"{epoch:g}") for epoch in epochs))
    return Table(caption="Validation by epoch.", columns=columns, rows=rows, kind="wide")


def _curve_rank(key: tuple[str, bool, str], order: Sequence[str]) -> tuple[int, str, bool]:
    name, is_published, quantity = key
    return order.index(name), quantity, is_published


def _write(quantity: str, is_published: bool) -> Callable[[float], str]:
    if quantity == "loss":
        return number
    return published_percent if is_published else percent


def _mean_cell(values: Sequence[float] | None, write: Callable[[float], str]) -> Cell:
    return Cell(text=write(sum(values) / len(values)) if values else MISSING)


def color_numbers(task: TaskSummary) -> Mapping[str, int]:
    """Number a task's candidates in the study's order; a number is a colour everywhere on the page."""
    return {row.name: index for index, row in enumerate(task.candidates)}
