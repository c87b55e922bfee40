"""Optimizers against the formulas of their papers, worked out in NumPy."""

import numpy as np
import pytest
import torch
from torch import nn

from bakeoff.models.keras_layers import Conv2dSame
from bakeoff.spec import Optimizer
from bakeoff.training.optimizers import build_optimizer, set_rate

START = np.array([[1.0, -2.0], [0.5, 3.0]])
CURVATURE = np.array([[2.0, 1.0], [4.0, 0.5]])  # the gradient is curvature times weights


def _train(steps, **settings):
    """Take steps on a quadratic with one matrix; return it after each."""
    model = nn.Linear(2, 2, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.from_numpy(START))
    optimizer = build_optimizer(model, Optimizer(**settings))
    path = []
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * torch.from_numpy(CURVATURE) * model.weight**2).sum().backward()
        optimizer.step()
        path.append(model.weight.detach().numpy().copy())
    return path


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_sgd_is_nesterovs_momentum_as_sutskever_writes_it(decay):
    rate, momentum = 0.05, 0.8
    path = _train(4, name="sgd", lr=rate, momentum=momentum, weight_decay=decay)
    theta, velocity = START.copy(), np.zeros_like(START)
    for step in path:
        ahead = theta + momentum * velocity
        velocity = momentum * velocity - rate * (CURVATURE + decay) * ahead  # eq. 3
        theta = theta + velocity  # eq. 4
        np.testing.assert_allclose(
            step, theta + momentum * velocity, rtol=1e-12
        )  # torch stores the point ahead


def test_sgd_without_momentum_is_plain_descent():
    path = _train(2, name="sgd", lr=0.1, momentum=0.0)
    np.testing.assert_allclose(path[1], START * (1 - 0.1 * CURVATURE) ** 2, rtol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam_is_algorithm_1_with_the_decay_in_the_gradient(decay):
    rate, (beta1, beta2), eps = 0.1, (0.8, 0.95), 1e-3
    path = _train(4, name="adam", lr=rate, betas=(beta1, beta2), eps=eps, weight_decay=decay)
    theta, m, v = START.copy(), 0.0, 0.0
    for t, step in enumerate(path, start=1):
        gradient = (CURVATURE + decay) * theta
        m, v = beta1 * m + (1 - beta1) * gradient, beta2 * v + (1 - beta2) * gradient**2
        theta = theta - rate * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
        np.testing.assert_allclose(step, theta, rtol=1e-10)


def test_adamw_is_algorithm_2_with_the_decay_beside_the_gradient():
    rate, (beta1, beta2), eps, decay = 0.1, (0.9, 0.999), 1e-7, 0.2
    path = _train(4, name="adamw", lr=rate, betas=(beta1, beta2), eps=eps, weight_decay=decay)
    theta, m, v = START.copy(), 0.0, 0.0
    for t, step in enumerate(path, start=1):
        gradient = CURVATURE * theta
        m, v = beta1 * m + (1 - beta1) * gradient, beta2 * v + (1 - beta2) * gradient**2
        theta = theta * (1 - rate * decay) - rate * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
        np.testing.assert_allclose(step, theta, rtol=1e-10)


def test_muon_steps_by_an_almost_orthogonal_matrix():
    model = nn.Linear(16, 8, bias=False)
    before = model.weight.detach().clone()
    optimizer = build_optimizer(model, Optimizer(name="muon", lr=0.01))
    model.weight.grad = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    optimizer.step()
    moved = (before - model.weight.detach()) / (0.01 * 0.2 * 16**0.5)  # timm's scale matches AdamW's step
    singular = torch.linalg.svdvals(moved)
    assert singular.min() > 0.6  # Newton-Schulz leaves them near 1 (Jordan 2024)
    assert singular.max() < 1.3


def test_a_convolutions_step_of_muon_is_that_of_its_flattened_matrix():
    start = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    gradient = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    conv, dense = Conv2dSame(4, 8, 3, bias=False), nn.Linear(36, 8, bias=False)
    for model in (conv, dense):
        with torch.no_grad():
            model.weight.copy_(start.reshape(model.weight.shape))
        model.weight.grad = gradient.reshape(model.weight.shape).clone()
        build_optimizer(model, Optimizer(name="muon", lr=0.02, momentum=0.9)).step()
    torch.testing.assert_close(conv.weight.reshape(8, 36), dense.weight)


def test_frozen_weights_are_not_given_to_the_optimizer():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    held = [p for group in build_optimizer(model, Optimizer()).param_groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in model[1].parameters()}


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
def test_biases_and_norms_may_move_at_another_rate(name):
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimizer = build_optimizer(model, Optimizer(name=name, lr=0.5, bias_factor=64), {model[0].bias: 0.5})
    set_rate(optimizer, 0.25)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates[id(model[0].weight)] == 0.25
    assert rates[id(model[0].bias)] == 0.25 * 64 * 0.5
    assert rates[id(model[1].weight)] == rates[id(model[1].bias)] == 0.25 * 64


def test_the_rate_is_set_for_every_group():
    optimizer = build_optimizer(nn.Linear(2, 2), Optimizer(lr=0.5, weight_decay=0.1))
    assert len(optimizer.param_groups) == 2
    set_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]
