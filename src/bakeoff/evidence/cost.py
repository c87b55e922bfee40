"""What candidates cost, which of them are on the front of accuracy and cost, and which is recommended.

"Cheap" is by training seconds, those of the candidates that it stands on and of a search that found it
included. Times within 5 % are equal (a budget gives all of them the same); then fewer parameters are
cheaper, and then the better ranked.

"Significantly worse" is meant for each pair by itself, at 5 %, not corrected for the other pairs: what is
claimed of the recommended candidate is that it is as good, and the correction would make that the
easier to claim the more candidates there are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bakeoff.evidence.comparison import ALPHA, Comparison, find_comparison
from bakeoff.evidence.words import count, listing, p_text, points
from bakeoff.units import format_seconds

if TYPE_CHECKING:
    from bakeoff.evidence.summary import CandidateSummary

Rows = Mapping[str, "CandidateSummary"]
Standing = Literal["front", "perhaps", "behind"]

EQUAL_SECONDS = 1.05  # times of two runs of one thing differ by so much


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a candidate stands between accuracy and cost, among those of its control."""

    candidate: str
    standing: Standing
    beaten_by: tuple[str, ...] = ()  # as good in both by the mean, better in one; best first


def cost_of(row: CandidateSummary) -> float | None:
    """Return the seconds of training that a candidate costs, its source's and search's included.

    Args:
        row: The candidate.

    Returns:
        A number above 0; None where that was not measured.
    """
    if not row.train_seconds:
        return None
    return row.train_seconds + (row.source_seconds or 0.0) + (row.search_seconds or 0.0)


def front(rows: Rows, ranking: Sequence[str], comparisons: Sequence[Comparison]) -> tuple[Place, ...]:
    """Tell who is on the front of accuracy and cost.

    A candidate is on it when nobody is as good in both and better in one, by the means; times within 5 %
    are equal, or chance in the time of a run would put all on the front who had the same budget. One who is
    beaten so stands behind it when at least one of those is told apart from it, and perhaps on it when
    none is.

    Args:
        rows: The group's candidates by name.
        ranking: Those with a finished run, best first.
        comparisons: Of their pairs, corrected.

    Returns:
        A place for each whose cost was measured, in the order of the ranking.
    """
    costs = {name: cost for name in ranking if (cost := cost_of(rows[name])) is not None}

    def beats(other: str, name: str) -> bool:
        ahead = _accuracy(rows, other) - _accuracy(rows, name)
        if ahead > 0:
            return costs[other] <= EQUAL_SECONDS * costs[name]
        return ahead == 0 and EQUAL_SECONDS * costs[other] < costs[name]

    found = []
    for name in costs:
        better = [other for other in costs if beats(other, name)]
        apart = [
            other for other in better
            if (pair := find_comparison(comparisons, other, name)) is not None and pair.told_apart
        ]  # fmt: skip
        standing: Standing = "front" if not better else "behind" if apart else "perhaps"
        found.append(Place(candidate=name, standing=standing, beaten_by=tuple(apart or better)))
    return tuple(found)


def recommend(rows: Rows, ranking: Sequence[str], comparisons: Sequence[Comparison]) -> str:
    """Name the cheapest candidate that was compared with the best and is not significantly worse.

    Args:
        rows: The group's candidates by name.
        ranking: Those with a finished run, best first; at least one.
        comparisons: Of their pairs, corrected.

    Returns:
        A name; the best itself when no time was measured.
    """
    alike = [ranking[0], *_as_good(ranking, comparisons)]
    timed = {name: cost for name in alike if (cost := cost_of(rows[name])) is not None}
    if not timed:
        return ranking[0]
    least = min(timed.values()) * EQUAL_SECONDS
    cheapest = [name for name in timed if timed[name] <= least]
    return min(cheapest, key=lambda name: (rows[name].parameters or float("inf"), ranking.index(name)))


def recommendation(rows: Rows, ranking: Sequence[str], comparisons: Sequence[Comparison]) -> str:
    """Say which candidate is recommended, and why; nothing when there is no choice.

    Args:
        rows: The group's candidates by name.
        ranking: Those with a finished run, best first.
        comparisons: Of their pairs, corrected.

    Returns:
        A sentence that starts with "The", or nothing.
    """
    if len(ranking) < 2 or all(cost_of(rows[name]) is None for name in ranking):
        return ""
    name = recommend(rows, ranking, comparisons)
    if not _as_good(ranking, comparisons):
        cheaper = [
            other for other in ranking[1:]
            if (cost_of(rows[other]) or 0) < (cost_of(rows[name]) or float("inf"))
        ]  # fmt: skip
        why = "whatever is cheaper is significantly worse" if cheaper else "nothing is cheaper"
        if any(find_comparison(comparisons, name, other) is None for other in cheaper):
            why += ", or has finished no seed in common with it"
        return f"The recommendation is {name}: {why} ({cost_words(rows[name])})."
    return (
        f"The recommendation is {name}, the cheapest that is not significantly worse than the best"
        f"{_below(find_comparison(comparisons, ranking[0], name))}: {cost_words(rows[name])}."
        f"{_passed_over(rows, ranking, comparisons, name)}"
    )


def cost_words(row: CandidateSummary) -> str:
    """Say what a training took, with what it stands on, and how large the network is."""
    parts = []
    seconds = cost_of(row)
    if seconds is not None:
        with_source = f", {row.source}'s included" if row.source and row.source_seconds else ""
        parts.append(f"{format_seconds(seconds)} of training{with_source}")
    if row.parameters:
        parts.append(f"{count(row.parameters)} parameters")
    return ", ".join(parts)


def _passed_over(rows: Rows, ranking: Sequence[str], comparisons: Sequence[Comparison], chosen: str) -> str:
    """Say why a cheaper one is not recommended, though the verdict does not tell it apart from the best."""
    said = []
    for name in ranking[1:]:
        found = find_comparison(comparisons, ranking[0], name)
        cheaper = EQUAL_SECONDS * (cost_of(rows[name]) or math.inf) < (cost_of(rows[chosen]) or math.inf)
        if found is not None and cheaper and not found.told_apart and _worse(comparisons, ranking[0], name):
            said.append(f"{name} ({p_text(found.p)})")
    if not said:
        return ""
    verb, each = ("is", "") if len(said) == 1 else ("are", "each ")
    names = listing(said)
    return f" Cheaper still {verb} {names}, but {each}worse than the best when the two are compared alone."


def _below(found: Comparison | None) -> str:
    """Say how far below the best the recommended one may be; nothing of the best itself.

    On the seeds that both have finished it may lie above: the ranking is by all that each has.
    """
    if found is None:
        return ""
    if found.difference < 0:
        return f" ({points(-found.difference).lstrip('+')} above it on the seeds that both have finished)"
    lacks = points(found.difference).lstrip("+")
    low, high = (points(end).removesuffix(" points") for end in (found.low, found.high))
    return f" ({lacks} below it, 95 % interval {low} to {high})"


def _as_good(ranking: Sequence[str], comparisons: Sequence[Comparison]) -> list[str]:
    """Name those that were compared with the best, and are not significantly worse."""
    best, *others = ranking
    return [
        name for name in others
        if find_comparison(comparisons, best, name) is not None and not _worse(comparisons, best, name)
    ]  # fmt: skip


def _worse(comparisons: Sequence[Comparison], best: str, name: str) -> bool:
    found = find_comparison(comparisons, best, name)
    return found is not None and found.p < ALPHA and found.difference > 0


def _accuracy(rows: Rows, name: str) -> float:
    found = rows[name].accuracy
    return 0.0 if found is None else found.mean
