from __future__ import annotations

from bakeoff.evidence.comparison import Comparison
from bakeoff.evidence.intervals import Interval
from bakeoff.evidence.summary import CandidateSummary
from bakeoff.evidence.verdict import group_verdict, task_verdict


def row(name: str, accuracy: float, seconds: float = 60.0) -> CandidateSummary:
    return CandidateSummary(
        name=name, model=name, note="", control_digest="c", differences={}, planned=3,
        statuses={}, reasons=(), seeds=(0, 1, 2),
        accuracy=Interval(mean=accuracy, n=3), train_seconds=seconds,
        parameters=1_000_000,
    )  # fmt: skip


def pair(first: str, second: str, p: float, difference: float = 0.05) -> Comparison:
    return Comparison(
        first=first, second=second, difference=difference, low=0, high=0.1, method="seeds and images",
        seeds=(0, 1, 2), images=100, first_only=5, second_only=0, p=p, p_holm=p,
    )  # fmt: skip


ROWS = {"a": row("a", 0.80, seconds=90), "b": row("b", 0.75), "c": row("c", 0.74, seconds=30)}


def test_a_winner_that_is_told_apart_from_all_won() -> None:
    found = group_verdict(ROWS, ["a", "b", "c"], [pair("b", "a", 0.01, -0.05), pair("a", "c", 0.002)])
    assert found == (
        "a won with 80.0 %, told apart from the runner-up b (75.0 %): +5.0 points, Holm p = 0.010."
    )


def test_a_winner_that_is_not_told_apart_came_first_and_the_cheapest_equal_is_named() -> None:
    found = group_verdict(ROWS, ["a", "b", "c"], [pair("a", "b", 0.2), pair("a", "c", 0.1)])
    assert found == (
        "a came first with 80.0 %, but cannot be told apart from b and c (+5.0 points, Holm p = 0.200). "
        "The cheapest of these is c: 30 s of training, 1.0 M parameters."
    )


def test_a_winner_told_apart_from_the_runner_up_may_still_equal_a_third() -> None:
    found = group_verdict(ROWS, ["a", "b", "c"], [pair("a", "b", 0.01), pair("a", "c", 0.3)])
    assert found == "a came first with 80.0 % and is told apart from the runner-up b, but not from c."


def test_a_cheap_winner_needs_no_cheaper_equal() -> None:
    rows = {**ROWS, "a": row("a", 0.80, seconds=10)}
    assert "cheapest" not in group_verdict(rows, ["a", "b"], [pair("a", "b", 0.2)])


def test_candidates_without_a_common_seed_are_not_told_apart() -> None:
    assert "cannot be told apart from b (no seed in common)" in group_verdict(ROWS, ["a", "b"], [])


def test_groups_without_a_finished_run_have_no_winner() -> None:
    assert group_verdict(ROWS, [], []) == "No run has finished."


def test_a_task_joins_its_groups_and_counts_what_is_missing() -> None:
    assert task_verdict(["x won."], 6, 6) == "x won."
    assert task_verdict(["x won."], 5, 6) == "x won. 1 of 6 runs is still to come."
    assert task_verdict(["x won.", "y won."], 4, 6) == (
        "Its candidates were trained under 2 controls and are ranked inside each. x won. y won. "
        "2 of 6 runs are still to come."
    )
    assert task_verdict([], 6, 6) == "No run of this task has finished."


def test_a_task_without_test_images_says_nothing_of_others() -> None:
    assert task_verdict(["No run has finished."], 1, 2, tested=False) == (
        "It has no test images: all were given to learn from, and nothing is said of others. "
        "1 of 2 runs is still to come."
    )
