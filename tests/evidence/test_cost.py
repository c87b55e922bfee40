from __future__ import annotations

from dataclasses import replace

import pytest

from bakeoff.evidence.comparison import Comparison
from bakeoff.evidence.cost import cost_of, front, recommend, recommendation
from bakeoff.evidence.intervals import Interval
from bakeoff.evidence.summary import CandidateSummary


def row(name: str, accuracy: float, seconds: float | None, parameters: int = 1000) -> CandidateSummary:
    return CandidateSummary(
        name=name, model=name, note="", control_digest="c", differences={}, planned=3, statuses={},
        seeds=(0, 1, 2), accuracy=Interval(mean=accuracy, n=3), train_seconds=seconds,
        parameters=parameters,
    )  # fmt: skip


def pair(first: str, second: str, p: float, difference: float = 0.05) -> Comparison:
    return Comparison(
        first=first, second=second, difference=difference, low=0, high=0.1, method="seeds and images",
        seeds=(0, 1, 2), images=100, first_only=5, second_only=0, p=p, p_holm=p,
    )  # fmt: skip


# Best first; a and b are dear, c is cheap and nearly as good, d dearer than c and worse, e dear and poor.
ROWS = {
    one.name: one
    for one in (row("a", 0.80, 100), row("b", 0.79, 200), row("c", 0.77, 20), row("d", 0.76, 30),
                row("e", 0.50, 150))
}  # fmt: skip
RANKING = ["a", "b", "c", "d", "e"]
PAIRS = [
    pair("a", "b", 0.4), pair("a", "c", 0.2), pair("a", "d", 0.01), pair("a", "e", 0.001),
    pair("b", "e", 0.001), pair("c", "d", 0.3), pair("c", "e", 0.001), pair("d", "e", 0.001),
]  # fmt: skip


def test_the_front_is_by_means_and_by_whether_the_beaten_are_told_apart() -> None:
    found = {place.candidate: place for place in front(ROWS, RANKING, PAIRS)}
    assert {name: place.standing for name, place in found.items()} == {
        "a": "front", "b": "perhaps", "c": "front", "d": "perhaps", "e": "behind",
    }  # fmt: skip
    assert found["d"].beaten_by == ("c",)
    assert found["e"].beaten_by == ("a", "c", "d")


def test_a_candidate_without_a_time_has_no_place() -> None:
    rows = {**ROWS, "c": row("c", 0.77, None)}
    assert [place.candidate for place in front(rows, RANKING, PAIRS)] == ["a", "b", "d", "e"]


def test_equal_accuracy_at_equal_cost_puts_both_on_the_front() -> None:
    rows = {name: row(name, 0.8, 10) for name in "ab"}
    assert [place.standing for place in front(rows, ["a", "b"], [pair("a", "b", 1.0, 0.0)])] == ["front"] * 2


def test_of_equal_accuracies_the_dearer_is_only_perhaps_on_the_front() -> None:
    rows = {"a": row("a", 0.8, 60), "b": row("b", 0.8, 20)}  # a is ranked first for its lower loss
    found = front(rows, ["a", "b"], [pair("a", "b", 1.0, 0.0)])
    assert [(place.standing, place.beaten_by) for place in found] == [("perhaps", ("b",)), ("front", ())]


def test_a_budget_that_was_used_up_a_little_sooner_puts_nobody_on_the_front() -> None:
    rows = {"a": row("a", 0.8, 60.4), "b": row("b", 0.5, 60.1), "c": row("c", 0.5, 55.0)}
    found = front(rows, ["a", "b", "c"], [pair("a", "b", 0.001), pair("a", "c", 0.001)])
    assert [place.standing for place in found] == ["front", "behind", "front"]


def test_cost_counts_what_a_candidate_stands_on() -> None:
    built = replace(row("f", 0.8, 5), source="a", source_seconds=100.0)
    assert cost_of(built) == 105
    assert cost_of(row("a", 0.8, None)) is None
    said = recommendation({"f": built, "g": row("g", 0.7, 500)}, ["f", "g"], [pair("f", "g", 0.001)])
    assert "2 min of training, a's included" in said


def test_the_cheapest_that_is_not_significantly_worse_is_recommended() -> None:
    assert recommend(ROWS, RANKING, PAIRS) == "c"
    assert recommendation(ROWS, RANKING, PAIRS).startswith(
        "The recommendation is c, the cheapest that is not"
    )


def test_many_other_pairs_make_it_no_easier_to_be_recommended() -> None:
    corrected = [replace(one, p_holm=min(1.0, 91 * one.p)) for one in PAIRS]
    worse = [replace(one, p=0.02, p_holm=1.0) if one.second == "c" else one for one in corrected]
    assert recommend(ROWS, RANKING, corrected) == "c"
    assert recommend(ROWS, RANKING, worse) == "a"


def test_how_far_below_the_best_the_recommended_may_be_is_said() -> None:
    said = recommendation(ROWS, RANKING, PAIRS)
    assert "worse than the best (5.0 points below it, 95 % interval 0.0 to +10.0): 20 s of training" in said
    cheap = {**ROWS, "a": row("a", 0.80, 1)}
    assert "below it" not in recommendation(cheap, RANKING, PAIRS)


def test_what_is_significantly_worse_is_never_recommended_however_cheap() -> None:
    rows = {**ROWS, "e": row("e", 0.50, 1)}
    assert recommend(rows, RANKING, PAIRS) == "c"
    alone = [pair("a", name, 0.001) for name in "bcde"]
    assert recommend(rows, RANKING, alone) == "a"
    assert "whatever is cheaper is significantly worse" in recommendation(rows, RANKING, alone)


def test_equal_times_are_decided_by_parameters_and_then_by_rank() -> None:
    rows = {
        "a": row("a", 0.80, 60.0, 9000), "b": row("b", 0.79, 61.0, 4000), "c": row("c", 0.78, 62.9, 4000),
        "d": row("d", 0.77, 64.0, 10),
    }  # fmt: skip
    alike = [pair("a", name, 0.5) for name in "bcd"]
    assert recommend(rows, list("abcd"), alike) == "b"  # d is 6.7 % dearer than a


@pytest.mark.parametrize("seconds", [None, 0.0])
def test_without_times_the_best_is_recommended_without_a_word(seconds: float | None) -> None:
    rows = {"a": row("a", 0.8, seconds), "b": row("b", 0.7, seconds)}
    assert recommend(rows, ["a", "b"], []) == "a"
    assert recommendation(rows, ["a", "b"], []) == ""
    assert recommendation(rows, ["a"], []) == ""


def test_a_cheaper_one_that_the_correction_alone_keeps_from_being_told_apart_is_accounted_for() -> None:
    """Else the verdict names it among those not told apart, and a dearer one is called the cheapest."""
    pairs = [
        replace(one, p=0.02, p_holm=0.2) if one.second == "c" and one.first == "a" else one for one in PAIRS
    ]
    said = recommendation(ROWS, RANKING, pairs)
    assert said.startswith("The recommendation is a, the cheapest that is not significantly worse")
    assert said.endswith(
        " Cheaper still is c (p = 0.020), but worse than the best when the two are compared alone."
    )
    assert "Cheaper still" not in recommendation(ROWS, RANKING, PAIRS)
    nearly = {**ROWS, "c": row("c", 0.77, 98)}  # two seconds of a hundred are chance
    assert "Cheaper still" not in recommendation(nearly, RANKING, pairs)
    both = [
        replace(one, p=0.02, p_holm=0.2) if one.first == "a" and one.second in "cd" else one for one in PAIRS
    ]
    assert "Cheaper still are c (p = 0.020) and d (p = 0.020), but each worse" in recommendation(
        ROWS, RANKING, both
    )


def test_nobody_is_recommended_who_was_not_compared_with_the_best() -> None:
    """Without a seed in common nothing was tested, so nothing says that it is not worse."""
    rows = {"a": row("a", 0.9, 100), "b": row("b", 0.5, 1), "c": row("c", 0.4, 2)}
    assert recommend(rows, ["a", "b", "c"], [pair("a", "c", 0.001)]) == "a"
    assert recommendation(rows, ["a", "b", "c"], [pair("a", "c", 0.001)]).startswith(
        "The recommendation is a: whatever is cheaper is significantly worse, or has finished no seed in "
        "common with it (2 min of training"
    )


def test_who_is_behind_by_all_seeds_may_be_ahead_on_those_in_common() -> None:
    rows = {"a": row("a", 0.9, 100), "b": row("b", 0.89, 10)}
    said = recommendation(rows, ["a", "b"], [pair("a", "b", 0.6, -0.012)])
    assert "the best (1.2 points above it on the seeds that both have finished): 10 s of training" in said
