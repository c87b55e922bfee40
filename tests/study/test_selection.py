"""Which part of a study a command asks for, and what it may not ask for."""

import pytest

from bakeoff.errors import ConfigError, UnknownNameError
from bakeoff.spec import study_from_dict
from bakeoff.study import Selection

SPEC = study_from_dict(
    {
        "name": "s",
        "seeds": [3, 1, 2],
        "task": [{"name": "small", "data": "digits"}, {"name": "large", "data": "cifar10"}],
        "candidate": [
            {"name": "both", "model": "model1"},
            {"name": "only small", "model": "model2", "task": "small"},
            {"name": "only large", "model": "model3", "task": "large"},
        ],
    },
    "s.toml",
)
SMALL, LARGE = SPEC.tasks


def _names(things):
    return [thing.name for thing in things]


def test_nothing_asked_for_is_everything_in_the_studys_order():
    everything = Selection()
    everything.check(SPEC)
    assert _names(everything.tasks_of(SPEC)) == ["small", "large"]
    assert _names(everything.candidates_of(SPEC, SMALL)) == ["both", "only small"]
    assert _names(everything.candidates_of(SPEC, LARGE)) == ["both", "only large"]
    assert everything.seeds_of(SPEC, SMALL) == (3, 1, 2)


def test_the_order_of_the_flags_is_not_the_order_of_the_runs():
    asked = Selection(tasks=("large", "small"), candidates=("only small", "both"))
    assert _names(asked.tasks_of(SPEC)) == ["small", "large"]
    assert _names(asked.candidates_of(SPEC, SMALL)) == ["both", "only small"]


def test_a_task_without_one_of_the_candidates_asked_for_is_left_out():
    asked = Selection(candidates=("only large",))
    asked.check(SPEC)
    assert _names(asked.tasks_of(SPEC)) == ["large"]


def test_seeds_takes_the_first_so_many_and_seed_takes_that_one():
    assert Selection(seeds=2).seeds_of(SPEC, SMALL) == (3, 1)
    assert Selection(seed=2).seeds_of(SPEC, SMALL) == (2,)


def test_a_task_may_have_fewer_seeds_than_its_study():
    large = LARGE.model_copy(update={"seeds": 2})
    spec = SPEC.model_copy(update={"tasks": (SMALL, large)})
    assert Selection().seeds_of(spec, large) == (3, 1)
    assert Selection(seeds=1).seeds_of(spec, large) == (3,)
    assert Selection(seeds=3).seeds_of(spec, large) == (3, 1)
    only_small = Selection(seed=2)
    only_small.check(spec)
    assert _names(only_small.tasks_of(spec)) == ["small"]
    with pytest.raises(ConfigError, match="--seed: got 2, expected one of these tasks' seeds: 1, 3"):
        Selection(seed=2, tasks=("large",)).check(spec)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"tasks": ("smal",)}, "--task: got 'smal'; did you mean 'small'?"),
        ({"tasks": ("small", "zzz")}, "--task: got 'zzz'; known: large, small"),
        ({"candidates": ("boht",)}, "--only: got 'boht'; did you mean 'both'?"),
    ],
)
def test_a_name_that_the_study_lacks_is_refused_with_the_nearest(asked, message):
    with pytest.raises(UnknownNameError) as caught:
        Selection(**asked).check(SPEC)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"seeds": 1, "seed": 3}, "--seeds and --seed: got both, expected at most one of them"),
        ({"seeds": 0}, "--seeds: got 0, expected a number from 1 to 3, as many as the study has"),
        ({"seeds": 4}, "--seeds: got 4, expected a number from 1 to 3, as many as the study has"),
        ({"seed": 0}, "--seed: got 0, expected one of the study's seeds: 3, 1, 2"),
        (
            {"tasks": ("small",), "candidates": ("only large",)},
            "--task and --only: got only large in small, expected candidates of these tasks: "
            "both, only small",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(asked, message):
    with pytest.raises(ConfigError) as caught:
        Selection(**asked).check(SPEC)
    assert str(caught.value) == message
