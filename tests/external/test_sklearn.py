"""The baselines of scikit-learn, run as a study runs them."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from bakeoff.external import sklearn as adapter
from bakeoff.records.exchange import Exchange, Images
from bakeoff.rng import generator

COUNT = {"train": 40, "validation": 8, "test": 12}


def images(classes=3, height=8, width=12):
    """Pictures whose class is their brightest channel; the last class has no training image."""
    total, chance = sum(COUNT.values()), generator(0, "pictures")
    labels_N = np.arange(total) % (classes - 1)
    values_NHWC = chance.integers(0, 100, (total, height, width, 3))
    values_NHWC[np.arange(total), :, :, labels_N] += 100
    ends = np.cumsum(list(COUNT.values()))
    return Images(
        images_NHWC=values_NHWC.astype(np.uint8), labels_N=labels_N, files=[str(i) for i in range(total)],
        class_ids=list("abc"), class_names=list("abc"),
        parts={part: np.arange(end - COUNT[part], end) for part, end in zip(COUNT, ends, strict=True)},
    )  # fmt: skip


@pytest.fixture
def exchange(tmp_path):
    found = Exchange(tmp_path / "external")
    found.hand_over(images(), {"identity": "x", "seconds": 20.0, "seed": 1, "threads": 1}, seed=1)
    return found


def _correct(exchange):
    found = exchange.read_answer(images(), 1, 100.0)
    labels_N = images().labels_N
    return found, [
        float((values_NK.argmax(1) == labels_N[images().parts[part]]).mean())
        for part, values_NK in found.probabilities.items()
    ]


@pytest.mark.parametrize("model", ["logistic", "forest"])
@pytest.mark.parametrize("features", ["pixels", "simple"])
def test_each_baseline_learns_what_there_is_to_learn_and_hands_it_in(model, features, exchange, capsys):
    words = ["--model", model, "--features", features, str(exchange.request_path)]
    assert adapter.main(words) == 0
    found, correct = _correct(exchange)
    assert min(correct) >= 0.9
    assert (found.probabilities["test"][:, 2] == 0).all()  # a class that it has never seen
    assert found.parameters > 0
    assert found.version.startswith("scikit-learn ")
    assert capsys.readouterr().out.startswith(f"{model} on {features}: ")


def test_the_same_seed_gives_the_same_answers(exchange):
    words = ["--model", "forest", str(exchange.request_path)]
    assert adapter.main(words) == 0
    first, _ = _correct(exchange)
    assert adapter.main(words) == 0
    again, _ = _correct(exchange)
    assert all((first.probabilities[part] == again.probabilities[part]).all() for part in again.probabilities)


@pytest.mark.parametrize("model", ["logistic", "forest"])
def test_a_fit_whose_seconds_are_over_has_taken_one_turn(model, monkeypatch):
    features_NF = generator(0, "features").normal(size=(60, 30)).astype(np.float32)
    labels_N = np.arange(60) % 3
    long, short = (
        adapter.MODELS[model](features_NF, labels_N, time.monotonic() + seconds, 0, 1)[0]
        for seconds in (60, -1)
    )
    sizes = [len(m.estimators_) if model == "forest" else int(m[-1].n_iter_.max()) for m in (long, short)]
    assert sizes[1] <= 10
    assert model != "forest" or sizes == [300, 10]


def test_no_turn_is_begun_that_would_end_too_late(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(adapter.time, "monotonic", lambda: now[0])
    turns = []
    for turn in adapter._turns(100, 10.0):
        turns.append(turn)
        now[0] += 3.0
    assert turns == [0, 1, 2]


def test_simple_features_are_means_deviations_and_shares():
    values_NHWC = images().images_NHWC[:2]
    found_NF = adapter.simple(values_NHWC)
    assert found_NF.shape == (2, 4 * 4 * 3 * 2 + 8 * 3)
    corner = values_NHWC[1, :2, 3:6, 2].astype(float) / 255  # second cell of the first row, last channel
    assert found_NF[1, 3 + 2] == pytest.approx(corner.mean())
    assert found_NF[1, 48 + 3 + 2] == pytest.approx(corner.std(), abs=1e-6)
    assert found_NF[:, 96:].reshape(2, 8, 3).sum(1) == pytest.approx(np.ones((2, 3)))


def test_the_file_runs_alone_and_does_not_import_itself(exchange):
    done = subprocess.run(
        [sys.executable, "-I", adapter.__file__, str(exchange.request_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((exchange.path / "cost.json").read_text())["seconds"] > 0


def test_without_scikit_learn_it_says_how_to_install_it(exchange, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert adapter.main([str(exchange.request_path)]) == 2
    assert "to install it: " in capsys.readouterr().out
    assert not (exchange.path / "cost.json").exists()
