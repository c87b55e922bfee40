"""What a machine can do: figures that follow from what was timed, and nothing left behind."""

import numpy as np
import pytest
import torch

from bakeoff.models.summary import summarise
from bakeoff.training import bench as module
from bakeoff.training.bench import Ceiling, _Watch, bench, random_task
from bakeoff.training.machine import Machine


@pytest.fixture
def small(monkeypatch):
    """Measure little; the code is the same."""
    for name, value in {
        "TURNS": 1, "MATRIX": 64, "COPIED": 10_000, "SHAPES": ((4, 8),), "CONVOLVED": 2, "CHUNK": 8,
        "QUICK": (("mobilenet-0.25", 32, 4),), "TRAINED": (("mobilenet-0.25", 32, 4), ("resnet9", 8, 2)),
    }.items():  # fmt: skip
        monkeypatch.setattr(module, name, value)


class Clock:
    """A clock whose turns take what it is told."""

    def __init__(self, *lasts):
        self.lasts, self.now = list(lasts), 0.0

    def perf_counter(self):
        self.now += self.lasts.pop(0)
        return self.now


def test_every_precision_of_the_machine_is_measured_and_nothing_stays(small, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "resolve_precision", lambda *_: ("bf16", "because"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    heard = []
    found = bench(Machine("cpu", 1), heard=heard.append)
    assert [(c.what, c.precision) for c in found.ceilings if "matrix" in c.what] == [
        ("matrix product, 64 x 64", "bf16"), ("matrix product, 64 x 64", "fp32"),
    ]  # fmt: skip
    assert len(found.ceilings) == 2 * 3 + 4
    assert all(ceiling.rate > 0 for ceiling in found.ceilings)
    assert [(r.model, r.precision) for r in found.rates] == [
        ("mobilenet-0.25", "bf16"), ("mobilenet-0.25", "fp32"), ("resnet9", "bf16"), ("resnet9", "fp32"),
    ]  # fmt: skip
    assert (found.precision, found.reason) == ("bf16", "because")
    assert heard[0] == "ceilings in bf16"
    assert list(tmp_path.iterdir()) == []
    assert found.as_dict()["environment"]["threads"] == 1


def test_a_quick_look_takes_one_precision(small, monkeypatch):
    monkeypatch.setattr(module, "resolve_precision", lambda *_: ("bf16", "because"))
    found = bench(Machine("cpu", 1), quick=True)
    assert {ceiling.precision for ceiling in found.ceilings} == {"bf16", ""}
    assert [(rate.model, rate.precision) for rate in found.rates] == [("mobilenet-0.25", "bf16")]


def test_a_share_is_of_the_best_ceiling_in_the_same_precision(small, tmp_path, monkeypatch):
    measured = type("Measured", (), {"images_per_second": 100.0})()
    monkeypatch.setattr(module, "measure", lambda *_, **__: measured)
    ceilings = [Ceiling("a", "fp32", 1e3, "GFLOP/s"), Ceiling("b", "bf16", 20.0, "GFLOP/s")]
    ceilings += [Ceiling("c", "bf16", 10.0, "GFLOP/s"), Ceiling("d", "", 1e9, "images/s")]
    rate = module._rate("mobilenet-0.25", 32, 4, "bf16", Machine("cpu", 1), tmp_path, ceilings)
    with torch.device("meta"):
        network = module.build_model("mobilenet-0.25", classes=4, image_size=32, base_dir=tmp_path)
    gflops = 100.0 * 6 * summarise(network, 32).multiplications / 1e9  # twice in each of three passes
    assert rate.gflops == pytest.approx(gflops)
    assert rate.share == pytest.approx(gflops / 20)


def test_the_best_turn_counts_and_the_first_is_not_among_them(monkeypatch):
    monkeypatch.setattr(module, "TURNS", 3)
    monkeypatch.setattr(module, "time", Clock(0, 0.5, 0, 3, 0, 1, 0, 2))
    assert module._best(lambda: None, torch.device("cpu")) == 1


@pytest.mark.parametrize(
    ("first", "rate"),
    [(1, (10 + 20 + 30) / 6), (2, (20 + 30) / 5), (4, 1060 / 106)],  # too few: none are left out
)
def test_answers_that_waited_for_processes_are_not_counted(first, rate, monkeypatch):
    monkeypatch.setattr(module, "time", Clock(0, 100, 1, 2, 3))
    watch = _Watch()
    for rows in (1000, 10, 20, 30):
        watch.hear(rows)
    assert watch.rate(first) == pytest.approx(rate)


def test_random_images_are_mapped_and_have_every_class(tmp_path):
    data = random_task(300, 8, 7, tmp_path)
    assert data.images_NHWC.shape == (300, 8, 8, 3)
    assert isinstance(data.images_NHWC, np.memmap)
    assert set(data.labels_N.tolist()) == set(range(7))
    assert len(data.train) == 300
