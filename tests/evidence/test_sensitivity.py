"""Goldens: Connor's normal formula, hand-worked bounds, and in the slow tests simulated power."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bakeoff.evidence.comparison import compare_pairs, mcnemar, seeds_and_images
from bakeoff.evidence.crossed import Spreads, spreads
from bakeoff.evidence.sensitivity import smallest_of_one_seed, smallest_of_several_seeds
from bakeoff.records import Predictions
from bakeoff.rng import generator


@pytest.mark.parametrize(("disagree", "images"), [(1000, 10_000), (300, 2500), (4000, 10_000)])
@pytest.mark.parametrize("level", [0.05, 0.05 / 91])
def test_many_images_show_what_connors_formula_says(disagree: int, images: int, level: float) -> None:
    share, z, power = disagree / images, stats.norm.isf(level / 2), stats.norm.ppf(0.8)

    def missing(difference: float) -> float:
        spread = math.sqrt(share - difference**2)
        return difference * math.sqrt(images) - z * math.sqrt(share) - power * spread

    differences = np.linspace(0, share, 200_001)
    golden = differences[np.argmax([missing(d) >= 0 for d in differences])]
    found = smallest_of_one_seed(disagree // 2, disagree - disagree // 2, images, level)
    assert found == pytest.approx(golden, rel=0.06)
    assert found > 0.99 * golden  # the exact test shows less than the normal one


def test_candidates_that_never_disagreed_would_have_to() -> None:
    # At 5 % six images of one side are needed (2 / 2^6 = 0.031). With a share d of 100 images, all on one
    # side, P(at least 6) = 0.8 at d = 0.0779 (SciPy: binom.sf(5, 100, d)).
    found = smallest_of_one_seed(0, 0, 100, 0.05)
    assert found is not None
    assert stats.binom.sf(5, 100, found) == pytest.approx(0.8, abs=1e-3)


def test_four_images_can_show_nothing() -> None:
    assert smallest_of_one_seed(0, 0, 4, 0.05) is None


def test_without_spread_of_images_it_is_the_power_of_students_t() -> None:
    found = smallest_of_several_seeds(
        Spreads(mean=0, seeds=3, images=1000, of_seeds=1e-4, of_images=0.0), 0.05
    )
    assert found is not None
    noncentral = stats.nct.sf(stats.t.isf(0.025, 2), 2, found / 0.01)
    assert noncentral == pytest.approx(0.8, abs=0.004)


def test_without_spread_of_seeds_it_is_the_power_of_the_normal_test() -> None:
    found = smallest_of_several_seeds(
        Spreads(mean=0, seeds=3, images=100_000, of_seeds=0.0, of_images=1e-4), 0.05
    )
    assert found == pytest.approx(0.01 * (stats.norm.isf(0.025) + stats.norm.ppf(0.8)), rel=1e-3)


def test_seeds_that_vary_wildly_hide_everything() -> None:
    wild = Spreads(mean=0, seeds=2, images=1000, of_seeds=0.04, of_images=1e-5)
    assert smallest_of_several_seeds(wild, 0.05 / 91) is None


def answered(right_N: np.ndarray) -> Predictions:
    images = len(right_N)
    return Predictions(
        index_N=np.arange(images), label_N=np.zeros(images, int), loss_N=np.ones(images, np.float32),
        top_NT=np.where(right_N, 0, 1)[:, None], probability_NT=np.ones((images, 1), np.float32),
    )  # fmt: skip


def test_every_pair_says_what_it_could_have_shown_corrected_and_alone() -> None:
    random = generator(0, "pairs")
    runs = {name: {0: answered(random.random(400) < 0.8)} for name in "abc"}
    found = compare_pairs([("a", "b"), ("a", "c"), ("b", "c")], runs)
    for pair in found:
        counts = int(pair.first_only), int(pair.second_only), 400
        assert pair.smallest == smallest_of_one_seed(*counts, 0.05 / 3)
        assert pair.smallest_alone == smallest_of_one_seed(*counts, 0.05)
        assert pair.smallest > pair.smallest_alone


@pytest.mark.slow
@pytest.mark.parametrize(("images", "level"), [(250, 0.05), (2000, 0.05 / 91)])
def test_the_smallest_difference_of_one_seed_is_shown_in_four_of_five_studies(
    images: int, level: float
) -> None:
    random, share = generator(0, "power", images), 0.2
    smallest = smallest_of_one_seed(int(share * images / 2), int(share * images / 2), images, level)
    assert smallest is not None
    both = random.binomial(images, share, 2000)
    first = random.binomial(both, (1 + smallest / share) / 2)
    shown = np.mean([mcnemar(int(b), int(n - b)) < level for b, n in zip(first, both, strict=True)])
    assert shown == pytest.approx(0.8, abs=4 * math.sqrt(0.8 * 0.2 / 2000))


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 10])
@pytest.mark.parametrize(("own", "skill"), [(0.5, 0.0), (0.5, 0.01), (0.1, 0.1)])
@pytest.mark.parametrize("level", [0.05, 0.05 / 6])
def test_the_smallest_difference_of_several_seeds_is_shown_in_four_of_five_studies(
    seeds: int, own: float, skill: float, level: float
) -> None:
    """The true spreads are those of many draws; the shift that gives the difference follows from them."""
    random = generator(0, "power", seeds, int(100 * own), int(1000 * skill))

    def draw(ahead: float, count: int, images: int) -> np.ndarray:
        image_N, noise = random.normal(0, 1, images), (count, images)
        both = [
            image_N + random.normal(0, math.sqrt(own), images)
            + random.normal(0, math.sqrt(skill), (count, 1)) + random.normal(0, 1, noise) + shift > 0
            for shift in (0.7 + ahead, 0.7)
        ]  # fmt: skip
        outcome_SN: np.ndarray = both[0].astype(np.int8) - both[1].astype(np.int8)
        return outcome_SN

    images, scale = 600, math.sqrt(2 + own + skill)
    ahead = 0.0
    for _ in range(4):  # the spreads depend a little on the difference
        truth = [spreads(draw(ahead, seeds, images), width=2.0) for _ in range(400)]
        smallest = smallest_of_several_seeds(
            Spreads(
                mean=0.0, seeds=seeds, images=images,
                of_seeds=float(np.mean([part.of_seeds for part in truth])),
                of_images=float(np.mean([part.of_images for part in truth])),
            ), level,
        )  # fmt: skip
        assert smallest is not None
        ahead = scale * stats.norm.ppf(stats.norm.cdf(0.7 / scale) + smallest) - 0.7
    shown = np.mean([seeds_and_images(draw(ahead, seeds, images))[0] < level for _ in range(2000)])
    assert shown == pytest.approx(0.8, abs=0.05)
