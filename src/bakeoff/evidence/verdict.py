"""Verdicts in words: who won, whether that can be told from chance, and what is cheapest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bakeoff.evidence.comparison import Comparison, find_comparison
from bakeoff.evidence.cost import recommendation
from bakeoff.evidence.words import listing, p_text, percent, points

if TYPE_CHECKING:
    from bakeoff.evidence.summary import CandidateSummary

Rows = Mapping[str, "CandidateSummary"]


def group_verdict(rows: Rows, ranking: Sequence[str], comparisons: Sequence[Comparison]) -> str:
    """Say who won a control group, and against whom that is more than chance.

    Args:
        rows: The group's candidates by name.
        ranking: Those with a finished run, best first.
        comparisons: Of their pairs, corrected for all pairs of the task.

    Returns:
        One or more sentences.
    """
    if not ranking:
        return "No run has finished."
    if len(ranking) == 1:
        return f"{ranking[0]} reached {_with_reach(rows, ranking[0])}; there is nothing to compare it with."
    winner, runner_up = ranking[0], ranking[1]
    alike = [
        name for name in ranking[1:]
        if (found := find_comparison(comparisons, winner, name)) is None or not found.told_apart
    ]  # fmt: skip
    between = find_comparison(comparisons, winner, runner_up)
    advice = recommendation(rows, ranking, comparisons)
    advice = f" {advice}" if advice else ""
    if not alike:
        other = f"{runner_up} ({_accuracy(rows, runner_up)})"
        return (
            f"{winner} won with {_with_reach(rows, winner)}, told apart from the runner-up {other}: "
            f"{_difference(between, rows)}.{advice}{_few_seeds(between)}"
        )
    if runner_up not in alike:
        return (
            f"{winner} came first with {_with_reach(rows, winner)} and is told apart from the runner-up "
            f"{runner_up}, but not from {listing(alike)}.{advice}{_few_seeds(between)}"
        )
    return (
        f"{winner} came first with {_with_reach(rows, winner)}, "
        f"but cannot be told apart from {listing(alike)} "
        f"({_difference(between, rows)}{_hidden(between)}).{advice}{_few_seeds(between)}"
    )


def task_verdict(verdicts: Sequence[str], ended: int, planned: int, *, tested: bool = True) -> str:
    """Join the verdicts of a task's control groups, and say what is still to come; untested, it has none."""
    missing = planned - ended
    verb = "is" if missing == 1 else "are"
    later = f" {missing} of {planned} runs {verb} still to come." if missing else ""
    if not tested:
        return f"It has no test images: all were given to learn from, and nothing is said of others.{later}"
    if not verdicts:
        return f"No run of this task has finished.{later}"
    if len(verdicts) == 1:
        return verdicts[0] + later
    opening = f"Its candidates were trained under {len(verdicts)} controls and are ranked inside each."
    return f"{opening} {' '.join(verdicts)}{later}"


def _accuracy(rows: Rows, name: str) -> str:
    interval = rows[name].accuracy
    return "no accuracy" if interval is None else percent(interval.mean)


def _with_reach(rows: Rows, name: str) -> str:
    """Write an accuracy with its interval, with which a verdict opens: how sure one can be."""
    interval = rows[name].accuracy
    if interval is None or interval.low is None or interval.high is None:
        return _accuracy(rows, name)
    reach = f"{percent(interval.low).removesuffix(' %')} to {percent(interval.high)}"
    return f"{percent(interval.mean)} ({100 * interval.level:g} % interval {reach})"


def _difference(between: Comparison | None, rows: Rows) -> str:
    """Write the difference from the runner-up, and over which seeds when they have not finished the same."""
    if between is None:
        return "no seed in common"
    text = f"{points(between.difference)}, corrected {p_text(between.p_holm)}"
    if any(rows[name].seeds != between.seeds for name in (between.first, between.second)):
        numbers = listing([str(seed) for seed in between.seeds])
        text += f", on seed{'s' if len(between.seeds) > 1 else ''} {numbers} that both finished"
    return text


def _hidden(between: Comparison | None) -> str:
    """Say how far apart the two would have had to lie."""
    if between is None or between.smallest is None:
        return ""
    return f"; it takes about {points(between.smallest).lstrip('+')} to be told apart here"


def _few_seeds(between: Comparison | None) -> str:
    """Say when more seeds would help most: one tells two trainings apart, two say little.

    Student's factor falls from 12.7 to 4.3 with the third.
    """
    if between is None or len(between.seeds) > 2:
        return ""
    if len(between.seeds) == 2:
        return " Two seeds say little about how seeds vary; a third would sharpen this most."
    if not between.told_apart:
        return ""
    return " With one seed this is about these trainings; another seed may order them otherwise."


def sensitivity_words(comparisons: Sequence[Comparison]) -> str:
    """Say how far apart two candidates have to lie for this test set to show it.

    Args:
        comparisons: Of a task's pairs, with their smallest differences.

    Returns:
        One or two sentences; nothing without pairs.
    """
    if not comparisons:
        return ""
    fewest, most = (end(len(pair.seeds) for pair in comparisons) for end in (min, max))
    seeds = f"{f'{fewest} to ' if fewest < most else ''}{most} seed{'s' if most > 1 else ''}"
    given = f"With {comparisons[0].images:,} test images and {seeds} two candidates"
    known = sorted(pair.smallest for pair in comparisons if pair.smallest is not None)
    alone = sorted(pair.smallest_alone for pair in comparisons if pair.smallest_alone is not None)
    if 2 * len(known) < len(comparisons) or not known:
        said = f"{given} can hardly be told apart, whatever their difference"
    else:
        said = f"{given} have to lie {_around(known)} apart or more to be told apart in four of five studies"
    if len(comparisons) > 1 and alone:
        said += f", all {len(comparisons)} pairs corrected together; a single pair, {_around(alone)}"
    return f"{said}."


def _around(rising: Sequence[float]) -> str:
    """Write a median with its range, where that is not the same: "2.1 points (1.8 to 3.0)"."""
    middle, low, high = (points(value).lstrip("+") for value in (_median(rising), rising[0], rising[-1]))
    if low == high:
        return middle
    return f"about {middle} ({low.removesuffix(' points')} to {high.removesuffix(' points')})"


def _median(rising: Sequence[float]) -> float:
    half = len(rising) // 2
    return rising[half] if len(rising) % 2 else (rising[half - 1] + rising[half]) / 2
