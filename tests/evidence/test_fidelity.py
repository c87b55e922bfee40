"""Two sets of probabilities agree, or the images on which they do not are named."""

import numpy as np
import pytest

from bakeoff.evidence.fidelity import fidelity

RECORDED_NK = np.float32([[0.7, 0.2, 0.1], [0.40004, 0.4, 0.19996], [0.1, 0.1, 0.8]])


def test_equal_probabilities_agree():
    found = fidelity(RECORDED_NK, RECORDED_NK.copy(), 1e-4)
    assert found.holds
    assert (found.images, found.largest, found.beyond, found.changed) == (3, 0.0, (), ())
    assert (found.undecided, found.undecided_changed) == ((1,), ())


def test_a_larger_difference_than_the_tolerance_is_named_by_its_row():
    other_NK = RECORDED_NK.copy()
    other_NK[2] = [0.1, 0.1002, 0.7998]
    found = fidelity(RECORDED_NK, other_NK, 1e-4)
    assert not found.holds
    assert found.beyond == (2,)
    assert found.largest == pytest.approx(2e-4, rel=1e-3)


def test_a_turned_over_image_counts_only_where_its_best_class_led_by_more_than_the_tolerance():
    other_NK = RECORDED_NK.copy()
    other_NK[1] = [0.4, 0.40004, 0.19996]
    near = fidelity(RECORDED_NK, other_NK, 1e-4)
    assert near.holds
    assert near.undecided_changed == (1,)
    strict = fidelity(RECORDED_NK, other_NK, 3e-5)
    assert not strict.holds
    assert (strict.changed, strict.beyond) == ((1,), (1,))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_never_agrees(value):
    other_NK = RECORDED_NK.copy()
    other_NK[0, 1] = value
    assert fidelity(RECORDED_NK, other_NK, 1.0).beyond == (0,)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="expected equal ones"):
        fidelity(RECORDED_NK, RECORDED_NK[:2], 1e-4)
