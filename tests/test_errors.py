"""The tree of errors, and the hint at what was probably meant."""

import pytest

from bakeoff import errors
from bakeoff.errors import BakeoffError, nearest


@pytest.mark.parametrize(
    ("error", "parent"),
    [
        ("ConfigError", "BakeoffError"),
        ("UnknownNameError", "ConfigError"),
        ("DataError", "BakeoffError"),
        ("StudyError", "BakeoffError"),
        ("BusyError", "StudyError"),
        ("ResourceError", "BakeoffError"),
    ],
)
def test_the_tree_is_the_one_drawn_in_the_module(error, parent):
    assert getattr(errors, error).__bases__ == (getattr(errors, parent),)


def test_every_error_of_the_module_is_caught_by_the_base():
    raised = [v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, Exception)]
    assert len(raised) == 8
    assert all(issubclass(error, BakeoffError) for error in raised)


def test_the_nearest_name_is_suggested():
    assert nearest("modle1", ["resnet", "model1"]) == "; did you mean 'model1'?"


def test_upper_and_lower_case_are_near_each_other():
    assert nearest("CIFAR10", ["cifar10", "digits"]) == "; did you mean 'cifar10'?"
    assert nearest("adam", ["Adam", "SGD"]) == "; did you mean 'Adam'?"


def test_twelve_names_are_listed_when_none_is_near_and_thirteen_are_not():
    names = [f"name{k:02d}" for k in range(13)]
    assert nearest("zzz", names[:12]) == "; known: " + ", ".join(names[:12])
    assert nearest("zzz", names) == ""


def test_names_are_listed_once_and_sorted():
    assert nearest("zzz", iter(["b", "a", "b"])) == "; known: a, b"


def test_there_is_no_hint_when_nothing_is_known():
    assert nearest("x", []) == ""
