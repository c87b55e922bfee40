"""Goldens: SciPy's binomtest and t distribution, R's p.adjust, and tables worked by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from bakeoff.errors import StudyError
from bakeoff.evidence.comparison import (
    Comparison,
    compare,
    compare_pairs,
    find_comparison,
    groups_not_told_apart,
    holm,
    mcnemar,
    paired_interval,
    seeds_and_images,
)
from bakeoff.evidence.crossed import joined_reach
from bakeoff.records import Predictions
from bakeoff.rng import generator


def run(correct: list[int] | np.ndarray, index: np.ndarray | None = None) -> Predictions:
    """Make predictions of two classes from who is right on which image."""
    correct_N = np.asarray(correct, dtype=bool)
    label_N = np.arange(len(correct_N)) % 2
    best_N = np.where(correct_N, label_N, 1 - label_N)
    return Predictions(
        index_N=np.arange(len(correct_N)) if index is None else index, label_N=label_N,
        loss_N=np.ones(len(correct_N), np.float32), top_NT=np.stack([best_N, 1 - best_N], axis=1),
        probability_NT=np.full((len(correct_N), 2), 0.5, np.float32),
    )  # fmt: skip


def compared(first: str, second: str, p: float, difference: float = 0.1) -> Comparison:
    return Comparison(
        first=first, second=second, difference=difference, low=difference - 0.05, high=difference + 0.05,
        method="mcnemar", seeds=(0,), images=100, first_only=12, second_only=2, p=p, p_holm=p,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("b", "c"), [(0, 5), (5, 0), (1, 9), (10, 3), (700, 800), (3, 2000), (1, 0), (450, 551), (5000, 5300)]
)
def test_mcnemar_is_the_exact_binomial_test_of_scipy(b: int, c: int) -> None:
    assert mcnemar(b, c) == pytest.approx(stats.binomtest(b, b + c, 0.5).pvalue, rel=1e-9)


def test_mcnemar_of_candidates_that_never_disagree_is_one() -> None:
    assert mcnemar(0, 0) == 1.0


@pytest.mark.parametrize("each", [1, 7, 900])
def test_mcnemar_of_equal_counts_is_one(each: int) -> None:
    assert mcnemar(each, each) == 1.0


def test_mcnemar_refuses_a_negative_count() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        mcnemar(-1, 3)


def test_mcnemar_rejects_equal_candidates_at_most_as_often_as_it_says() -> None:
    random = generator(0, "mcnemar")
    discordant = random.binomial(400, 0.2, 4000)
    first_only = random.binomial(discordant, 0.5)
    rejected = np.mean([mcnemar(b, n - b) < 0.05 for b, n in zip(first_only, discordant, strict=True)])
    assert 0.02 < rejected <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)


def test_the_interval_of_a_paired_difference_is_that_of_agresti_and_min() -> None:
    # With half a count more in each cell the table (59, 6, 16, 80) of 161 images becomes
    # (59.5, 6.5, 16.5, 80.5) of 163; by hand: -10 / 163 -+ 1.96 * sqrt(23 - 100 / 163) / 163.
    error = math.sqrt(23 - 100 / 163) / 163
    expected = (-10 / 163 - 1.959964 * error, -10 / 163 + 1.959964 * error)
    assert paired_interval(6, 16, 161) == pytest.approx(expected, abs=1e-7)


def test_one_seed_is_compared_by_mcnemar() -> None:
    first, second = run([1] * 90 + [0] * 10), run([1] * 78 + [0] * 12 + [1] * 2 + [0] * 8)
    found = compare("a", "b", {0: first}, {0: second})
    assert (found.method, found.first_only, found.second_only, found.images) == ("mcnemar", 12, 2, 100)
    assert found.difference == pytest.approx(0.10)
    assert found.p == pytest.approx(stats.binomtest(2, 14).pvalue)
    assert found.low < 0.10 < found.high


def test_images_are_paired_by_their_index_not_by_their_place() -> None:
    random = generator(0, "order")
    correct = random.random(60) < 0.7
    order = random.permutation(60)
    straight, turned = run(correct), run(correct)
    turned = Predictions(**{name: value[order] for name, value in vars(turned).items()})
    found = compare("a", "b", {0: straight}, {0: turned})
    assert (found.first_only, found.second_only, found.p) == (0, 0, 1.0)


def test_candidates_of_different_images_are_not_compared() -> None:
    with pytest.raises(StudyError, match="different images"):
        compare("a", "b", {0: run([1, 0, 1])}, {0: run([1, 0, 1], index=np.array([0, 1, 7]))})
    with pytest.raises(StudyError, match=r"different images \(3 and 2\)"):
        compare("a", "b", {0: run([1, 0, 1])}, {0: run([1, 0])})


def test_candidates_without_a_common_seed_are_not_compared() -> None:
    with pytest.raises(StudyError, match="no finished seed in common"):
        compare("a", "b", {0: run([1, 0])}, {1: run([1, 0])})
    assert compare_pairs([("a", "b")], {"a": {0: run([1, 0])}, "b": {1: run([1, 0])}}) == ()


def test_only_seeds_that_both_finished_count() -> None:
    good, bad = run([1] * 50), run([0] * 50)
    found = compare("a", "b", {0: good, 1: good, 2: bad}, {0: bad, 1: bad, 5: good})
    assert (found.seeds, found.difference) == ((0, 1), 1.0)


def test_several_seeds_put_the_spread_of_seeds_and_what_they_share_of_the_images_together() -> None:
    # Worked by hand: differences of the seeds 2/4, 0/4; their covariance over the images is 1/3.
    outcome_SN = np.array([[1, 0, 1, 0], [1, 0, 0, -1]], dtype=np.int8)
    of_seeds = (0.25**2 + 0.25**2) / 1 / 2
    of_images = (1 / 3 + 1 / 3) / 4  # with one image of spread more, over its 3 degrees of freedom
    reaches = (stats.t.ppf(0.975, 1) * math.sqrt(of_seeds), stats.t.ppf(0.975, 3) * math.sqrt(of_images))
    half = joined_reach(*reaches, 2, 0.05)
    p, low, high = seeds_and_images(outcome_SN)
    assert low == max(-1, 0.25 - half)
    assert high == min(1, 0.25 + half)
    at_p = (stats.t.isf(p / 2, 1) * math.sqrt(of_seeds), stats.t.isf(p / 2, 3) * math.sqrt(of_images))
    assert joined_reach(*at_p, 2, p) == pytest.approx(0.25)


def test_more_seeds_of_the_same_predictions_do_not_make_a_difference_more_certain() -> None:
    random = generator(0, "copies")
    first, second = random.random(300) < 0.75, random.random(300) < 0.70
    outcome_N = first.astype(np.int8) - second.astype(np.int8)
    two = seeds_and_images(np.stack([outcome_N] * 2))
    twenty = seeds_and_images(np.stack([outcome_N] * 20))
    once = mcnemar(int((outcome_N > 0).sum()), int((outcome_N < 0).sum()))
    assert twenty[0] == pytest.approx(two[0], rel=1e-6)
    assert twenty[0] == pytest.approx(once, abs=0.06)  # a normal approximation of the exact test


def test_candidates_that_agree_on_every_image_are_equal() -> None:
    p, low, high = seeds_and_images(np.zeros((3, 40), np.int8))
    assert p == 1.0
    assert low < 0 < high


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("spread", [0.0, 0.1, 0.5])
def test_equal_candidates_are_told_apart_no_more_often_than_the_level(seeds: int, spread: float) -> None:
    random = generator(0, "null", seeds, int(1000 * spread))
    rejected = 0
    for _ in range(400):
        hardness_N = random.normal(0, 0.7, 200)
        right = []
        for _ in range(2):
            skill_S1 = random.normal(0.7, spread, (seeds, 1))
            right.append((skill_S1 + hardness_N + random.normal(0, 0.7, (seeds, 200)) > 0).astype(np.int8))
        rejected += seeds_and_images(right[0] - right[1])[0] < 0.05
    assert rejected / 400 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)


def test_a_clear_difference_over_three_seeds_is_found() -> None:
    random = generator(0, "power")
    first = random.random((3, 1000)) < 0.85
    second = random.random((3, 1000)) < 0.70
    p, low, high = seeds_and_images(first.astype(np.int8) - second.astype(np.int8))
    assert p < 0.01
    assert 0 < low < 0.15 < high


def test_turning_a_comparison_round_turns_its_sign_only() -> None:
    random = generator(0, "sign")
    outcome_SN = random.choice([-1, 0, 0, 1, 1], (3, 80)).astype(np.int8)
    p, low, high = seeds_and_images(outcome_SN)
    turned = seeds_and_images(-outcome_SN)
    assert turned == pytest.approx((p, -high, -low))
    there = compared("a", "b", 0.01)
    back = find_comparison([there], "b", "a")
    assert back is not None
    assert (back.first, back.second) == ("b", "a")
    assert (back.difference, back.low, back.high) == (-there.difference, -there.high, -there.low)
    assert (back.first_only, back.second_only) == (2, 12)
    assert find_comparison([there], "a", "b") == there
    assert find_comparison([there], "a", "c") is None


def test_holm_is_that_of_r() -> None:
    # R 4.3: p.adjust(c(0.01, 0.02, 0.03, 0.005, 0.9), "holm")
    assert holm([0.01, 0.02, 0.03, 0.005, 0.9]) == pytest.approx([0.04, 0.06, 0.06, 0.025, 0.9])
    assert holm([]) == []
    assert holm([0.5, 0.6]) == [1.0, 1.0]


def test_all_pairs_are_corrected_together() -> None:
    random = generator(0, "pairs")
    shares = {"a": 0.9, "b": 0.8, "c": 0.79}
    runs = {name: {0: run(random.random(400) < share)} for name, share in shares.items()}
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    found = compare_pairs(pairs, runs)
    assert [(c.first, c.second) for c in found] == pairs
    assert [c.p_holm for c in found] == holm([c.p for c in found])
    assert found[0].p_holm > found[0].p


def test_groups_overlap_when_not_told_apart_does_not_carry_over() -> None:
    comparisons = [compared("a", "b", 0.4), compared("b", "c", 0.4), compared("a", "c", 0.01)]
    assert groups_not_told_apart(["a", "b", "c"], comparisons) == (("a", "b"), ("b", "c"))


def test_groups_are_as_large_as_they_can_be() -> None:
    alike = [compared(x, y, 0.5) for x, y in ("ab", "ac", "bc")]
    apart = [compared(x, "d", 0.001) for x in "abc"]
    assert groups_not_told_apart(["c", "a", "b", "d"], alike + apart) == (("c", "a", "b"),)
    assert groups_not_told_apart(["a"], []) == ()
    assert groups_not_told_apart(["a", "b"], []) == (("a", "b"),)  # a pair nobody compared


def test_groups_of_many_candidates_are_every_clique_once() -> None:
    # A chain: each is like its neighbours only, so every pair of neighbours is a group.
    names = [f"m{k:02d}" for k in range(20)]
    comparisons = [compared(a, b, 0.001) for i, a in enumerate(names) for b in names[i + 2 :]]
    assert groups_not_told_apart(names, comparisons) == tuple(itertools.pairwise(names))
