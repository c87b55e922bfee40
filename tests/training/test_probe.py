"""A linear probe: scikit-learn's logistic regression, fitted along a path of penalties."""

from types import SimpleNamespace

import numpy as np
import pytest
import small_study
import torch
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression

from bakeoff.errors import ConfigError
from bakeoff.spec import Recipe
from bakeoff.training import features, probe
from bakeoff.training.loop import Course
from bakeoff.training.objective import Objective
from bakeoff.training.probe import Probe

BASE = {"name": "base", "model": "net.py:dropout"}
PROBE = {"name": "probe", "from": "base", "probe": True}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))


def _rows(count, seed, features=6, classes=3):
    random = np.random.default_rng(seed)
    values = random.normal(size=(count, features)) * np.arange(1, features + 1) + 5.0
    values[:, 3] = 2.0  # never varies
    logits = values[:, :classes] * [2.0, 1.0, 0.7] + random.gumbel(size=(count, classes)) * 3
    return torch.tensor(values, dtype=torch.float32), torch.tensor(logits.argmax(axis=1))


def test_each_fit_is_the_logistic_regression_of_scikit_learn(monkeypatch):
    monkeypatch.setattr(probe, "SMALLEST_GAIN", 1e-10)
    monkeypatch.setattr(probe, "MOST_ITERATIONS", 500)
    monkeypatch.setattr(probe, "PATIENCE", 99)
    monkeypatch.setattr(probe, "CHUNK", 64)  # gradients are summed over several
    train, validation = _rows(200, 0), _rows(100, 1)
    fits = []
    best = Probe(train, validation, 3, Objective()).walk(fits.append)
    assert [fit.penalty for fit in fits] == list(probe.PENALTIES)
    values, labels = (tensor.double().numpy() for tensor in train)
    deviation = np.where(values.std(axis=0) > 1e-5, values.std(axis=0), 1)
    for fit in fits[:8]:
        theirs = LogisticRegression(C=1 / (len(labels) * fit.penalty), tol=1e-6, max_iter=5000)
        theirs.fit((values - values.mean(axis=0)) / deviation, labels)
        expected = theirs.predict_proba((validation[0].numpy() - values.mean(axis=0)) / deviation)
        ours = (validation[0] @ fit.weight_KF.T + fit.bias_K).softmax(dim=1).numpy()
        np.testing.assert_allclose(ours, expected, atol=2e-3)
        assert fit.row["validation_accuracy"] == np.mean(ours.argmax(axis=1) == validation[1].numpy())
    assert best.row["validation_accuracy"] == max(fit.row["validation_accuracy"] for fit in fits)


def test_features_of_which_most_never_vary_are_fitted_too(monkeypatch):
    monkeypatch.setattr(probe, "SMALLEST_GAIN", 1e-10)
    random = np.random.default_rng(0)
    values = random.normal(size=(39, 200)) * (random.random(200) < 0.1)  # as a network's, of few images
    labels = values[:, values.any(axis=0)].argmax(axis=1) % 3
    rows = torch.tensor(values, dtype=torch.float32), torch.tensor(labels)
    fits = []
    Probe(rows, rows, 3, Objective()).walk(fits.append)
    deviation = np.where(values.std(axis=0) > 1e-5, values.std(axis=0), 1)
    theirs = LogisticRegression(C=1 / (39 * fits[0].penalty), tol=1e-6, max_iter=5000)
    theirs.fit((values - values.mean(axis=0)) / deviation, labels)
    expected = theirs.predict_proba((values - values.mean(axis=0)) / deviation)
    ours = (rows[0] @ fits[0].weight_KF.T + fits[0].bias_K).softmax(dim=1).numpy()
    np.testing.assert_allclose(ours, expected, atol=2e-3)


def test_the_walk_ends_when_validation_no_longer_gains():
    train, validation = _rows(200, 0), _rows(100, 1)
    fits = []
    Probe(train, validation, 3, Objective()).walk(fits.append)
    merits = [(fit.row["validation_accuracy"], -fit.row["validation_loss"]) for fit in fits]
    assert len(fits) < len(probe.PENALTIES)
    assert len(fits) - 1 - merits.index(max(merits)) == probe.PATIENCE


def test_a_plateau_of_accuracy_does_not_end_the_walk_while_the_loss_falls():
    torch.manual_seed(0)
    labels_M = torch.arange(200) % 4
    values_MF = torch.eye(4)[labels_M] * 6 + torch.randn(200, 4) * 0.3  # told apart at any penalty
    rows = (values_MF, labels_M)
    fits = []
    best = Probe(rows, (values_MF[:40], labels_M[:40]), 4, Objective()).walk(fits.append)
    assert {fit.row["validation_accuracy"] for fit in fits[-4:]} == {1.0}
    assert best.row["validation_loss"] == min(fit.row["validation_loss"] for fit in fits)
    assert best.row["validation_loss"] < 0.01


def test_a_probe_is_a_run_like_any_other(tmp_path):
    outcome = small_study.train(tmp_path, small_study.study(candidate=[BASE, PROBE], seeds=[0, 1]))
    base, probed = outcome.records[0], next(r for r in outcome.records if r.candidate == "probe")
    assert probed.status == "finished"
    assert probed.trainable == 3 * (4 * 4 * 4 + 1)
    assert probed.history == []
    assert sum(row["chosen"] for row in probed.probe) == 1
    (chosen,) = (row for row in probed.probe if row["chosen"])
    assert probed.metric("validation_accuracy") == pytest.approx(chosen["validation_accuracy"])
    assert probed.metric("test_accuracy") >= base.metric("test_accuracy") - 0.05
    assert probed.control_digest != base.control_digest
    assert probed.differences == {"training": ["the recipe's", "a linear probe"]}
    again = small_study.train(tmp_path, small_study.study(candidate=[BASE, PROBE], seeds=[0, 1]))
    assert again.trained == 0


def test_a_probe_ignores_augmentation_unless_it_asks_for_views(tmp_path):
    recipe = {"augmentation": {"crop": 1, "flip": "random"}}
    views = {**PROBE, "name": "views", "views": 3}
    outcome = small_study.train(tmp_path, small_study.study(candidate=[BASE, PROBE, views], recipe=recipe))
    plain, several = outcome.records[1:]
    assert plain.status == several.status == "finished"
    assert several.epochs == 3
    assert plain.epochs == 1
    assert plain.probe != several.probe


def test_a_head_may_start_as_a_probes(tmp_path):
    still = {"name": "still", "from": "base", "head_start": "probe", "source_lr": 1e-9}
    recipe = {"optimizer": {"name": "sgd", "lr": 1e-9}, "ema": 0.9, "augmentation": {"flip": "random"}}
    candidates = [BASE, PROBE, {**still, "source_norms": "kept", "recipe": recipe}]
    outcome = small_study.train(tmp_path, small_study.study(candidate=candidates))
    probed, started = outcome.records[1:]
    assert started.probe == probed.probe  # on the images as they are
    assert started.steps > 0
    assert started.metric("test_loss") == pytest.approx(probed.metric("test_loss"), abs=1e-4)
    assert started.differences["head"] == ["drawn at random", "a linear probe's, at first"]
    assert started.differences["batch normalization"] == ["the batch's statistics", "the source's"]
    assert started.train_seconds > 0


def test_a_frozen_base_is_passed_once_for_its_features_and_its_heads_start(tmp_path, monkeypatch):
    made = features._Pass.make
    passes = []
    monkeypatch.setattr(features._Pass, "make", lambda one, beat: passes.append(one) or made(one, beat) + 100)
    still = {"name": "still", "from": "base", "train": "head", "head_start": "probe"}
    record = small_study.train(tmp_path, small_study.study(candidate=[BASE, still])).records[1]
    assert len(passes) == 1
    assert 100 < record.train_seconds < 200
    assert record.features["lead"] == pytest.approx(100, abs=20)


def test_the_rates_course_by_the_clock_begins_with_the_first_step():
    recipe = Recipe(time="100s", schedule="linear", optimizer={"lr": 1.0})
    course = Course(recipe, 10)
    state = SimpleNamespace(steps=0, seconds=60.0, lead=60.0, history=[])
    assert course.rate(state) == pytest.approx(1.0)
    state.seconds = 80.0
    assert course.rate(state) == pytest.approx(0.5)
    state.seconds = 100.0
    assert course.ended(state)


@pytest.mark.parametrize("key", [{"head": [4]}, {"tap": "output"}, {"probe": True}])
def test_a_head_that_starts_as_a_probes_is_one_layer_on_features(key):
    with pytest.raises(ConfigError, match="head_start"):
        small_study.spec(candidate=[BASE, {"name": "a", "from": "base", "head_start": "probe", **key}])


@pytest.mark.parametrize(("key", "value"), [("head_start", "zero"), ("source_norms", "frozen")])
def test_other_words_are_refused_with_those_that_are_known(key, value):
    with pytest.raises(ConfigError, match=f"{key}: got '{value}', expected"):
        small_study.spec(candidate=[BASE, {"name": "a", "from": "base", key: value}])


@pytest.mark.parametrize("key", [{"head": [4]}, {"train": "head"}, {"train_last": 2}, {"source_lr": 0.5}])
def test_a_probe_has_no_head_of_layers_and_no_rates(key):
    with pytest.raises(ConfigError, match=next(iter(key))):
        small_study.spec(candidate=[BASE, {**PROBE, **key}])


def test_a_probe_is_scored_with_its_own_weights_also_where_others_average_theirs(tmp_path):
    plain = small_study.train(tmp_path / "a", small_study.study(candidate=[BASE, PROBE]))
    averaged = small_study.train(
        tmp_path / "b", small_study.study(candidate=[BASE, {**PROBE, "recipe": {"ema": 0.999}}])
    )
    first, second = plain.records[1], averaged.records[1]
    assert first.metrics == second.metrics


def test_defaults_that_are_written_out_are_no_other_run(tmp_path):
    tuned = {"name": "tuned", "from": "base", "train": "head"}
    small_study.train(tmp_path, small_study.study(candidate=[BASE, tuned]))
    written = {**tuned, "probe": False, "head_epochs": 0, "layer_decay": 1.0}
    assert small_study.train(tmp_path, small_study.study(candidate=[BASE, written])).trained == 0


def test_what_stands_on_a_probe_may_move_all_of_it(tmp_path):
    tuned = {"name": "tuned", "from": "probe"}
    outcome = small_study.train(tmp_path, small_study.study(candidate=[BASE, PROBE, tuned]))
    record = outcome.records[2]
    assert record.frozen == {}
    assert record.features == {}
    before, after = (load_file(outcome.folder.run("digits", n, 0).weights_path) for n in ("probe", "tuned"))
    name = "network.base.0.weight"  # a convolution that the probe kept still
    assert not torch.equal(before[name], after[name.replace("base.", "base.base.", 1)])
