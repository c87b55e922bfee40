"""Layer tables against hand counts and against what torchvision publishes."""

import json

import pytest
import torch
import torchvision
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from bakeoff.models.summary import count_parameters, summarise
from bakeoff.models.whitening import Whitening


def _rows(model, image_size):
    return {row["name"]: row for row in summarise(model, image_size).rows}


class Shared(nn.Module):
    """One dense layer used twice, one never, and a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(7))
        self.dense = nn.Linear(12, 12)
        self.unused = nn.Linear(2, 3)

    def forward(self, x):
        return self.dense(self.dense(x.flatten(1))) * self.scale.sum()


def test_multiplications_of_a_convolution_are_counted_by_hand():
    model = nn.Sequential()
    model.add_module("conv", nn.Conv2d(3, 8, 5, stride=2, padding=2))
    model.add_module("grouped", nn.Conv2d(8, 8, (3, 1), groups=4, padding=(1, 0), bias=False))
    rows = _rows(model, 10)
    assert rows["conv"] == {
        "name": "conv", "kind": "conv", "detail": "5x5, stride 2", "output_shape": [8, 5, 5],
        "parameters": 608, "trainable": 608, "multiplications": 8 * 5 * 5 * 3 * 25,
    }  # fmt: skip
    assert rows["grouped"]["multiplications"] == 8 * 25 * 2 * 3
    assert rows["grouped"]["parameters"] == 8 * 2 * 3
    assert rows["grouped"]["detail"] == "3x1, 4 groups"


def test_a_dense_layer_over_positions_counts_each_position():
    model = nn.Linear(6, 5)  # over the last axis: 3 channels of 6 rows
    summary = summarise(model, 6)
    assert summary.rows[0]["output_shape"] == [3, 6, 5]
    assert summary.multiplications == 3 * 6 * 6 * 5


def test_batch_norm_has_four_parameters_a_channel_two_of_them_trainable():
    rows = _rows(nn.Sequential(nn.BatchNorm2d(3)), 4)
    assert (rows["0"]["parameters"], rows["0"]["trainable"]) == (12, 6)


def test_frozen_parameters_are_counted_but_not_as_trainable():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(4 * 4, 2))
    model[0].requires_grad_(False)
    summary = summarise(model, 2)
    assert (summary.parameters, summary.trainable) == (16 + 34, 34)
    assert summary.rows[0]["trainable"] == 0


def test_fixed_filters_are_counted_but_not_as_trainable():
    summary = summarise(nn.Sequential(Whitening(2), nn.Flatten(), nn.Linear(24, 2)), 2)
    assert (summary.parameters, summary.trainable) == (24 * 12 + 24 + 50, 24 + 50)


def test_a_weight_that_is_computed_from_others_is_not_counted_beside_them():
    model = nn.Sequential(weight_norm(nn.Conv2d(3, 4, 1)), nn.Flatten(), nn.Linear(4 * 4, 2))
    magnitudes = 4
    assert summarise(model, 2).parameters == 16 + magnitudes + 34


def test_a_layer_used_twice_costs_twice_and_weighs_once():
    summary = summarise(Shared(), 2)
    dense = [row for row in summary.rows if row["name"] == "dense"]
    assert [row["parameters"] for row in dense] == [156, 0]
    assert summary.multiplications == 2 * 144
    assert summary.parameters == 156 + 7 + 9


def test_parameters_outside_of_layers_have_a_row_of_their_own():
    row = summarise(Shared(), 2).rows[-1]
    assert (row["name"], row["kind"], row["parameters"]) == ("Shared", "parameters", 7)


def test_the_network_is_left_as_it_was():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(), nn.Flatten(), nn.Linear(48, 2))
    model.train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    chance = torch.get_rng_state()
    summarise(model, 4)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert [module.training for module in model] == [True, False, True, True]
    assert torch.equal(chance, torch.get_rng_state())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(p.grad is None for p in model.parameters())


def test_hooks_are_gone_after_a_network_that_fails():
    model = nn.Sequential(nn.Flatten(), nn.Linear(5, 2))
    with pytest.raises(RuntimeError):
        summarise(model, 4)
    assert not any(module._forward_hooks for module in model.modules())


def test_rows_are_plain_values_that_json_holds():
    rows = summarise(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), 8).rows
    assert json.loads(json.dumps(rows)) == rows


def test_half_precision_networks_get_an_image_of_their_own_kind():
    model = nn.Sequential(nn.Conv2d(3, 4, 3)).to(torch.bfloat16)
    assert summarise(model, 8).rows[0]["output_shape"] == [4, 6, 6]


@pytest.mark.parametrize(
    ("build", "weights"),
    [
        (torchvision.models.resnet18, torchvision.models.ResNet18_Weights.IMAGENET1K_V1),
        (torchvision.models.alexnet, torchvision.models.AlexNet_Weights.IMAGENET1K_V1),
        (torchvision.models.mobilenet_v2, torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1),
    ],
)
def test_known_networks_have_the_size_and_the_cost_that_torchvision_publishes(build, weights):
    with torch.device("meta"):
        model = build()
        summary = summarise(model, 224)
    assert summary.trainable == weights.meta["num_params"]
    assert summary.multiplications / 1e9 == pytest.approx(weights.meta["_ops"], abs=6e-4)
    assert sum(row["parameters"] for row in summary.rows) == summary.parameters == count_parameters(model)[0]
