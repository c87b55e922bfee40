"""What `train` decides for those who do not say."""

from types import SimpleNamespace

import pytest
import torch

from bakeoff.data.survey import Survey
from bakeoff.errors import ConfigError, UnknownNameError
from bakeoff.models.pretrained import backbone
from bakeoff.spec import Augmentation, study_from_dict
from bakeoff.study import defaults, single
from bakeoff.study.single import Wish, decide
from bakeoff.training.machine import Machine

MACHINE = Machine("cpu", 1)


def _decide(found=Survey(1000, 10, 100), seconds=0.01, monkeypatch=None, **wish):  # noqa: B008 - frozen
    if monkeypatch is not None:
        monkeypatch.setattr(single, "seconds_per_image", lambda *_, **__: seconds)
    values = decide(Wish(**{"model": "model1", "data": "images/birds", **wish}), found, MACHINE)
    return study_from_dict(values.values, "here"), values.said


def test_a_fresh_network_sees_the_images_in_their_own_size_up_to_64_pixels():
    small, _ = _decide(Survey(1000, 10, 28))
    large, said = _decide(Survey(1000, 10, 500))
    assert small.tasks[0].image_size == 28
    assert large.tasks[0].image_size == 64
    assert "shorter sides are about 500" in said[0]
    assert large.name == "model1-birds"


@pytest.mark.parametrize(("images", "epochs"), [(100, 60), (30_000, 20), (1_000_000, 10)])
def test_fewer_images_are_seen_more_often(images, epochs):
    assert _decide(Survey(images, 10, 64))[0].recipe.epochs == epochs


def test_what_is_asked_for_is_what_is_done():
    study, _ = _decide(
        recipe={"time": "10m", "optimizer": {"name": "sgd", "lr": 0.1}}, image_size=48, seeds=3
    )
    assert str(study.recipe.length) == "600s"
    assert study.recipe.optimizer.name == "sgd"
    assert study.recipe.optimizer.weight_decay == 0  # none of adamw's
    assert study.tasks[0].image_size == 48
    assert study.seeds == (0, 1, 2)


def test_digits_are_not_mirrored():
    assert _decide(data="digits")[0].recipe.augmentation.flip == "none"
    assert _decide()[0].recipe.augmentation.flip == "alternating"


@pytest.mark.parametrize(("seconds", "size"), [(1e-4, 224), (0.01, 128), (10.0, 64)])
def test_a_probe_takes_the_largest_size_that_it_has_time_for(seconds, size, monkeypatch):
    found = Survey(60_000, 10, 64)
    study, said = _decide(found, seconds, monkeypatch, model="timm:resnet18", probe=True)
    (candidate,) = study.candidates
    assert candidate.input_size == size
    assert candidate.probe
    assert candidate.source == "timm:resnet18"
    assert study.tasks[0].image_size == 64  # enlarged on the device
    assert f"Input: {size} pixels" in said[0]


@pytest.mark.parametrize("key", ["epochs", "time", "optimizer", "batch_size"])
def test_a_probe_takes_no_steps_that_could_be_set(key, monkeypatch):
    with pytest.raises(ConfigError, match=f"{key}: got .* beside a probe"):
        _decide(Survey(100, 2, 64), 1e-4, monkeypatch, model="timm:resnet18", probe=True, recipe={key: "5"})


def test_large_images_are_stored_as_small_as_the_network_takes_them(monkeypatch):
    study, _ = _decide(Survey(100, 2, 3000), 1e-4, monkeypatch, model="timm:resnet18")
    assert study.tasks[0].image_size == study.candidates[0].input_size == 224
    assert study.candidates[0].head_start == "probe"
    assert study.candidates[0].source_norms == "kept"


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        ({"head": [64]}, ("random", "kept", 1, 3e-4)),
        ({"train": "head"}, ("probe", "moving", 0, 1e-3)),  # whose norms are frozen anyway
        ({"train": ["layer4"]}, ("probe", "kept", 0, 3e-4)),
        ({"train": ["layer4"], "head": [64]}, ("random", "kept", 1, 3e-4)),
    ],
)
def test_what_is_taken_over_starts_and_moves_as_it_was_asked_for(candidate, expected, monkeypatch):
    study, _ = _decide(Survey(100, 2, 64), 1e-4, monkeypatch, model="timm:resnet18", candidate=candidate)
    (tuned,) = study.candidates
    rate = study.recipe.optimizer.lr
    assert (tuned.head_start, tuned.source_norms, tuned.head_epochs, rate) == expected


@pytest.mark.parametrize(("images", "epochs"), [(100, 20), (5000, 4), (100_000, 3)])
def test_fewer_images_are_seen_more_often_in_fine_tuning_too(images, epochs):
    assert defaults.tuning_epochs(Survey(images, 2, 64)) == epochs


def test_an_unknown_network_of_timm_is_refused_with_the_nearest_name():
    with pytest.raises(UnknownNameError, match="resnet18"):
        _decide(model="timm:resnet81")


def test_a_networks_speed_is_the_better_of_two_batches(monkeypatch):
    times = iter([0, 9, 10, 16, 20, 24])  # the first batch does not count
    monkeypatch.setattr(single, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    assert single.seconds_per_image(backbone("timm:test_resnet"), 32, MACHINE, side=16, images=2) == 4 / 2


@pytest.mark.parametrize(
    ("recipe", "size"),
    [
        ({"epochs": 8}, 144),
        ({"steps": 500, "batch_size": 16}, 144),  # as many
        ({"epochs": 1}, 224),
        ({"time": "60m"}, 224),
        ({"time": "1m"}, 64),
    ],
)
def test_a_fine_tuning_takes_the_largest_size_for_the_length_that_was_asked_for(recipe, size, monkeypatch):
    found = Survey(1000, 10, 64)
    study, _ = _decide(found, 0.05, monkeypatch, model="timm:resnet18", recipe=recipe)
    assert study.candidates[0].input_size == size


def test_a_head_alone_is_trained_on_images_that_stay_the_same_unless_views_are_kept(monkeypatch):
    def chosen(**candidate):
        found = Survey(100, 2, 64)
        study, _ = _decide(found, 1e-4, monkeypatch, model="timm:resnet18", candidate=candidate)
        return study.recipe.augmentation

    assert chosen(train="head") == chosen(train_last=0) == Augmentation()
    assert (
        chosen(train="head", views=2) == chosen(train=["layer4"]) == Augmentation(crop=8, flip="alternating")
    )


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"image_size": 0}, "image_size: got 0"),
        ({"input_size": 3}, "input_size: got 3"),
        ({"recipe": {"compile": True}, "probe": True}, "compile: got True beside a probe"),
        ({"candidate": {"views": 4}, "probe": True}, "views: got 4, which would all be the same"),
        ({"recipe": {"normalize": "scale"}}, "normalize: got 'scale' beside timm:resnet18"),
    ],
)
def test_what_is_refused_is_called_by_its_name(asked, told, monkeypatch):
    with pytest.raises(ConfigError, match=told):
        _decide(Survey(100, 2, 64), 1e-4, monkeypatch, model="timm:resnet18", **asked)


@pytest.mark.parametrize(
    ("model", "images", "side", "name"),
    [
        ("bakenet-s", 90_000, 64, "muon"), ("resnet18-64px", 90_000, 64, "muon"),
        ("mobilenet", 50_000, 32, "adamw"), ("alexnet", 90_000, 64, "adamw"), ("model5", 50_000, 32, "adamw"),
        ("bakenet-s", 500, 64, "adamw"),  # batches of 16
    ],
)  # fmt: skip
def test_muon_is_chosen_where_it_is_cheap_beside_the_network(model, images, side, name):
    assert _decide(Survey(images, 10, side), model=model)[0].recipe.optimizer.name == name


def test_a_users_network_may_ask_for_numbers_and_nobodys_random_stream_moves(tmp_path):
    (tmp_path / "asks.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Sequential):\n    def forward(self, x):\n"
        "        return super().forward(x) * float(x.mean() < 9)\n\n\n"
        "def build(classes, image_size):\n    return Net(nn.Flatten(), nn.LazyLinear(classes))\n"
    )
    torch.manual_seed(0)
    study, _ = _decide(model=f"{tmp_path}/asks.py:build")
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(1))
    assert study.recipe.optimizer.name == "adamw"  # the one matrix is too long for Muon


def test_a_network_that_is_not_there_is_refused_before_anything_is_chosen_for_it():
    with pytest.raises(UnknownNameError, match="bakenet-s"):
        _decide(model="bakenet-x")


@pytest.mark.parametrize(
    ("given", "expected"),
    [({"lr": 0.01}, ("adamw", 0.01, 0.05)), ({"name": "muon", "lr": 0.01}, ("muon", 0.01, 0.0))],
)
def test_a_rate_without_a_name_is_one_of_adamw(given, expected):
    study, _ = _decide(Survey(90_000, 10, 64), model="bakenet-s", recipe={"optimizer": given})
    chosen = study.recipe.optimizer
    assert (chosen.name, chosen.lr, chosen.weight_decay) == expected


def test_what_is_suggested_beside_a_probe_sees_small_images(monkeypatch):
    monkeypatch.setattr(single, "seconds_per_image", lambda *_, **__: 1e-4)
    wish = Wish(model="timm:resnet18", data="images/birds", probe=True)
    decision = decide(wish, Survey(5000, 10, 500), MACHINE)
    assert decision.values["task"][0]["image_size"] == 224
    assert decision.suggested is not None
    assert decision.suggested["candidate"][0]["input_size"] == 64


def test_what_is_suggested_beside_a_probe_can_be_trained(monkeypatch):
    monkeypatch.setattr(single, "seconds_per_image", lambda *_, **__: 1e-4)
    wish = Wish(model="timm:resnet18", data="images/birds", probe=True)
    decision = decide(wish, Survey(5000, 10, 64), MACHINE)
    assert decision.suggested is not None
    both = {**decision.values, "candidate": [*decision.values["candidate"], *decision.suggested["candidate"]]}
    study = study_from_dict(both, "here")
    recipe = study.recipe_for(study.tasks[0], study.candidates[1])
    assert (recipe.optimizer.name, recipe.schedule, recipe.length.amount) == ("muon", "one-cycle", 60)
    assert decide(Wish(model="model1", data="x"), Survey(500, 2, 64), MACHINE).suggested is None
