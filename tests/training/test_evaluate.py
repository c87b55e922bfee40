"""Predictions of a split, and the note that is written before test images are read."""

import json

import numpy as np
import pytest
import torch
from jobs import pictures
from sklearn.metrics import log_loss
from torch import nn

from bakeoff.data.batches import ImageStore
from bakeoff.evidence.predictions import WORST_LOSS
from bakeoff.records import RunFolder
from bakeoff.training.evaluate import BATCH, predict, read_test, score

CPU = torch.device("cpu")


class Net(nn.Module):
    """Statistics and dropout make a difference between training and evaluation."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(
                nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(3 * 4 * 8, 3)
            )

    def forward(self, images_BHWC):
        return self.layers(images_BHWC.permute(0, 3, 1, 2).float() / 255)


@pytest.fixture
def data():
    return pictures(train=20, validation=1, test=2 * BATCH + 5, height=4)


@pytest.fixture
def store(data):
    return ImageStore(data.images_NHWC, data.labels_N, CPU)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_predictions_equal_a_plain_loop_over_single_images(data, store, split):
    model = Net().eval()
    index = getattr(data, split)
    with torch.no_grad():
        expected = [model(torch.tensor(data.images_NHWC[i : i + 1])).softmax(1)[0].numpy() for i in index]
    found_NK = predict(model.train(), store, index)
    assert found_NK.dtype == np.float32
    np.testing.assert_allclose(found_NK, np.stack(expected), rtol=1e-5)
    np.testing.assert_allclose(found_NK.sum(1), 1, rtol=1e-6)


@pytest.mark.parametrize("views", ["mirror", "six"])
def test_the_logits_of_an_images_views_are_averaged(data, store, views):
    model = Net().eval()
    images_BHWC = torch.tensor(data.images_NHWC[data.test])
    padded = np.pad(data.images_NHWC[data.test], ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    height, width = images_BHWC.shape[1:3]
    forms = [(1.0, images_BHWC)]
    if views == "six":  # shifts of one pixel
        forms = [(0.5, images_BHWC)]
        forms += [(0.25, torch.tensor(padded[:, at : at + height, at : at + width])) for at in (0, 2)]
    with torch.no_grad():
        logits_BK = sum(
            weight / 2 * (model(form) + model(form.flip(2)))  # columns are the third axis
            for weight, form in forms
        )
    found_NK = predict(model, store, data.test, views=views)
    np.testing.assert_allclose(found_NK, logits_BK.softmax(1).numpy(), rtol=1e-5)
    assert not np.allclose(found_NK, predict(model, store, data.test))


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_in_its_mode_and_with_its_statistics(data, store, training):
    model = Net().train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found_NK = predict(model, store, data.train)
    assert all(module.training == training for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not isinstance(found_NK, torch.Tensor)
    assert all(p.grad is None for p in model.parameters())


def test_the_mode_is_restored_when_the_model_fails(data, store):
    model = nn.Sequential(nn.Flatten(), nn.Linear(5, 3))
    with pytest.raises(RuntimeError):
        predict(model, store, data.train)
    assert model.training


def test_the_beat_tells_images_done_after_every_batch(data, store):
    beats = []
    predict(Net(), store, data.test, beat=lambda done, total: beats.append((done, total)))
    total = 2 * BATCH + 5
    assert beats == [(BATCH, total), (2 * BATCH, total), (total, total)]


def test_half_precision_is_used_when_asked_for_and_gives_probabilities_in_single(data, store):
    kinds = set()

    class Spy(Net):
        def forward(self, images_BHWC):
            logits_BK = super().forward(images_BHWC)
            kinds.add(logits_BK.dtype)
            return logits_BK

    model = Spy()
    half_NK = predict(model, store, data.test, autocast=lambda: torch.autocast("cpu", torch.bfloat16))
    assert kinds == {torch.bfloat16}
    assert half_NK.dtype == np.float32
    full_NK = predict(model, store, data.test)
    assert kinds == {torch.bfloat16, torch.float32}
    np.testing.assert_allclose(half_NK, full_NK, atol=0.02)
    assert not np.array_equal(half_NK, full_NK)


def test_infinite_outputs_are_told_by_numbers_that_are_not_finite(data, store):
    model = Net()
    with torch.no_grad():
        model.layers[3].bias[1] = float("inf")
    assert not np.isfinite(predict(model, store, data.train)).any()


def test_a_score_is_the_mean_loss_and_the_share_of_hits():
    chance = np.random.default_rng(0)
    probabilities_NK = chance.dirichlet(np.ones(4), 50).astype(np.float32)
    labels_N = chance.integers(0, 4, 50)
    found = score(probabilities_NK, labels_N)
    assert found["loss"] == pytest.approx(log_loss(labels_N, probabilities_NK, labels=range(4)), rel=1e-6)
    assert found["accuracy"] == (probabilities_NK.argmax(1) == labels_N).mean()
    assert all(type(value) is float for value in found.values())


def test_a_label_of_probability_zero_costs_much_but_not_infinitely_much():
    probabilities_NK = np.array([[1, 0], [0, 1]], np.float32)
    assert score(probabilities_NK, np.array([1, 1]))["loss"] == pytest.approx(WORST_LOSS / 2)


def test_a_reading_of_the_test_images_is_noted_before_the_first_is_read(data, store, tmp_path):
    folder = RunFolder(tmp_path)
    seen = []

    class Spy(Net):
        def forward(self, images_BHWC):
            seen.append(json.loads(folder.test_readings_path.read_text(encoding="utf-8")))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_test(Spy(), store, data.test, folder, purpose="to see")
    (reading,) = seen[0]
    assert (reading["purpose"], reading["images"]) == ("to see", str(2 * BATCH + 5))
    found_NK = read_test(Net(), store, data.test, folder, purpose="again")
    assert [reading["purpose"] for reading in folder.test_readings()] == ["to see", "again"]
    np.testing.assert_array_equal(found_NK, predict(Net(), store, data.test))
