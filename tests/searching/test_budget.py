"""A budget: what is charged, what is left, and what is too little."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.errors import ConfigError
from bakeoff.searching.budget import Clock, Purse, refuse_small
from bakeoff.units import Length


def test_the_clock_goes_on_from_what_an_earlier_process_was_charged():
    now = [100.0]
    clock = Clock(7.0, lambda: now[0])
    now[0] = 103.5
    assert clock.charged == 10.5


@given(
    st.floats(1, 10_000), st.floats(0.05, 0.9), st.floats(0, 1), st.floats(0, 0.3), st.floats(0, 0.02)
)  # fmt: skip
def test_trials_and_final_training_with_its_evaluation_never_exceed_the_budget(
    seconds, share, spent_share, validation, closing_share
):
    purse = Purse(Length(seconds, "seconds"), share)
    spent, closing = purse.for_trials * spent_share, closing_share * seconds
    final = purse.final_seconds(spent, closing=closing, validation=validation)
    assert final > 0
    assert spent + final * (1 + validation) + closing <= seconds * 1.05 + 0.02


def test_a_trial_is_afforded_within_the_share_alone():
    purse = Purse(Length(100, "seconds"), 0.4)
    assert purse.affords(30, 10)
    assert not purse.affords(30, 10.1)
    assert Purse(None, 0.4).affords(1e9, 1e9)  # where trials are counted, nothing else is


def test_a_small_budget_is_refused_with_the_smallest_that_would_do():
    with pytest.raises(ConfigError) as caught:
        refuse_small(Length(5, "seconds"), 42.4)
    assert str(caught.value) == (
        "search.budget: got 5s, too small for one trial and its final training; "
        "expected at least 43 s (43s) on this machine"
    )
    with pytest.raises(ConfigError, match=r"got 0\.5ep.*expected at least 2ep"):
        refuse_small(Length(0.5, "epochs"), 2.0)
    with pytest.raises(ConfigError, match=r"expected at least 2\.35ep"):
        refuse_small(Length(0.5, "epochs"), 2.341)
    refuse_small(Length(43, "seconds"), 42.4)
