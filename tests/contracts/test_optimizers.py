"""One contract for every optimizer: adding one adds no test code."""

import copy
import io

import pytest
import torch
from torch import nn
from torch.nn import functional

from bakeoff.spec import Optimizer
from bakeoff.training.optimizers import OPTIMIZERS, build_optimizer


@pytest.fixture(params=list(OPTIMIZERS))
def name(request):
    torch.set_num_threads(1)
    return request.param


def _model(seed=0):
    """Make a network with every kind of weight: of convolutions, norms, dense layers, and biases."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8),
            nn.Flatten(), nn.LayerNorm(8 * 2 * 6), nn.Linear(8 * 2 * 6, 5),
        )  # fmt: skip


def _step(model, optimizer, step):
    """Take one step on pictures of 4x8."""
    chance = torch.Generator().manual_seed(step)
    images_BCHW = torch.randn(6, 3, 4, 8, generator=chance)
    labels_B = torch.randint(0, 5, (6,), generator=chance)
    optimizer.zero_grad()
    functional.cross_entropy(model(images_BCHW), labels_B).backward()
    optimizer.step()


def _equal(one, other):
    return all(torch.equal(one[key], other[key]) for key in one)


def test_it_has_a_source(name):
    assert OPTIMIZERS[name].source


def test_it_goes_down_a_quadratic(name):
    model = nn.Linear(12, 8)
    target_BO = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    inputs_BI = torch.randn(20, 12, generator=torch.Generator().manual_seed(1))
    optimizer = build_optimizer(model, Optimizer(name=name, lr=0.02))
    losses = []
    for _ in range(60):
        loss = functional.mse_loss(model(inputs_BI), target_BO)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert losses[-1] < losses[30]


def test_it_starts_at_the_rate_of_the_recipe(name):
    optimizer = build_optimizer(_model(), Optimizer(name=name, lr=0.123))
    assert {group["lr"] for group in optimizer.param_groups} == {0.123}


def test_decay_shrinks_matrices_and_leaves_biases_and_norms_alone(name):
    model = _model()
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    optimizer = build_optimizer(model, Optimizer(name=name, lr=0.01, weight_decay=0.1))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for key, parameter in model.named_parameters():
        if parameter.ndim > 1:
            assert parameter.norm() < before[key].norm(), key
        else:
            assert torch.equal(parameter, before[key]), key


def test_a_rate_of_zero_moves_nothing(name):
    model = _model()
    before = copy.deepcopy(dict(model.named_parameters()))
    optimizer = build_optimizer(model, Optimizer(name=name, weight_decay=0.1))
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    _step(model, optimizer, 0)
    assert _equal(dict(model.named_parameters()), before)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_its_state_on_disk_continues_with_the_same_step(name, memory):
    settings = Optimizer(name=name, lr=0.01, weight_decay=0.01)
    model = _model().to(memory_format=memory)
    optimizer = build_optimizer(model, settings)
    for step in range(3):
        _step(model, optimizer, step)
    file = io.BytesIO()
    torch.save((model.state_dict(), optimizer.state_dict()), file)
    file.seek(0)
    weights, state = torch.load(file, weights_only=True)
    other = _model(seed=1).to(memory_format=memory)
    resumed = build_optimizer(other, settings)
    other.load_state_dict(weights)
    resumed.load_state_dict(state)
    for step in range(3, 6):
        _step(model, optimizer, step)
        _step(other, resumed, step)
        assert _equal(model.state_dict(), other.state_dict())


def test_weights_stored_channels_last_take_the_same_steps_as_contiguous_ones(name):
    """The gradients are given, because convolutions of the two layouts differ in their last bits."""
    settings = Optimizer(name=name, lr=0.01, weight_decay=0.01)
    models = [_model(), _model().to(memory_format=torch.channels_last)]
    assert not models[1][0].weight.is_contiguous()
    optimizers = [build_optimizer(model, settings) for model in models]
    for step in range(3):
        for model, optimizer in zip(models, optimizers, strict=True):
            chance = torch.Generator().manual_seed(step)
            for parameter in model.parameters():
                gradient = torch.randn(parameter.shape, generator=chance)
                parameter.grad = torch.empty_like(parameter).copy_(gradient)  # laid out as autograd does
            optimizer.step()
    for (key, one), (_, other) in zip(
        models[0].named_parameters(), models[1].named_parameters(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7, msg=key)


def test_autograd_lays_gradients_out_as_the_weights_which_fused_steps_rely_on(name):
    model = _model().to(memory_format=torch.channels_last)
    _step(model, build_optimizer(model, Optimizer(name=name)), 0)
    assert all(p.grad.stride() == p.stride() for p in model.parameters())
