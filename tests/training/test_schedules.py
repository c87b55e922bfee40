"""The course of the learning rate, against torch's own schedulers and by hand."""

import math
from typing import get_args

import pytest
import torch
from torch.optim import lr_scheduler

from bakeoff.training.schedules import ScheduleName, rate_factor

STEPS = 41
NAMES = get_args(ScheduleName)


def _torch_rates(make):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(STEPS):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if len(rates) < STEPS:
            scheduler.step()
    return rates


def _ours(name, warmup=0.0):
    return [rate_factor(name, step / (STEPS - 1), warmup) for step in range(STEPS)]


def test_cosine_and_linear_are_those_of_torch():
    cosine = _torch_rates(lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, STEPS - 1))
    assert _ours("cosine") == pytest.approx(cosine, abs=1e-9)
    linear = _torch_rates(lambda optimizer: lr_scheduler.LinearLR(optimizer, 1.0, 0.0, STEPS - 1))
    assert _ours("linear") == pytest.approx(linear, abs=1e-9)


@pytest.mark.parametrize(("warmup", "rise"), [(0.0, 0.3), (0.5, 0.5)])
def test_one_cycle_is_that_of_torch_when_the_peak_falls_on_the_same_step(warmup, rise):
    share = (rise * (STEPS - 1) + 1) / STEPS  # torch counts the peak's position from 1
    torchs = _torch_rates(
        lambda optimizer: lr_scheduler.OneCycleLR(
            optimizer, 1.0, STEPS, pct_start=share, cycle_momentum=False, div_factor=25, final_div_factor=1e12
        )
    )
    assert _ours("one-cycle", warmup) == pytest.approx(torchs, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "progress", "warmup", "factor"),
    [
        ("constant", 0.0, 0.0, 1.0),
        ("constant", 0.05, 0.2, 0.25),
        ("constant", 0.9, 0.2, 1.0),
        ("linear", 0.1, 0.2, 0.5),
        ("linear", 0.4, 0.2, 0.75),
        ("cosine", 0.4, 0.2, (1 + math.sqrt(0.5)) / 2),
        ("one-cycle", 0.15, 0.0, (1 + 1 / 25) / 2),
        ("one-cycle", 0.65, 0.0, 0.5),
    ],
)
def test_values_worked_out_by_hand(name, progress, warmup, factor):
    assert rate_factor(name, progress, warmup) == pytest.approx(factor)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5, 1.0])
def test_every_schedule_stays_between_zero_and_its_peak(name, warmup):
    factors = [rate_factor(name, step / 1000, warmup) for step in range(1001)]
    assert min(factors) >= 0
    assert max(factors) == pytest.approx(1, abs=1e-4)
    top = factors.index(max(factors))
    assert factors[:top] == sorted(factors[:top])
    assert factors[top:] == sorted(factors[top:], reverse=True)


@pytest.mark.parametrize("name", NAMES)
def test_progress_outside_of_the_training_counts_as_its_ends(name):
    assert rate_factor(name, -1, 0.3) == rate_factor(name, 0, 0.3)
    assert rate_factor(name, 2, 0.3) == rate_factor(name, 1, 0.3)
