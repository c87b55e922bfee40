"""The adapter of AutoKeras, against stand-ins that behave as the parts of AutoKeras 3.0.0 it uses."""

import contextlib
import copy
import json
import subprocess
import sys
import types

import numpy as np
import pytest

from bakeoff.external import autokeras as adapter
from bakeoff.records.exchange import Exchange, Images

LABELS = np.arange(30) % 3
PARTS = {"train": np.arange(18), "validation": np.arange(18, 24), "test": np.arange(24, 30)}


def images(classes=3):
    labels_N = LABELS % classes
    return Images(
        images_NHWC=np.tile((10 + 20 * labels_N).astype(np.uint8)[:, None, None, None], (1, 4, 6, 3)),
        labels_N=labels_N, files=[str(i) for i in range(30)], class_ids=[str(i) for i in range(classes)],
        class_names=[str(i) for i in range(classes)], parts=PARTS,
    )  # fmt: skip


class Model:
    """Gives what its one weight says: the share of the right class."""

    def __init__(self, classes):
        self.classes, self.weight = classes, 0.0

    def get_weights(self):
        return [self.weight]

    def set_weights(self, weights):
        (self.weight,) = weights

    def count_params(self):
        return 1

    def predict(self, images_NHWC, verbose):
        labels_N = (images_NHWC[:, 0, 0, 0].astype(int) - 10) // 20
        if self.classes == 2:
            return np.where(labels_N == 1, self.weight, 1 - self.weight)[:, None]
        rest = (1 - self.weight) / (self.classes - 1)
        return np.where(np.eye(self.classes)[labels_N] == 1, self.weight, rest)


class Callback:
    model = None


class Classifier:
    """Trials of two epochs each; callbacks are copied for each trial, faults of trials are passed over."""

    losses = (3.0, 1.0, 2.0, 0.5, 9.0, 9.0)
    made: list = []  # noqa: RUF012 - what a test looks at

    def __init__(self, **settings):
        self.settings = settings
        self.made.append(self)

    def fit(self, x, y, *, validation_data, callbacks, verbose):
        self.given = (x, y, validation_data)
        for trial in range(len(self.losses) // 2):
            model = Model(self.settings["num_classes"])
            copies = copy.deepcopy(callbacks)
            with contextlib.suppress(Exception):  # as the tuner does
                self._trial(model, copies, self.losses[2 * trial : 2 * trial + 2])

    def _trial(self, model, callbacks, losses):
        for one in callbacks:
            one.model = model
            one.on_train_begin()
        for epoch, loss in enumerate(losses):
            model.weight = 1 / (1 + loss)
            for one in callbacks:
                one.on_train_batch_end(0)
                one.on_test_batch_end(0)
                one.on_epoch_end(epoch, {"val_loss": loss})


@pytest.fixture
def libraries(monkeypatch):
    keras = types.SimpleNamespace(callbacks=types.SimpleNamespace(Callback=Callback), __version__="3.12.0")
    autokeras = types.SimpleNamespace(ImageClassifier=Classifier, __version__="3.0.0")
    monkeypatch.setitem(sys.modules, "keras", keras)
    monkeypatch.setitem(sys.modules, "autokeras", autokeras)
    monkeypatch.setattr(Classifier, "made", [])


def hand_over(tmp_path, classes=3, seconds=50.0):
    exchange = Exchange(tmp_path / "external")
    told = {"identity": "x", "seconds": seconds, "seed": 4, "threads": 1}
    exchange.hand_over(images(classes), told, seed=4)
    return exchange


@pytest.mark.parametrize("classes", [2, 3])
def test_the_best_epoch_of_all_trials_answers(classes, tmp_path, libraries, capsys):
    exchange = hand_over(tmp_path, classes)
    assert adapter.main([str(exchange.request_path)]) == 0
    found = exchange.read_answer(images(classes), 4, 100.0)
    right_N = images(classes).labels_N[PARTS["test"]]
    best = 1 / (1 + 0.5)  # the second epoch of the second trial
    assert found.probabilities["test"][np.arange(6), right_N] == pytest.approx(np.full(6, best))
    assert (found.version, found.parameters) == ("AutoKeras 3.0.0, Keras 3.12.0", 1)
    assert "3 trials begun, validation loss 0.5000" in capsys.readouterr().out


def test_its_defaults_are_taken_and_validation_images_are_those_of_the_study(tmp_path, libraries):
    exchange = hand_over(tmp_path)
    adapter.main([str(exchange.request_path)])
    (one,) = Classifier.made
    assert one.settings == {
        "num_classes": 3, "directory": exchange.path / "autokeras", "overwrite": True, "seed": 4,
    }  # fmt: skip
    x, y, (other_x, other_y) = one.given
    assert (x == images().images_NHWC[PARTS["train"]]).all()
    assert y.argmax(1).tolist() == LABELS[PARTS["train"]].tolist()
    assert len(other_x) == len(other_y) == 6


def test_a_search_ends_at_the_first_batch_behind_its_seconds(tmp_path, libraries, monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(adapter.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(Model, "get_weights", lambda self: now.__setitem__(0, now[0] + 30.0) or [self.weight])
    exchange = hand_over(tmp_path)  # 50 seconds: two epochs that are the best so far
    assert adapter.main([str(exchange.request_path)]) == 0
    found = exchange.read_answer(images(), 4, 100.0)
    assert found.probabilities["test"].max() == pytest.approx(1 / (1 + 1.0))
    assert found.seconds == 60.0
    assert "its seconds are over" in capsys.readouterr().out


def test_without_a_whole_epoch_it_says_so(tmp_path, libraries, capsys):
    exchange = hand_over(tmp_path, seconds=0.0)
    assert adapter.main([str(exchange.request_path)]) == 3
    assert "no epoch has ended within 0 s" in capsys.readouterr().out


def test_two_classes_are_a_column_and_more_are_one_hot(tmp_path):
    for classes, shape in ((2, (18, 1)), (3, (18, 3))):
        exchange = hand_over(tmp_path, classes)
        request = json.loads(exchange.request_path.read_text())
        found = adapter.targets(request, exchange.path, "train")
        assert (found.shape, found.dtype) == (shape, np.int32)
    assert adapter.probabilities_of(np.array([[0.25], [1.0]]), 2).tolist() == [[0.75, 0.25], [0.0, 1.0]]


def test_where_it_is_missing_the_row_says_how_to_install_it(tmp_path):
    done = subprocess.run(
        [sys.executable, "-I", adapter.__file__, str(hand_over(tmp_path).request_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "AutoKeras cannot be imported (No module named" in done.stdout
    assert done.stdout.endswith(
        '-m pip install autokeras==3.0.0 "keras==3.12.*" tensorboard tensorflow-cpu\n'
    )
