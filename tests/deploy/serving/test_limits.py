from __future__ import annotations

import pytest

from bakeoff.deploy.serving.limits import Limits
from bakeoff.errors import ConfigError


@pytest.mark.parametrize("name", ["max_bytes", "max_files", "timeout", "max_pixels", "max_queue"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_limit_that_refuses_everything_is_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')}: got .*, expected more than 0"):
        Limits(**{name: value})


def test_a_full_request_must_fit_into_the_queue() -> None:
    with pytest.raises(ConfigError, match=r"--max-queue: got 3, expected at least .* 4 \(--max-files\)"):
        Limits(max_files=4, max_queue=3)
    assert Limits(max_files=4, max_queue=4).max_queue == 4


def test_several_of_the_largest_bodies_may_be_in_memory_but_not_many() -> None:
    assert Limits(max_bytes=100 * 2**20).bytes_in_flight == 400 * 2**20
    assert Limits(max_bytes=2**20).bytes_in_flight == 256 * 2**20
