"""How trials are staged, and which of them go on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.records.trials import Trial
from bakeoff.search.rungs import Next, fewest_epochs, ladder, next_training, ranked


def trial(number: int, accuracy: float | None, rung: int = 0, **changes) -> Trial:
    values = {"proposed": "tpe", "point": {}, "accuracy": accuracy, "loss": 1.0, **changes}
    return Trial(number=number, rung=rung, **values)


def test_the_best_of_three_goes_on_before_a_fourth_begins():
    three = [trial(0, 0.2), trial(1, 0.5), trial(2, 0.4)]
    assert next_training(three[:2], 2, begins=True) == Next(None, 0)
    assert next_training(three, 2, begins=True) == Next(1, 1)
    assert next_training([*three, trial(1, 0.6, rung=1)], 2, begins=True) == Next(None, 0)


def test_higher_rungs_come_first():
    first = [trial(number, 0.1 * number) for number in range(9)]
    second = [trial(number, 0.5 + 0.01 * number, rung=1) for number in (6, 7, 8)]
    assert next_training([*first, *second], 3, begins=True) == Next(8, 2)


def test_nothing_is_left_when_no_trial_may_begin_and_none_goes_on():
    assert next_training([trial(0, 0.3), trial(1, 0.2)], 2, begins=False) is None


def test_what_did_not_end_well_never_goes_on():
    broken = [
        trial(0, None, status="diverged"),
        trial(1, None, status="failed"),
        trial(2, None, status="failed"),
    ]
    assert next_training(broken, 2, begins=True) == Next(None, 0)


def test_equal_accuracies_are_ranked_by_loss_and_then_by_number():
    found = ranked([trial(0, 0.5, loss=1.2), trial(1, 0.5, loss=1.1), trial(2, 0.5, loss=1.1)], 0)
    assert [one.number for one in found] == [1, 2, 0]


@given(st.floats(0.01, 5000), st.integers(8, 128), st.integers(20, 100_000), st.integers(8, 256))
def test_a_ladder_rises_in_size_and_length_and_begins_within_what_there_is(available, pixels, images, batch):
    found = ladder(available, pixels=pixels, images=images, batch=batch)
    if found is None:
        assert available < fewest_epochs(pixels=pixels, images=images, batch=batch)
        return
    for lower, higher in zip(found.rungs, found.rungs[1:], strict=False):
        assert lower.pixels <= higher.pixels <= max(pixels, 16)
        assert lower.epochs < higher.epochs
    first = found.rungs[0]
    assert first.epochs * (first.pixels / max(pixels, 16)) ** 2 <= available * 1.01
    assert found.trials >= 1


@pytest.mark.parametrize("most", [1, 4, 30])
def test_a_count_of_trials_is_kept(most):
    found = ladder(200.0, pixels=32, images=1000, batch=64, most=most)
    assert found is not None
    assert found.trials == most
