"""A search in a study's file."""

from __future__ import annotations

from typing import Any

import pytest

from bakeoff.errors import ConfigError
from bakeoff.spec import study_from_dict
from bakeoff.spec.write import to_toml


def study(search: dict[str, Any], **changes: Any) -> dict[str, Any]:
    task, candidate = changes.pop("task", {}), changes.pop("candidate", {})
    return {
        "name": "s", "task": [{"name": "t", "data": "digits", **task}],
        "candidate": [{"name": "found", "search": search, **candidate}], **changes,
    }  # fmt: skip


def refusal(values: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        study_from_dict(values, "s.toml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_searchs_budget_is_its_length_in_place_of_the_tasks():
    spec = study_from_dict(study({"budget": "10m"}, recipe={"epochs": 5, "batch_size": 16}), "s.toml")
    recipe = spec.recipe_for(spec.tasks[0], spec.candidates[0])
    assert (str(recipe.length), recipe.batch_size) == ("600s", 16)
    spec = study_from_dict(study({"budget": "40ep"}), "s.toml")
    assert str(spec.recipe_for(spec.tasks[0], spec.candidates[0]).length) == "40ep"
    spec = study_from_dict(study({"trials": 4}, recipe={"epochs": 5}), "s.toml")
    assert str(spec.recipe_for(spec.tasks[0], spec.candidates[0]).length) == "5ep"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (study({}), "search: got neither 'budget' nor 'trials'"),
        (study({"budget": "100st"}), "got '100st', expected a time such as '10m' or epochs such as '400ep'"),
        (study({"budget": "10m", "trials": 0}), "trials: got 0, expected a number of at least 1"),
        (study({"budget": "10m", "metod": "tpe"}), "metod: unknown key; did you mean 'method'?"),
        (study({"budget": "10m", "space": {"width": [32, 16]}}), "bounds the wrong way round"),
        (study({"budget": "10m"}, candidate={"recipe": {"optimizer": {"lr": 1.0}}}),
         "recipe.optimizer: is what the search decides"),
        (study({"budget": "10m"}, candidate={"recipe": {"epochs": 3}}),
         "recipe.epochs and search.budget: got both"),
        (study({"budget": "10m"}, candidate={"model": "model1"}), "model and search: got both"),
        (study({"budget": "10m"}, candidate={"head": [8]}), "head: needs 'from'"),
    ],
)  # fmt: skip
def test_what_makes_no_search_is_refused(values, message):
    assert message in refusal(values)


def test_nothing_is_built_on_a_search_within_its_study():
    values = study({"budget": "10m"})
    values["candidate"].append({"name": "on it", "from": "found"})
    assert "a search, whose network is not known before it has ended" in refusal(values)


def test_a_search_is_written_as_it_was_read():
    values = study({"budget": "10m", "space": {"width": [16, 32], "block": "residual"}})
    spec = study_from_dict(values, "s.toml")
    import tomllib

    assert study_from_dict(tomllib.loads(to_toml(spec.as_dict())), "s.toml") == spec
