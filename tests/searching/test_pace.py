"""How long trials are trained, and what they take, by the first network's speed."""

import pytest

from bakeoff.searching.pace import Pace
from bakeoff.searching.rungs import Rung

PACE = Pace(pixels=64, reference=1000.0, fixed=0.5)
RUNG = Rung(32, 2.0)


@pytest.mark.parametrize(("speed", "epochs"), [(1000, 2.0), (1180, 2.36), (800, 1.6), (5000, 4.0), (10, 0.5)])
def test_quick_networks_see_more_images_within_bounds(speed, epochs):
    assert PACE.epochs(RUNG, float(speed)) == epochs


def test_without_a_clock_all_see_the_same():
    assert Pace(pixels=64).epochs(RUNG, 5000.0) == 2.0


@pytest.mark.parametrize("speed", [500.0, 1000.0, 1999.0])
def test_within_the_bounds_a_rung_takes_each_network_the_same_time(speed):
    taken = PACE.seconds(RUNG, speed, training=10_000, validation=0)
    assert taken == pytest.approx(PACE.seconds(RUNG, 1000.0, training=10_000, validation=0), rel=5e-3)


def test_seconds_are_those_of_all_images_at_the_rungs_size():
    # Half a step's cost is fixed; of the other half a quarter is left at half the size.
    assert PACE.cost(RUNG) == 0.625
    expected = (2 * 10_000 + 600 / 2) * 0.625 / 1000
    assert PACE.seconds(RUNG, 1000.0, training=10_000, validation=600) == pytest.approx(expected)
