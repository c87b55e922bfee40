"""Goldens: SciPy's binomtest and t distribution, and numbers printed by statsmodels and R."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bakeoff.evidence.crossed import joined_reach
from bakeoff.evidence.intervals import Interval, mean_interval, seeds_and_images, shared_by_seeds, wilson
from bakeoff.rng import generator


@pytest.mark.parametrize(("right", "n"), [(0, 10), (10, 10), (1, 1), (193, 250), (7, 1000), (5000, 10000)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_wilson_is_that_of_scipy(right: int, n: int, level: float) -> None:
    golden = stats.binomtest(right, n).proportion_ci(confidence_level=level, method="wilson")
    found = wilson(right, n, level)
    assert (found.low, found.high) == pytest.approx((golden.low, golden.high), abs=1e-12)
    assert found.low <= found.mean <= found.high


def test_wilson_is_that_of_statsmodels() -> None:
    # statsmodels 0.14: proportion_confint(81, 263, method="wilson"), the example of Newcombe (1998), table I
    found = wilson(81, 263)
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize("arguments", [(1, 0), (-1, 5), (6, 5), (1, 2, 0.0), (1, 2, 1.0)])
def test_wilson_refuses_what_is_no_count_or_level(arguments: tuple) -> None:
    with pytest.raises(ValueError, match="expected"):
        wilson(*arguments)


@pytest.mark.parametrize("values", [[0.77, 0.75], [0.604, 0.626, 0.573], [1.0, 2.0, 4.0, 8.0, 16.0]])
def test_a_mean_is_bounded_by_students_t(values: list[float]) -> None:
    golden = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    found = mean_interval(values)
    assert found.mean == pytest.approx(np.mean(values))
    assert (found.low, found.high) == pytest.approx(golden)
    assert (found.n, found.over) == (len(values), "seeds")


def test_one_seed_has_no_interval() -> None:
    found = mean_interval([0.5])
    assert (found.mean, found.low, found.high, found.half_width) == (0.5, None, None, None)
    assert not found.holds(0.5)


def test_an_interval_stays_inside_its_bounds() -> None:
    found = mean_interval([0.99, 0.90], bounds=(0, 1))
    assert found.high == 1
    assert found.low == pytest.approx(0.945 - 12.7062 * 0.045, abs=1e-4)  # t of 1 degree of freedom
    assert found.half_width == pytest.approx(found.mean - found.low)


@pytest.mark.parametrize("values", [[], [0.5, math.nan], [math.inf]])
def test_a_mean_of_nothing_or_of_nan_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one value"):
        mean_interval(values)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_95_of_100_intervals_hold_the_true_mean(n: int) -> None:
    draws = generator(0, "coverage", n).normal(0.7, 0.02, (4000, n))
    held = np.mean([mean_interval(row).holds(0.7) for row in draws])
    assert held == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 4000))


def test_seeds_and_images_are_put_together_on_each_side() -> None:
    over_seeds = mean_interval([0.74, 0.76, 0.78])
    over_images = wilson(0.76 * 250, 250)
    found = seeds_and_images(over_seeds, over_images)
    t = stats.t.interval(0.95, 2, loc=0.76, scale=stats.sem([0.74, 0.76, 0.78]))
    score = stats.binomtest(190, 250).proportion_ci(method="wilson")
    golden = [
        0.76 - joined_reach(0.76 - t[0], 0.76 - score.low, 3, 0.05),
        0.76 + joined_reach(t[1] - 0.76, score.high - 0.76, 3, 0.05),
    ]
    assert [found.low, found.high] == pytest.approx(golden)
    assert (found.mean, found.n, found.over) == (pytest.approx(0.76), 3, "seeds and images")


def test_what_the_seeds_share_of_the_images_is_their_covariance() -> None:
    random = generator(0, "shared")
    value_SN = random.normal(0, 1, 500) + random.normal(0, 0.6, (4, 500))
    error = math.sqrt(np.cov(value_SN)[~np.eye(4, dtype=bool)].mean() / 500)
    found = shared_by_seeds(value_SN)
    golden = stats.t.interval(0.95, 499, loc=value_SN.mean(), scale=error)
    assert (found.low, found.high) == pytest.approx(golden)
    assert (found.n, found.over) == (500, "images")


def test_a_share_of_images_that_seeds_share_in_part_is_wilsons_of_more_images() -> None:
    random = generator(0, "part")
    right_SN = random.random((3, 400)) < random.beta(2, 1, 400)
    found, alone = shared_by_seeds(right_SN, shares=True), wilson(right_SN.sum() / 3, 400)
    assert alone.low < found.low < found.mean < found.high < alone.high
    # Half an image of spread is added to what the seeds share.
    shared = np.cov(right_SN)[~np.eye(3, dtype=bool)].mean() + 0.25 / 399
    effective = 400 * found.mean * (1 - found.mean) / shared
    assert (found.low, found.high) == pytest.approx(score_ends(found.mean, effective))


def score_ends(share: float, n: float) -> tuple[float, float]:
    """Solve Wilson's quadratic (share - p)^2 = z^2 p (1 - p) / n for p."""
    z = stats.norm.ppf(0.975) ** 2 / n
    low, high = sorted(np.roots([1 + z, -(2 * share + z), share**2]))
    return low, high


@pytest.mark.parametrize("right", [0, 1])
def test_images_that_every_seed_gets_equally_right_leave_wilsons_interval(right: int) -> None:
    found = shared_by_seeds(np.full((3, 50), right), shares=True)
    golden = stats.binomtest(50 * right, 50).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((golden.low, golden.high))


def test_equal_seeds_on_few_images_are_as_uncertain_as_the_images() -> None:
    over_images = wilson(3, 6)
    found = seeds_and_images(mean_interval([0.5, 0.5]), over_images, bounds=(0, 1))
    assert (found.low, found.high) == pytest.approx((over_images.low, over_images.high))
    assert found.half_width > 0.3


def test_both_ends_stay_inside_the_bounds() -> None:
    found = seeds_and_images(mean_interval([1.0, 0.8]), wilson(9, 10), bounds=(0, 1))
    assert (found.low, found.high) == (0, 1)


def test_what_has_no_ends_cannot_be_joined() -> None:
    alone = Interval(mean=0.5, n=1)
    with pytest.raises(ValueError, match="expected ends of one level"):
        seeds_and_images(alone, wilson(3, 6))
    with pytest.raises(ValueError, match="expected ends of one level"):
        seeds_and_images(mean_interval([0.4, 0.6], level=0.9), wilson(3, 6))
