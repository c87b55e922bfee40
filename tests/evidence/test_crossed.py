"""Goldens: NumPy's covariance, and integration over the distribution of the seeds' spread."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bakeoff.evidence.crossed import joined_reach, spreads
from bakeoff.rng import generator

SHARES = (0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99, 1.0)  # of the true variance that is of the seeds


def rejected(seeds: int, share: float, p: float) -> float:
    """Integrate how often a mean of 0 lies outside its interval, when the images' spread is known.

    The seeds' estimated variance is their true one times chi-squared over its degrees of freedom.
    """
    quantiles = (np.arange(4000) + 0.5) / 4000
    factors = stats.chi2.ppf(quantiles, seeds - 1) / (seeds - 1)
    t, z = stats.t.isf(p / 2, seeds - 1), stats.norm.isf(p / 2)
    reaches = [joined_reach(t * np.sqrt(share * f), z * np.sqrt(1 - share), seeds, p) for f in factors]
    return float(2 * stats.norm.sf(reaches).mean())


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_whatever_the_share_of_the_seeds_an_interval_covers_what_it_promises(seeds: int) -> None:
    found = [rejected(seeds, share, 0.05) for share in SHARES]
    assert max(found) < 0.053
    assert found[0] == pytest.approx(0.05, abs=1e-6)
    assert found[-1] == pytest.approx(0.05, abs=2e-4)


@pytest.mark.parametrize("seeds", [3, 4, 5, 10])
def test_from_three_seeds_on_an_interval_covers_hardly_more_than_it_promises(seeds: int) -> None:
    assert min(rejected(seeds, share, 0.05) for share in SHARES) > 0.034


@pytest.mark.parametrize("p", [0.01, 0.001])
def test_small_p_values_are_not_too_small(p: float) -> None:
    assert max(rejected(3, share, p) for share in SHARES) < 1.05 * p


def test_parts_of_the_spread_are_those_of_the_covariance() -> None:
    random = generator(0, "parts")
    value_SN = random.normal(0, 1, (4, 1)) + random.normal(0, 2, 300) + random.normal(0, 0.5, (4, 300))
    found = spreads(value_SN)
    assert found.of_seeds == pytest.approx(value_SN.mean(axis=1).var(ddof=1) / 4)
    assert found.of_images == pytest.approx(np.cov(value_SN)[~np.eye(4, dtype=bool)].mean() / 300)
    assert (found.seeds, found.images, found.mean) == (4, 300, pytest.approx(value_SN.mean()))


def test_seeds_that_share_nothing_leave_no_spread_of_images() -> None:
    value_SN = np.array([[1.0, -1.0, 1.0, -1.0], [-1.0, 1.0, -1.0, 1.0]])
    found = spreads(value_SN)
    assert (found.of_seeds, found.of_images) == (0.0, 0.0)
    assert found.reach(0.05) == 0.0


def test_both_parts_together_are_the_variance_of_the_mean() -> None:
    random = generator(0, "unbiased")
    found = [
        spreads(random.normal(0, 0.3, (3, 1)) + random.normal(0, 1, 40) + random.normal(0, 2, (3, 40)))
        for _ in range(3000)
    ]
    expected = 0.09 / 3 + 1 / 40 + 4 / 120
    assert np.mean([part.of_seeds + part.of_images for part in found]) == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize("reaches", [(0.4, 0.0), (0.0, 0.4), (0.3, 0.4)])
def test_a_half_width_lies_between_its_parts_and_their_sum_in_squares(reaches: tuple[float, float]) -> None:
    found = joined_reach(*reaches, 3, 0.05)
    assert max(reaches) - 1e-12 <= found <= np.hypot(*reaches) + 1e-12


def test_a_half_width_grows_as_p_falls() -> None:
    random = generator(0, "monotone")
    found = spreads(random.normal(0, 1, (3, 1)) + random.normal(0, 20, 50) + random.normal(0, 3, (3, 50)))
    widths = [found.reach(p) for p in np.geomspace(1e-9, 1, 60)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == 0.0
