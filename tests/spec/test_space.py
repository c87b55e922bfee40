"""The space of a search: one table, and what a study makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from bakeoff.spec.space import SPACE, narrowed


def test_every_start_lies_within_its_bounds():
    assert [name for name, dimension in SPACE.items() if not dimension.holds(dimension.start)] == []


def test_what_a_setting_needs_comes_before_it():
    names = list(SPACE)
    for name, dimension in SPACE.items():
        if dimension.needs is not None:
            other, value = dimension.needs
            assert names.index(other) < names.index(name)
            assert SPACE[other].holds(value)


def test_bounds_lists_and_fixed_values_narrow_the_table():
    space = narrowed({"width": [16, 32], "block": ["plain", "residual"], "optimizer": "sgd", "kernel": 5})
    assert (space["width"].low, space["width"].high, space["width"].start) == (16, 32, 32)
    assert space["block"].values == ("plain", "residual")
    assert space["optimizer"].is_fixed
    assert space["kernel"].start == 5
    assert space["depth"] == SPACE["depth"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"widht": 32}, "space: no setting named 'widht'; did you mean width?"),
        ({"width": [32, 16]},
         "space.width: got [32, 16], bounds the wrong way round; expected the lower first"),
        ({"width": [16, 20]}, "space.width: got 20, expected 16 to 128, by 8"),
        ({"width": [16, 24, 32]},
         "space.width: got [16, 24, 32], expected a number or two, the lower first (16 to 128, by 8)"),
        ({"muon_lr": [0.001, 1.0]}, "space.muon_lr: got 0.001, expected 0.002 to 0.1"),
        ({"dropout": True}, "space.dropout: got True, expected a number or two, the lower first (0 to 0.5)"),
        ({"block": ["plain", "dense"]},
         "space.block: got 'dense', expected plain or residual or separable"),
        ({"block": []}, "space.block: got an empty list, expected plain or residual or separable"),
    ],
)  # fmt: skip
def test_what_is_not_in_the_table_is_refused_in_one_line(given: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=r".") as caught:
        narrowed(given)
    assert str(caught.value).replace("; did you mean 'width'?", "; did you mean width?") == message
