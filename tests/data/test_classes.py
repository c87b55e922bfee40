from __future__ import annotations

import pytest

from bakeoff.data.classes import choose_classes
from bakeoff.errors import ConfigError, UnknownNameError

IDS = ["n1", "n2", "n3", "n4"]
NAMES = {"n1": "goldfish", "n2": "crane", "n3": "crane"}


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (None, IDS),
        (2, ["n1", "n2"]),
        (("n4", "n2"), ["n2", "n4"]),
        (("Goldfish", "n4"), ["n1", "n4"]),
    ],
)
def test_classes_are_chosen_by_number_id_or_name(
    wanted: int | tuple[str, ...] | None, chosen: list[str]
) -> None:
    assert choose_classes(wanted, IDS, NAMES) == chosen


def test_too_many_classes_are_refused() -> None:
    with pytest.raises(ConfigError, match="classes: got 5, expected at most 4"):
        choose_classes(5, IDS, NAMES)


def test_an_unknown_class_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="no class 'goldfisch' in the data; did you mean 'goldfish'"):
        choose_classes(["goldfisch", "n4"], IDS, NAMES)


def test_a_name_of_two_classes_asks_for_an_id() -> None:
    with pytest.raises(ConfigError, match="'crane' stands for n2, n3; expected one of these ids"):
        choose_classes(["crane", "n4"], IDS, NAMES)


def test_a_class_by_id_and_by_name_is_one_class() -> None:
    with pytest.raises(ConfigError, match="'n1' is given twice"):
        choose_classes(["n1", "goldfish"], IDS, NAMES)
