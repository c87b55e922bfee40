"""Depthwise convolutions leave mixed precision, and nothing else changes."""

import copy

import timm
import torch
from torch import nn

from bakeoff.models.depthwise import widen_depthwise
from bakeoff.models.mobilenet import MobileNet
from bakeoff.models.summary import summarise


def _depthwise(network):
    return [m for m in network.modules() if isinstance(m, nn.Conv2d) and 1 < m.groups == m.in_channels]


def test_results_in_full_precision_stay_as_they_are():
    torch.manual_seed(0)
    plain = MobileNet(10, 0.25).eval()
    wide = copy.deepcopy(plain)
    widen_depthwise(wide)
    images_BCHW = torch.rand(2, 3, 32, 32)
    assert torch.equal(wide(images_BCHW), plain(images_BCHW))
    assert wide.state_dict().keys() == plain.state_dict().keys()
    assert summarise(wide, 32) == summarise(plain, 32)


def test_in_mixed_precision_depthwise_layers_alone_compute_in_float32():
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False))
    widen_depthwise(network)
    seen = []
    for layer in network:
        layer.register_forward_hook(lambda _, given, out: seen.append((given[0].dtype, out.dtype)))
    images_BCHW = torch.rand(2, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        out = network(images_BCHW)
        pointwise = network[0](images_BCHW)
    assert [dtypes[1] for dtypes in seen[:2]] == [torch.bfloat16, torch.bfloat16]
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        half = nn.functional.conv2d(pointwise, network[1].weight, padding=1, groups=8)
        assert torch.equal(network[1](pointwise), half)  # nothing will ask for gradients
    expected = nn.functional.conv2d(pointwise.float(), network[1].weight, padding=1, groups=8)
    assert torch.equal(out, expected.bfloat16())


def test_a_copy_of_a_network_uses_its_own_weights():
    network = timm.create_model(
        "mobilenetv3_small_050", num_classes=4
    )  # its strided ones are timm's own class
    layers = len(_depthwise(network))
    widen_depthwise(network)
    widen_depthwise(network)  # again, as an average of the weights is made from a widened network
    other = copy.deepcopy(network).eval()
    assert len(_depthwise(other)) == layers > 5
    before = other(torch.zeros(1, 3, 32, 32))
    with torch.no_grad():
        for layer in _depthwise(network):
            layer.weight.zero_()
    assert torch.equal(other(torch.zeros(1, 3, 32, 32)), before)
    assert all("InFull" not in type(layer).__name__ for layer in _depthwise(other))
