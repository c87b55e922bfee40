"""Values that statsmodels 0.14.6 printed (Python 3.11, SciPy 1.17.1), to 1e-9; and SciPy's beside them.

Made with ``mcnemar([[10, b], [c, 10]], exact=True).pvalue`` of `statsmodels.stats.contingency_tables`,
``proportion_confint(k, n, method="wilson")``, ``multipletests(p, method="holm")[1]`` and
``DescrStatsW(x).tconfint_mean()``.
"""

from __future__ import annotations

import pytest
from scipy import stats

from bakeoff.evidence.comparison import holm, mcnemar
from bakeoff.evidence.intervals import mean_interval, wilson


@pytest.mark.parametrize(
    ("b", "c", "golden"),
    [
        (5, 17, 0.01690053939819336),
        (40, 40, 1.0),  # b = c
        (0, 0, 1.0),  # b + c = 0
        (3, 0, 0.25),
        (480, 560, 0.014259079095385853),  # b + c > 1000
        (700, 800, 0.010559255466711506),
        (1203, 1377, 0.0006565653406314117),
    ],
)
def test_mcnemar_is_that_of_statsmodels(b: int, c: int, golden: float) -> None:
    assert mcnemar(b, c) == pytest.approx(golden, abs=1e-9)
    assert mcnemar(c, b) == pytest.approx(golden, abs=1e-9)
    if b + c:
        assert mcnemar(b, c) == pytest.approx(stats.binomtest(b, b + c, 0.5).pvalue, abs=1e-9)


@pytest.mark.parametrize(
    ("right", "images", "golden"),
    [
        (81, 263, (0.2552885198782742, 0.36620957698280004)),
        (0, 20, (0.0, 0.1611251580528194)),
        (193, 250, (0.7161087831505828, 0.8196587019238954)),
        (7640, 10000, (0.7555771630661358, 0.7722200857941469)),
    ],
)
def test_wilson_is_that_of_statsmodels(right: int, images: int, golden: tuple[float, float]) -> None:
    found = wilson(right, images)
    assert (found.low, found.high) == pytest.approx(golden, abs=1e-9)


def test_holm_is_that_of_statsmodels() -> None:
    golden = [0.05499999999999999, 0.06, 0.0024000000000000002, 0.6, 0.05499999999999999, 0.9]
    assert holm([0.011, 0.02, 0.0004, 0.3, 0.011, 0.9]) == pytest.approx(golden, abs=1e-9)


def test_a_mean_over_three_seeds_is_bounded_as_statsmodels_does() -> None:
    found = mean_interval([0.604, 0.626, 0.573])
    assert (found.low, found.high) == pytest.approx((0.5348547312259102, 0.6671452687740898), abs=1e-9)
