"""What is not trained, and what is said when nothing is left."""

from __future__ import annotations

import pytest

from bakeoff.errors import ConfigError
from bakeoff.records.trials import Trial
from bakeoff.searching.filters import Limits, refuse_empty
from bakeoff.spec.search import SearchSpec


def test_each_filter_says_what_came_and_what_is_accepted():
    limits = Limits(parameters=1000, multiplications=50, images_per_second=10.0)
    assert limits.counted(1001, 1) == "parameters: 1,001, at most 1,000"
    assert limits.counted(1000, 51) == "multiplications: 51, at most 50"
    assert limits.measured(9.0) == "images_per_second: 9, at least 10"
    assert limits.counted(1000, 50) == limits.measured(10.0) == ""


def test_what_is_much_slower_than_the_first_network_is_left_out_unless_a_speed_is_given():
    assert Limits.of(SearchSpec(budget="1m"), 400.0).images_per_second == 100.0
    assert Limits.of(SearchSpec(budget="1m", min_images_per_second=7.0), 400.0).images_per_second == 7.0
    assert not Limits.of(SearchSpec(budget="9ep"), None).by_clock


def test_an_empty_space_names_the_filter_that_emptied_it_first():
    reasons = ["multiplications: 9, at most 5"] * 2 + ["parameters: 9, at most 5"] * 6
    refused = [
        Trial(number=0, attempt=attempt, proposed="tpe", point={}, status="refused", reason=reason)
        for attempt, reason in enumerate(reasons)
    ]
    with pytest.raises(ConfigError) as caught:
        refuse_empty(refused, Limits(parameters=5, multiplications=5))
    assert "of 8 proposals max_parameters = 5 refused 6, max_multiplications = 5 refused 2" in str(
        caught.value
    )
    with pytest.raises(ConfigError, match=r"search\.budget: the share .* of 8 proposals max_parameters = 5"):
        refuse_empty(refused, Limits(parameters=5), spent=True)


def test_what_multiplies_so_often_that_it_must_be_slow_is_not_even_timed():
    limits = Limits.of(SearchSpec(budget="1m"), 400.0, 1_000_000)
    assert limits.timed == 16_000_000  # four times what a quarter of the speed allows
    assert "images_per_second: not timed" in limits.counted(1, 16_000_001)
    assert limits.counted(1, 16_000_000) == ""
    assert Limits.of(SearchSpec(budget="1m", min_images_per_second=4.0), 400.0, 1000).timed == 400_000
    assert Limits.of(SearchSpec(budget="1m"), 400.0).timed is None
