"""How trials are staged, and which of them go on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.records.trials import Trial
from bakeoff.searching.rungs import Next, cost_of_size, fewest_epochs, ladder, next_training, one_rung, ranked


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


@given(
    st.floats(0.01, 5000), st.integers(8, 128), st.integers(20, 100_000), st.integers(8, 256),
    st.sampled_from([0.0, 0.5, 1.0]),
)  # fmt: skip
def test_a_ladder_rises_in_size_and_length_and_is_paid_for(available, pixels, images, batch, fixed):
    found = ladder(available, pixels=pixels, images=images, batch=batch, fixed=fixed)
    if found is None:
        assert available < fewest_epochs(pixels=pixels, images=images, batch=batch, fixed=fixed)
        return
    for lower, higher in zip(found.rungs, found.rungs[1:], strict=False):
        assert lower.pixels <= higher.pixels <= max(pixels, 16)
        assert lower.epochs < higher.epochs
    costs = [rung.epochs * cost_of_size(rung.pixels, max(pixels, 16), fixed) for rung in found.rungs]
    assert costs[0] <= available * 1.01
    assert found.trials >= 1
    if found.trials >= 9:
        assert found.trials * costs[0] <= available * 1.01


def test_larger_budgets_have_longer_rungs_first_and_more_trials_then():
    plans = [ladder(epochs, pixels=64, images=4500, batch=128, fixed=0.5) for epochs in (10, 60, 200, 2000)]
    assert [len(plan.rungs) for plan in plans] == [2, 3, 3, 3]
    assert [plan.trials for plan in plans[:3]] == [5, 9, 9]
    assert plans[3].trials > 50
    lengths = [plan.rungs[0].epochs for plan in plans]
    assert lengths == sorted(lengths)


def test_chance_has_some_trials_of_one_length_at_full_size():
    found = one_rung(20, pixels=64, images=4500, batch=128)
    assert (found.trials, len(found.rungs), found.rungs[0].pixels) == (6, 1, 64)
    assert found.rungs[0].epochs * found.trials <= 20
    assert one_rung(2000, pixels=64, images=4500, batch=128).trials > 6


@pytest.mark.parametrize("most", [1, 4, 30])
def test_a_count_of_trials_is_never_exceeded(most):
    found = ladder(200.0, pixels=32, images=1000, batch=64, most=most)
    assert found is not None
    assert found.trials == min(most, 9)  # nine are what it can pay for


def test_a_number_of_trials_beside_a_budget_is_a_limit_and_no_plan():
    shape = {"pixels": 64, "images": 4500, "batch": 128}
    assert ladder(200, most=1000, **shape).trials == ladder(200, **shape).trials
    assert ladder(200, most=4, **shape).trials == 4
    assert one_rung(20, most=1000, **shape).trials == one_rung(20, **shape).trials
