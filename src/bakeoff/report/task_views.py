"""One task in words: its verdict, its results beside the published ones, what to look into."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bakeoff.evidence.comparison import find_comparison
from bakeoff.evidence.intervals import Interval
from bakeoff.evidence.provenance import are_imagenets
from bakeoff.evidence.summary import CandidateSummary, TaskSummary
from bakeoff.evidence.words import count, number, percent, points, published_decimals, published_percent
from bakeoff.report.view import Cell, Column, Row, Table, Tone, Verdict, numbers, words
from bakeoff.report.words import (
    MISSING,
    grouped,
    pixels,
    plural,
    range_words,
    sentences,
    shown,
    signed_number,
    typeset,
)
from bakeoff.units import format_seconds


def anchor(index: int) -> str:
    """Return the id of a task's section; names may hold anything, so they are not used."""
    return f"task-{index + 1}"


def task_words(task: TaskSummary) -> str:
    """Say what the task is: images, classes, what guessing gives; nothing before its images are read."""
    parts = [plural(task.classes, "class", "classes") if task.classes else ""]
    if task.record:
        counts, size = task.record.counts, task.record.image_size
        parts.append(f"images of {pixels(size)} pixels")
        train, validation = grouped(counts.get("train", 0)), grouped(counts.get("validation", 0))
        parts.append(f"{train} to train on, {validation} for validation")
    if task.test_images:
        parts.append(f"{grouped(task.test_images)} test images")
    if task.guess is not None:
        parts.append(f"always answering the commonest class gives {percent(task.guess)}")
    words = "; ".join(filter(None, parts))
    return words and words + "."


def verdict_view(task: TaskSummary, index: int) -> Verdict:
    """Put a task's verdict on a card: its first sentence large, what it rests on below."""
    badge, tone = _badge(task)
    ranked = [group for group in task.groups if group.ranking]
    if not ranked:
        said, why = task.verdict, ""
    else:
        said, *rest = sentences(ranked[0].verdict)
        rest += [f"Under {group.title}: {group.verdict}" for group in ranked[1:]]
        if task.ended < task.planned:
            rest.append(f"{task.planned - task.ended} of {plural(task.planned, 'run')} are missing.")
        why = " ".join(rest)
    return Verdict(
        task=task.name, anchor=anchor(index), badge=badge, tone=tone, said=typeset(said), why=typeset(why)
    )


def results_table(task: TaskSummary, table_number: int) -> Table:
    """Make the task's main table: a row for each candidate, the best first in each control group."""
    columns = _result_columns(task)
    rows = []
    for heading, name, is_first in _ranked(task):
        row = task.candidate(name)
        cells = _result_cells(task, row)
        rows.append(Row(cells=tuple(cells[column] for column in columns), lead=is_first, heading=heading))
    caption = _results_caption(task)
    return Table(number=table_number, caption=caption, columns=tuple(columns.values()), rows=tuple(rows))


def notes(task: TaskSummary) -> tuple[str, ...]:
    """List what a reader should look into, and what is to be known of the published figures."""
    lines = []
    for row in task.candidates:
        lines += [f"{row.name}: {typeset(symptom.text)}." for symptom in row.symptoms]
        if row.reported and row.reported.note:
            lines.append(f"{row.name}, as published: {typeset(row.reported.note)}.")
    lines += _pretrained_note(task)
    return tuple(lines)


def _pretrained_note(task: TaskSummary) -> list[str]:
    """Say what it means when weights have seen ImageNet and the task's classes are ImageNet's."""
    names = [row.name for row in task.candidates if row.pretrained.startswith("on ImageNet")]
    if not names or task.record is None or not are_imagenets(task.record.class_ids):
        return []
    return [
        f"The classes of this task are ImageNet's, and the weights under {', '.join(names)} were trained on "
        "ImageNet: they know these classes from its images at full size, and may have been trained on some "
        "of the test images themselves. They are ranked apart from networks that start fresh."
    ]


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
        "candidate": words("Candidate"),
        "accuracy": numbers("ours", "Test accuracy"),
        "accuracy published": numbers("published", "Test accuracy"),
        "accuracy difference": numbers("difference, points", "Test accuracy"),
        "loss": numbers("ours", "Test loss, nats"),
        "loss published": numbers("published", "Test loss, nats"),
        "loss difference": numbers("difference", "Test loss, nats"),
        "top5": numbers("Top-5"),
        "parameters": numbers("Parameters"),
        "time": numbers("Training of a run"),
        "speed": numbers("Images/s"),
        "runs": numbers("Runs"),
    }
    published = [row.published for row in task.candidates if row.published]
    if all(p.accuracy is None for p in published):
        columns = {k: v for k, v in columns.items() if not k.startswith("accuracy ")}
    if all(p.loss is None for p in published):
        columns = {k: v for k, v in columns.items() if not k.startswith("loss ")}
    if task.classes is not None and task.classes <= 5:
        del columns["top5"]
    return columns


def _result_cells(task: TaskSummary, row: CandidateSummary) -> dict[str, Cell]:
    order = [candidate.name for candidate in task.candidates]
    published = row.published
    return {
        "candidate": Cell(text=row.name, sub=_candidate_sub(row), color=order.index(row.name)),
        "accuracy": _interval_cell(row.accuracy, percent),
        "accuracy published": Cell(text=shown(published.accuracy, published_percent) if published else ""),
        "accuracy difference": _difference_cell(row),
        "loss": _interval_cell(row.loss, number),
        "loss published": Cell(text=shown(published.loss, number) if published else ""),
        "loss difference": Cell(text=shown(published.loss_difference, signed_number) if published else ""),
        "top5": Cell(text=shown(row.top5.mean, percent) if row.top5 else MISSING),
        "parameters": Cell(text=shown(row.parameters, count)),
        "time": Cell(text=shown(row.train_seconds, format_seconds), sub=_time_sub(row)),
        "speed": Cell(text=shown(row.images_per_second, grouped)),
        "runs": _runs_cell(row),
    }


def _candidate_sub(row: CandidateSummary) -> str:
    pretrained = f"pretrained {row.pretrained}" if row.pretrained else ""
    searched = f"{row.searched} before its training" if row.searched else ""
    parts = [row.model if row.model != row.name else "", searched, row.external, pretrained, row.note]
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
    text = points(published.accuracy_difference, published_decimals(published.accuracy))
    text = typeset(text).removesuffix(" points")
    return Cell(text=text, sub=sub, tone=tone)


def _runs_cell(row: CandidateSummary) -> Cell:
    finished = row.statuses.get("finished", 0)
    others = [f"{n} {status}" for status, n in row.statuses.items() if n and status != "finished"]
    broken = row.statuses.get("diverged", 0) + row.statuses.get("failed", 0)
    tone: Tone = "bad" if broken else "warn" if others else ""
    return Cell(text=f"{finished} of {row.planned}", sub=", ".join(others), tone=tone)


def _time_sub(row: CandidateSummary) -> str:
    """Say how long a training was, and what went before it."""
    before = ""
    if row.source_seconds is not None:
        before = f"after {format_seconds(row.source_seconds)} for {row.source}"
    return ", ".join(filter(None, (_epochs(row.epochs), before)))


def _epochs(epochs: float | None) -> str:
    return "" if epochs is None else f"{epochs:.3g} {'epoch' if epochs == 1 else 'epochs'}"


def _results_caption(task: TaskSummary) -> str:
    over = {row.accuracy.over for row in task.candidates if row.accuracy and row.accuracy.low is not None}
    images = plural(task.test_images or 0, "test image")
    both = (
        f"over seeds (Student's t) and the {images} (Wilson; for losses Student's t) together, the images "
        "counted as far as the seeds share them"
    )
    what = {
        frozenset({"seeds"}): "Means over the finished runs, with 95 % intervals over seeds (Student's t).",
        frozenset({"images"}): f"One run each: 95 % intervals over the {images} (Wilson; for losses "
        "Student's t).",
        frozenset({"seeds and images"}): f"Means over the finished runs, with 95 % intervals {both}.",
    }.get(
        frozenset(over),
        f"Means over the finished runs; 95 % intervals {both}, or for a single run over the images alone.",
    )
    bold = "In bold the first" + (" under each control." if len(task.groups) > 1 else ".")
    cost = "Training time leaves out evaluation and preparation."
    if any(row.source for row in task.candidates):
        cost += (
            " What a candidate is built on had to be trained before it, so it was trained longer in all; "
            "that time stands below its own."
        )
    theirs = " Differences are ours minus published." if any(row.published for row in task.candidates) else ""
    return f"Results on the test images. {what if over else ''} {bold}{theirs} {cost}".replace("  ", " ")
