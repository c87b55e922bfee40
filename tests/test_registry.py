"""A registry is a mapping that raises on a collision and suggests on a miss."""

import pytest

from bakeoff.errors import UnknownNameError
from bakeoff.registry import Registry


@pytest.fixture
def fruits() -> Registry[int]:
    registry: Registry[int] = Registry("fruit")
    registry.register("pear", 2)
    registry.register("apple", 1)
    return registry


def test_entries_keep_the_order_of_registration(fruits):
    assert list(fruits.items()) == [("pear", 2), ("apple", 1)]
    assert len(fruits) == 2


def test_registering_returns_the_entry(fruits):
    entry = object()
    assert Registry("thing").register("x", entry) is entry


def test_a_collision_raises_and_keeps_the_first_entry(fruits):
    with pytest.raises(ValueError, match="fruit 'apple' is registered already"):
        fruits.register("apple", 3)
    assert fruits["apple"] == 1


def test_a_miss_suggests_the_nearest_name(fruits):
    with pytest.raises(UnknownNameError) as caught:
        fruits["aple"]
    assert str(caught.value) == "no fruit named 'aple'; did you mean 'apple'?"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__  # no KeyError in front of the user


def test_a_miss_in_an_empty_registry_suggests_nothing():
    with pytest.raises(UnknownNameError, match=r"^no fruit named 'x'$"):
        Registry("fruit")["x"]


def test_a_miss_stays_one_line_whatever_was_asked_for(fruits):
    with pytest.raises(UnknownNameError) as caught:
        fruits["a\nb"]
    assert "\n" not in str(caught.value)


def test_membership_and_get_do_not_raise_on_a_miss(fruits):
    assert "apple" in fruits
    assert "plum" not in fruits
    assert fruits.get("plum") is None
    assert fruits.get("plum", 7) == 7
    assert fruits.get("apple", 7) == 1


def test_an_entry_cannot_be_replaced_by_assignment(fruits):
    with pytest.raises(TypeError):
        fruits["apple"] = 9
