"""Unpaired comparisons; the golden values are those of statsmodels 0.15.0."""

from __future__ import annotations

import numpy as np
import pytest

from bakeoff.evidence.between import accuracy_interval, compare_unpaired, unpaired_difference
from bakeoff.evidence.intervals import mean_interval, wilson
from bakeoff.records import Predictions

# statsmodels.stats.proportion.confint_proportions_2indep(k1, n1, k2, n2, method="newcomb", compare="diff")
NEWCOMBE = [
    ((56, 70, 48, 80), (0.05243147240236498, 0.33387265403690614)),
    ((9, 10, 3, 10), (0.1705227239345029, 0.809017973535488)),
    ((150, 250, 170, 300), (-0.04931695412954973, 0.11490550836887645)),
    ((7000, 10000, 6900, 10000), (-0.002761512988696726, 0.022757056483548255)),
    ((0, 10, 0, 20), (-0.1611251580528194, 0.27753279986288926)),
    ((10, 10, 0, 20), (0.6790860371419145, 1.0)),
]
# The alpha at which the same interval touches 0, by halving
TOUCHING = [
    ((56, 70, 48, 80), 0.008133140358606843),
    ((150, 250, 170, 300), 0.43002481826226113),
    ((7000, 10000, 6900, 10000), 0.12458134138329391),
]


def _run(right: int, images: int) -> Predictions:
    answers = np.zeros((images, 2), dtype=np.int16)
    answers[:right, 0], answers[:, 1] = 1, 2
    return Predictions(
        index_N=np.arange(images, dtype=np.int32), label_N=np.ones(images, dtype=np.int16),
        loss_N=np.ones(images, dtype=np.float32), top_NT=answers,
        probability_NT=np.full((images, 2), 0.5, dtype=np.float32),
    )  # fmt: skip


@pytest.mark.parametrize(("counts", "expected"), NEWCOMBE)
def test_two_shares_have_the_interval_of_statsmodels(
    counts: tuple[int, int, int, int], expected: tuple[float, float]
) -> None:
    k1, n1, k2, n2 = counts
    assert unpaired_difference(wilson(k1, n1), wilson(k2, n2)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("counts", "p"), TOUCHING)
def test_p_is_the_level_at_which_the_interval_touches_zero(
    counts: tuple[int, int, int, int], p: float
) -> None:
    k1, n1, k2, n2 = counts
    found = compare_unpaired("a", "b", {0: _run(k1, n1)}, {3: _run(k2, n2)})
    assert found.p == pytest.approx(p, rel=1e-6)
    assert found.difference == pytest.approx(k1 / n1 - k2 / n2)
    assert (found.images, found.seeds) == ((n1, n2), ((0,), (3,)))
    turned = compare_unpaired("b", "a", {3: _run(k2, n2)}, {0: _run(k1, n1)})
    assert (turned.difference, turned.low, turned.high) == pytest.approx(
        (-found.difference, -found.high, -found.low)
    )
    assert turned.p == pytest.approx(found.p)


def test_equal_shares_have_p_1_and_extreme_ones_a_small_p() -> None:
    assert compare_unpaired("a", "b", {0: _run(5, 10)}, {0: _run(50, 100)}).p == 1.0
    assert compare_unpaired("a", "b", {0: _run(990, 1000)}, {0: _run(10, 1000)}).p < 1e-6


def test_several_seeds_add_their_own_spread_and_never_count_as_images() -> None:
    one = accuracy_interval({0: _run(70, 100)})
    seeds = accuracy_interval({0: _run(68, 100), 1: _run(70, 100), 2: _run(72, 100)})
    over = mean_interval([0.68, 0.70, 0.72])
    assert one.low is not None
    assert seeds.low is not None
    assert over.low is not None
    assert 0.7 - over.low < 0.7 - seeds.low <= np.hypot(0.7 - one.low, 0.7 - over.low)
    assert seeds.over == "seeds and images"
    # The same run three times is the run once: nothing was drawn anew.
    thrice = accuracy_interval({seed: _run(70, 100) for seed in (0, 1, 2)})
    assert (thrice.low, thrice.high) == pytest.approx((one.low, one.high), abs=0.003)
