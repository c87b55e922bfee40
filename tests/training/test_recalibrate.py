"""Statistics of batch normalization are those of the training images, at any time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from jobs import make_job, pictures
from safetensors.torch import load_file
from torch import nn

from bakeoff.data.batches import ImageStore
from bakeoff.data.preprocess import Preprocess
from bakeoff.records import RunFolder
from bakeoff.training.classifier import Classifier, build_classifier
from bakeoff.training.recalibrate import recalibrate
from bakeoff.training.run import train_run


class Silent:
    def on_step(self, step) -> bool:
        return False

    def on_epoch(self, row) -> None:
        pass

    def on_evaluation(self, split, done, total) -> None:
        pass


def classifier(*layers: nn.Module) -> Classifier:
    return Classifier(Preprocess((0.0,) * 3, (255.0,) * 3, 8), nn.Sequential(*layers)).train()


def test_one_batch_of_all_images_gives_their_plain_mean_and_variance() -> None:
    data = pictures(train=20)
    norm = nn.BatchNorm2d(3, momentum=0.01)
    model = classifier(norm, nn.Dropout(0.9), nn.Flatten(), nn.Linear(192, 3))
    store = ImageStore(data.images_NHWC, data.labels_N, torch.device("cpu"))
    recalibrate(model, store, data.train, batch_size=20, seed=0)
    values = data.images_NHWC[data.train].astype(np.float64).reshape(-1, 3) / 255
    np.testing.assert_allclose(norm.running_mean, values.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(norm.running_var, values.var(axis=0, ddof=1), rtol=1e-4)


def test_the_start_of_the_averages_is_forgotten_and_everything_else_is_as_it_was() -> None:
    data = pictures(train=21)
    model = classifier(nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(192, 3))
    model.network[1].eval()
    store = ImageStore(data.images_NHWC, data.labels_N, torch.device("cpu"))
    norm = model.network[0]
    found = []
    for start in (0.0, 1e6):
        norm.running_mean.fill_(start)
        recalibrate(model, store, data.train, batch_size=10, seed=3)  # the last image of 21 stands alone
        found.append((norm.running_mean.clone(), norm.running_var.clone()))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert norm.momentum == 0.1
    assert [m.training for m in model.network] == [True, False, True, True]


def test_a_model_without_batch_normalization_is_not_run() -> None:
    model = classifier(nn.Flatten(), nn.Linear(1, 1))  # would raise
    recalibrate(model, None, np.arange(3), batch_size=2, seed=0)  # type: ignore[arg-type]


@pytest.mark.parametrize("ema", [None, 0.9])
def test_the_weights_that_a_run_leaves_carry_the_statistics_of_these_weights(
    tmp_path, ema: float | None
) -> None:
    left = {}
    for setting in ("moving", "recalibrated"):
        job = make_job(tmp_path, data=pictures(train=60), norm_statistics=setting, ema=ema)
        folder = RunFolder(tmp_path / setting)
        assert train_run(job, folder, Silent()).status == "finished"
        left[setting] = load_file(folder.weights_path)
    store = ImageStore(job.data.images_NHWC, job.data.labels_N, torch.device("cpu"))
    model = build_classifier(
        job.candidate.model, classes=3, input_size=8, mean=job.mean, std=job.std, seed=0, base_dir=tmp_path
    )
    statistics = [name for name in left["moving"] if "running" in name]
    assert len(statistics) == 2
    for setting, stays in (("moving", False), ("recalibrated", True)):
        model.load_state_dict(left[setting])
        recalibrate(model, store, job.data.train, batch_size=8, seed=0)
        after = model.state_dict()
        assert all(torch.equal(left[setting][name], after[name]) for name in statistics) is stays
