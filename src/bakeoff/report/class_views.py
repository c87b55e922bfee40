"""The classes on which winner and runner-up differ, and the measures beside accuracy, as tables."""

from __future__ import annotations

from collections.abc import Callable

from bakeoff.evidence.intervals import Interval
from bakeoff.evidence.per_class import differences_in_words
from bakeoff.evidence.summary import TaskSummary
from bakeoff.evidence.words import number, p_text, percent, points
from bakeoff.report.view import Cell, Table, numbers, row, words
from bakeoff.report.words import MISSING, grouped, plural, points_range, range_words, typeset

MOST_CLASSES = 10  # rows: those with the largest differences


def class_view(task: TaskSummary) -> tuple[str, Table | None]:
    """Say on which classes winner and runner-up differ.

    Args:
        task: The task's evidence.

    Returns:
        One sentence or two, and the classes with the largest differences; nothing without a runner-up.
    """
    if task.rivals is None or not task.by_class:
        return "", None
    first, second = task.rivals
    shown = task.by_class[:MOST_CLASSES]
    columns = (
        words("Class"), numbers("Images"), numbers(first), numbers(second), numbers("Difference"),
        numbers("Corrected p"), words("In words"),
    )  # fmt: skip
    rows = tuple(
        row(
            one.name, grouped(one.images), percent(one.first), percent(one.second),
            Cell(text=typeset(points(one.difference)), sub=points_range(one.low, one.high)),
            p_text(one.p_holm).removeprefix("p ").removeprefix("= "),
            Cell(
                text=f"{first if one.difference > 0 else second} is better" if one.told_apart
                else "not told apart",
                tone="" if one.told_apart else "warn",
            ),
        )
        for one in shown
    )  # fmt: skip
    some = f"the {len(shown)} with the largest differences of " if len(shown) < len(task.by_class) else ""
    caption = (
        f"{first} and {second} on {some}{plural(len(task.by_class), 'class', 'classes')}: the share "
        "recognised. The p values are corrected for all classes by Holm's method, the intervals are not."
    )
    said = typeset(differences_in_words(first, second, task.by_class))
    return said, Table(caption=caption, columns=columns, rows=rows)


def measures_table(task: TaskSummary) -> Table | None:
    """List every measure of every candidate with its interval; None when no run has finished."""
    measured = [one for one in task.candidates if one.accuracy is not None]
    if not measured:
        return None
    says_something = (
        task.classes is None or task.classes > 5
    )  # of five or fewer the label is always among five
    columns = (
        words("Candidate"), numbers("Accuracy"), numbers("Balanced accuracy"), numbers("Macro F1"),
        *((numbers("Top-5 accuracy"),) if says_something else ()), numbers("Loss (nats)"),
    )  # fmt: skip
    order = [one.name for one in task.candidates]
    rows = tuple(
        row(
            Cell(text=one.name, color=order.index(one.name)),
            *(_cell(found, percent) for found in (one.accuracy, one.balanced_accuracy)),
            _cell(one.macro_f1, number),
            *((_cell(one.top5, percent),) if says_something else ()), _cell(one.loss, number),
        )
        for one in measured
    )  # fmt: skip
    caption = (
        "Every measure with its 95 % interval. Balanced accuracy is the mean share recognised of a class; "
        "macro F1 the mean over classes of the harmonic mean of precision and recall. Theirs are over images "
        "by a bootstrap (BCa) for one seed, and by the jackknife's values over seeds and images for several."
    )
    return Table(caption=caption, columns=columns, rows=rows)


def _cell(found: Interval | None, write: Callable[[float], str]) -> Cell:
    if found is None:
        return Cell(text=MISSING)
    return Cell(text=typeset(write(found.mean)), sub=range_words(found.low, found.high, write))
