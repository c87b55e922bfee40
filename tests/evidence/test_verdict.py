from __future__ import annotations

from dataclasses import replace

from bakeoff.evidence.comparison import Comparison
from bakeoff.evidence.intervals import Interval
from bakeoff.evidence.summary import CandidateSummary
from bakeoff.evidence.verdict import group_verdict, sensitivity_words, task_verdict


def row(name: str, accuracy: float, seconds: float = 60.0) -> CandidateSummary:
    return CandidateSummary(
        name=name, model=name, note="", control_digest="c", differences={}, planned=3,
        statuses={}, seeds=(0, 1, 2),
        accuracy=Interval(mean=accuracy, low=accuracy - 0.03, high=accuracy + 0.02, n=3),
        train_seconds=seconds, parameters=1_000_000,
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
        "a won with 80.0 % (95 % interval 77.0 to 82.0 %), "
        "told apart from the runner-up b (75.0 %): +5.0 points, corrected p = 0.010. "
        "The recommendation is a: whatever is cheaper is significantly worse (90 s of "
        "training, 1.0 M parameters)."
    )


def test_a_winner_that_is_not_told_apart_came_first_and_the_cheapest_equal_is_named() -> None:
    found = group_verdict(ROWS, ["a", "b", "c"], [pair("a", "b", 0.2), pair("a", "c", 0.1)])
    assert found == (
        "a came first with 80.0 % (95 % interval 77.0 to 82.0 %), "
        "but cannot be told apart from b and c (+5.0 points, corrected p = 0.200). "
        "The recommendation is c, the cheapest that is not significantly worse than the best (5.0 points "
        "below it, 95 % interval 0.0 to +10.0): 30 s of training, 1.0 M parameters."
    )


def test_a_winner_told_apart_from_the_runner_up_may_still_equal_a_third() -> None:
    found = group_verdict(ROWS, ["a", "b", "c"], [pair("a", "b", 0.01), pair("a", "c", 0.3)])
    assert found == (
        "a came first with 80.0 % (95 % interval 77.0 to 82.0 %) "
        "and is told apart from the runner-up b, but not from c. "
        "The recommendation is c, the cheapest that is not significantly worse than the best (5.0 points "
        "below it, 95 % interval 0.0 to +10.0): 30 s of training, 1.0 M parameters."
    )


def test_a_cheap_winner_is_recommended_itself() -> None:
    rows = {**ROWS, "a": row("a", 0.80, seconds=10)}
    alike = group_verdict(rows, ["a", "b"], [pair("a", "b", 0.2)])
    assert "The recommendation is a, the cheapest that is not significantly worse than the best" in alike
    apart = group_verdict(rows, ["a", "b"], [pair("a", "b", 0.01)])
    assert "The recommendation is a: nothing is cheaper (10 s of training, 1.0 M parameters)." in apart


def test_a_difference_that_is_not_shown_is_held_against_the_one_that_could_have_been() -> None:
    close = replace(pair("a", "b", 0.2, 0.004), smallest=0.0613)
    said = group_verdict(ROWS, ["a", "b"], [close])
    assert "b (+0.4 points, corrected p = 0.200; it takes about 6.1 points to be told apart here)" in said


def test_one_seed_tells_two_trainings_apart_and_no_more() -> None:
    words = "With one seed this is about these trainings; another seed may order them otherwise."
    once = replace(pair("a", "b", 0.01), seeds=(0,))
    assert words in group_verdict(ROWS, ["a", "b"], [once])
    assert words not in group_verdict(ROWS, ["a", "b"], [pair("a", "b", 0.01)])
    assert words not in group_verdict(ROWS, ["a", "b"], [replace(once, p_holm=0.2)])


def test_a_task_says_how_far_apart_two_candidates_have_to_lie() -> None:
    pairs = [replace(pair("a", "b", 0.2), smallest=s, smallest_alone=s / 2) for s in (0.02, 0.03, 0.05, 0.08)]
    assert sensitivity_words(pairs) == (
        "With 100 test images and 3 seeds two candidates have to lie about 4.0 points (2.0 to 8.0) apart "
        "or more to be told apart in four of five studies, all 4 pairs corrected together; a single pair, "
        "about 2.0 points (1.0 to 4.0)."
    )
    assert sensitivity_words(pairs[:1]) == (
        "With 100 test images and 3 seeds two candidates have to lie 2.0 points apart or more to be told "
        "apart in four of five studies."
    )
    unequal = [pairs[0], replace(pairs[0], seeds=(2,))]
    assert sensitivity_words(unequal).startswith("With 100 test images and 1 to 3 seeds two candidates")
    hopeless = [replace(pairs[0], smallest=None)] * 2
    assert "can hardly be told apart, whatever their difference" in sensitivity_words(hopeless)
    assert sensitivity_words([]) == ""


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
