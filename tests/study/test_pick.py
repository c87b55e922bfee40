"""The study for any images: what is compared, and under which equal share of the time."""

import pytest

from bakeoff.data.survey import Survey
from bakeoff.spec import study_from_dict
from bakeoff.study import pick
from bakeoff.training.machine import Machine

MACHINE = Machine("cpu", 1)


@pytest.fixture(autouse=True)
def quick_backbone(monkeypatch):
    monkeypatch.setattr(pick, "BACKBONE", "test_resnet")
    monkeypatch.setattr(pick, "seconds_per_image", lambda *_, **__: 1e-3)


@pytest.mark.parametrize(("seeds", "seconds"), [(1, 450), (3, 150)])
def test_three_approaches_share_three_quarters_of_the_budget(seeds, seconds):
    decision = pick.decide_pick("images/birds", 1800.0, Survey(2000, 10, 64), MACHINE, seeds=seeds)
    study = study_from_dict(decision.values, "here")
    probe, tuned, fresh = study.candidates
    assert probe.probe
    assert (tuned.source, tuned.head_start) == ("timm:test_resnet", "probe")
    assert fresh.model == "bakenet-s"
    recipes = [study.recipe_for(study.tasks[0], candidate) for candidate in study.candidates]
    assert {str(recipe.length) for recipe in recipes} == {f"{seconds}s"}
    assert [recipe.optimizer.name for recipe in recipes[1:]] == ["adamw", "muon"]
    assert study.tasks[0].control == "budget"
    assert len(study.seeds) == seeds


@pytest.mark.parametrize(("side", "size"), [(8, 8), (28, 28), (300, 64)])
def test_the_network_from_scratch_sees_small_images(side, size):
    decision = pick.decide_pick("images/birds", 1800.0, Survey(2000, 10, side), MACHINE)
    assert decision.values["candidate"][2]["input_size"] == size
    assert f"{size} from scratch" in decision.said[1]
