from __future__ import annotations

import pytest
import torch
from jobs import Ear, make_job, train
from torch import nn

from bakeoff.training.latency import TimeLimits, measure_inference


class Slow(nn.Module):
    """Takes a made time for each batch: some for the call and some for each image."""

    def __init__(self, seconds_of_call: float, seconds_of_image: float) -> None:
        super().__init__()
        self.own = nn.Dropout(0.5)  # would differ between calls in training mode
        self.now, self.of_call, self.of_image = 0.0, seconds_of_call, seconds_of_image
        self.batches: list[int] = []
        self.modes: set[bool] = set()

    def forward(self, images_BHWC: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(images_BHWC))
        self.modes.add(self.training)
        self.now += self.of_call + self.of_image * len(images_BHWC)
        return images_BHWC.float().mean(dim=(1, 2))

    def clock(self) -> float:
        return self.now


def timed(model: Slow, **limits: float) -> dict[str, float]:
    return measure_inference(
        model, (4, 8, 3), torch.device("cpu"), limits=TimeLimits(**limits), clock=model.clock
    )


def test_one_image_alone_and_the_best_batch_are_timed() -> None:
    model = Slow(0.010, 0.001)
    found = timed(model)
    assert found["latency_seconds"] == pytest.approx(0.011)
    assert found["latency_p90_seconds"] == pytest.approx(0.011)
    assert (found["batch"], found["images_per_second"]) == (128, pytest.approx(128 / 0.138))
    assert found["latency_calls"] == 91  # in one second


def test_nine_of_ten_calls_took_at_most_the_ninth_decile() -> None:
    model = Slow(0.0, 0.01)
    pauses = iter([0.0, 0.0, *[0.001 * call for call in range(10)], *[0.0] * 1000])
    forward = model.forward
    model.forward = lambda images: (setattr(model, "now", model.now + next(pauses)), forward(images))[1]
    found = timed(model, calls=10)
    assert found["latency_seconds"] == pytest.approx(0.0145)
    assert found["latency_p90_seconds"] == pytest.approx(0.018)


def test_larger_batches_are_tried_only_while_they_are_faster() -> None:
    model = Slow(0.0, 0.002)  # nothing is saved by a batch
    assert timed(model)["batch"] == 1
    assert set(model.batches) == {1, 8}


def test_a_batch_that_would_take_longer_than_the_limit_is_not_tried() -> None:
    model = Slow(0.01, 0.05)
    assert timed(model)["batch"] == 8
    assert max(model.batches) == 8  # 32 images take 1.6 s
    assert model.now < 5


def test_a_network_is_timed_as_it_predicts_and_left_as_it_was() -> None:
    model = Slow(0.01, 0.0)
    model.train()
    timed(model, calls=3)
    assert model.modes == {False}
    assert model.training


def test_the_first_run_of_a_candidate_is_timed_and_the_time_is_not_charged(tmp_path) -> None:
    from dataclasses import replace

    heard = Ear()
    job = make_job(tmp_path)
    record, _ = train(replace(job, timed=True), tmp_path / "run", heard)
    assert record.inference["latency_seconds"] > 0
    assert record.inference["precision"] == "fp32"
    assert len(record.test_readings) == 1
    plain, _ = train(job, tmp_path / "other")
    assert plain.inference == {}
    assert record.metrics == plain.metrics  # nothing of the result depends on it
