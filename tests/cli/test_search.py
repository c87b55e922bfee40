"""`bakeoff search`: from one line to a study's folder."""

from __future__ import annotations

import pytest

import bakeoff
from bakeoff import api
from bakeoff.cli.search import _space
from bakeoff.errors import ConfigError, StudyError
from bakeoff.spec import load_study

SPACE = {"width": [16, 24], "stages": 2, "depth": [0, 1], "kernel": 3}
SIZE = {"classes": 3, "image_size": 8, "device": "cpu", "threads": 1, "report": False}


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def test_one_line_leaves_a_study_that_can_be_run_again():
    result = bakeoff.search("digits", "12ep", space=SPACE, **SIZE)
    assert result.path.name == "search-digits-3"
    (record,) = result.records
    assert (record.status, record.candidate) == ("finished", "search")
    spec, _ = load_study(result.path / "study.toml")
    assert spec == result.folder.spec()
    assert spec.candidates[0].search.space == SPACE | {"flip": "none"}  # a mirrored digit is another one
    again = bakeoff.search("digits", "12ep", space=SPACE, **SIZE)
    assert again.records == result.records
    with pytest.raises(StudyError, match="search"):
        bakeoff.search("digits", "20ep", space=SPACE, **SIZE)


def test_without_budget_and_trials_it_takes_ten_minutes():
    plan = api.plan_search("digits", classes=3, device="cpu", threads=1)
    assert str(plan.spec.candidates[0].search.budget) == "600s"
    assert plan.spec.tasks[0].image_size == 8


def test_trials_alone_leave_the_final_training_its_own_length():
    plan = api.plan_search("digits", trials=5, classes=3, device="cpu", threads=1)
    assert plan.spec.candidates[0].search.budget is None
    assert str(plan.spec.recipe.length) == "30ep"


def test_bad_words_are_refused_before_any_image_is_looked_at():
    with pytest.raises(ConfigError, match="no setting named 'widht'"):
        bakeoff.search("nowhere-at-all", "10m", space={"widht": 3})
    with pytest.raises(ConfigError, match="bounds the wrong way round"):
        bakeoff.search("nowhere-at-all", "10m", space={"width": [32, 16]})
    with pytest.raises(ConfigError, match="expected a time such as '10m'"):
        bakeoff.search("nowhere-at-all", "soon")


def test_settings_are_read_as_toml_writes_them():
    assert _space(["width=[16, 32]", "block = residual", "dropout=0.2"]) == {
        "width": [16, 32], "block": "residual", "dropout": 0.2,
    }  # fmt: skip
    with pytest.raises(ConfigError, match="--space: got 'width', expected KEY=VALUE"):
        _space(["width"])
