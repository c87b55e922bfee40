"""Residual networks for small images: counts as published, and torchvision's outputs with its weights."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from bakeoff.models.catalog import build_model
from bakeoff.models.summary import count_parameters


def _build(name, classes=10, image_size=32):
    return build_model(name, classes=classes, image_size=image_size, base_dir=Path())


def _trainable(name, classes):
    with torch.device("meta"):
        return count_parameters(_build(name, classes))[1]


@pytest.mark.parametrize(
    ("name", "classes", "parameters"),
    [
        # torchvision's 11,689,512, 21,797,672 and 25,557,032, without 7,680 of the larger stem
        ("resnet18-64px", 1000, 11_681_832),
        ("resnet34-64px", 1000, 21_789_992),
        ("resnet50-64px", 1000, 25_549_352),
        ("resnet18-64px", 10, 11_173_962),
        ("resnet9", 10, 6_573_120),
        ("wide-resnet16-4", 10, 2_748_890),
        ("wide-resnet28-10", 10, 36_479_194),
    ],
)
def test_parameters_are_as_published(name, classes, parameters):
    assert _trainable(name, classes) == parameters


@pytest.mark.parametrize("depth", [18, 50])
def test_outputs_are_torchvisions_with_its_weights(depth):
    torch.manual_seed(0)
    golden = getattr(torchvision.models, f"resnet{depth}")(num_classes=10)
    golden.conv1, golden.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    for module in golden.modules():
        if isinstance(module, nn.BatchNorm2d):  # of a trained network
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    ours = _build(f"resnet{depth}-64px")
    ours.load_state_dict(golden.state_dict())
    images_BCHW = torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(images_BCHW), golden.eval()(images_BCHW))
        torch.testing.assert_close(ours.train()(images_BCHW), golden.train()(images_BCHW))


@pytest.mark.parametrize("name", ["resnet9", "wide-resnet16-4"])
def test_a_network_takes_any_size_and_learns(name):
    torch.manual_seed(0)
    model = _build(name, classes=3, image_size=16)
    for side in (8, 16, 20):
        assert model(torch.randn(2, 3, side, side)).shape == (2, 3)
    images_BCHW, labels_B = torch.randn(6, 3, 16, 16), torch.tensor([0, 1, 2] * 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    losses = []
    for _ in range(8):
        loss = nn.functional.cross_entropy(model(images_BCHW), labels_B)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_logits_of_resnet9_are_divided_by_eight():
    torch.manual_seed(0)
    model = _build("resnet9").eval()
    images_BCHW = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        before = nn.Sequential(*list(model)[:-1])(images_BCHW)
        torch.testing.assert_close(model(images_BCHW), before / 8)
