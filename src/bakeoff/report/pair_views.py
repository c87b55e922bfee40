"""Which candidates of a task can be told apart, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bakeoff.evidence.comparison import Comparison, find_comparison
from bakeoff.evidence.summary import TaskSummary
from bakeoff.evidence.words import listing, p_text, points
from bakeoff.report.view import Cell, Table, numbers, row, words
from bakeoff.report.words import MISSING, grouped, plural, points_range, typeset

MOST_PAIRS = 12  # rows of comparisons shown at once; the others are folded away


def pairs_tables(task: TaskSummary, table_number: int) -> tuple[str, Table | None, Table | None]:
    """Say which candidates can be told apart.

    Args:
        task: The task's evidence.
        table_number: Of the first table.

    Returns:
        An introduction, the table of the pairs that matter most, and one of the others.
    """
    if not task.comparisons:
        alone = "No two candidates have finished runs under one control: there is nothing to compare."
        return alone, None, None
    leaders = [group.ranking[0] for group in task.groups if group.ranking]
    ordered = list(_ordered_pairs(task))
    if len(ordered) > MOST_PAIRS:
        shown_pairs = [pair for pair in ordered if pair.first in leaders or pair.second in leaders]
        folded = [pair for pair in ordered if pair not in shown_pairs]
    else:
        shown_pairs, folded = ordered, []
    corrected = (
        f"The p values are corrected for all {len(ordered)} pairs of this task by Holm's method; "
        "the intervals are not."
        if len(ordered) > 1
        else "With one pair there is nothing to correct p for."
    )
    caption = (
        f"Paired comparisons on the same test images. {corrected} What could be shown is the true difference "
        "that four of five such studies would find."
    )
    first = _pairs_table(caption, table_number, shown_pairs)
    rest = _pairs_table("The other pairs.", None, folded) if folded else None
    return _pairs_words(task, ordered), first, rest


def told_apart(task: TaskSummary) -> tuple[str, ...]:
    """Say of each pair that can be told apart who is better, and by how much; the best ranked first."""
    return tuple(
        f"{pair.first if pair.difference > 0 else pair.second} is better than "
        f"{pair.second if pair.difference > 0 else pair.first}: "
        f"{typeset(points(abs(pair.difference)))}, {p_text(pair.p_holm)}"
        for pair in _ordered_pairs(task)
        if pair.told_apart
    )


def _ordered_pairs(task: TaskSummary) -> Iterator[Comparison]:
    """Yield the comparisons, the better ranked candidate first, in the order of the ranking."""
    for group in task.groups:
        for index, better in enumerate(group.ranking):
            for worse in group.ranking[index + 1 :]:
                found = find_comparison(task.comparisons, better, worse)
                if found is not None:
                    yield found


def _pairs_table(caption: str, table_number: int | None, pairs: Sequence[Comparison]) -> Table:
    alone = "Images only one got right"
    columns = (
        words("Pair"), numbers("Difference"), numbers("first", alone), numbers("second", alone),
        numbers("Corrected p"), numbers("Could be shown"), words("In words"),
    )  # fmt: skip
    rows = tuple(
        row(
            f"{pair.first} and {pair.second}",
            Cell(text=typeset(points(pair.difference)), sub=points_range(pair.low, pair.high)),
            _mean_count(pair.first_only), _mean_count(pair.second_only),
            p_text(pair.p_holm).removeprefix("p ").removeprefix("= "),
            MISSING if pair.smallest is None else points(pair.smallest).lstrip("+"),
            Cell(text=_pair_words(pair), tone="" if pair.told_apart else "warn"),
        )
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
    # The groups overlap and there can be many; the first of each control holds its leader or comes nearest.
    alike = [listing(list(group.not_told_apart[0])) for group in task.groups if group.not_told_apart]
    result = f"{apart} of {plural(len(pairs), 'pair')} can be told apart at 5 %."
    if len(pairs) == 1:
        result = f"The two {'can' if apart else 'cannot'} be told apart at 5 %."
    if alike:
        result += f" Not told apart from each other: {'; '.join(alike)}."
    methods = {pair.method for pair in pairs}
    how = {
        frozenset({"mcnemar"}): "McNemar's exact test on the images that only one of two got right.",
        frozenset({"seeds and images"}): "A test in which seeds and images are both drawn at random, so that "
        "more seeds never count as more images.",
    }.get(frozenset(methods), "McNemar's exact test for one seed; for several, one over seeds and images.")
    # Of networks that are equally good on the average one seed each calls more apart: docs/decisions/0015.
    one_seed = "mcnemar" in methods
    once = " With one seed two trainings are compared, not two networks." if one_seed else ""
    equals = "trainings" if one_seed else "candidates"
    return (
        f"{result} {how}{once} {typeset(task.sensitivity)} If all {equals} "
        "were equally good, at most one study in twenty would call a pair of this table told apart."
    )
