"""Goldens: SciPy's binomtest and t distribution, and numbers printed by statsmodels and R."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bakeoff.evidence.intervals import mean_interval, wilson
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
