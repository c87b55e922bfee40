"""Convolutions take their fastest way on a processor, and nothing else changes."""

import copy
import pickle

import pytest
import timm
import torch
from timm.layers import ScaledStdConv2d, create_conv2d
from torch import nn

from bakeoff.models import convolutions
from bakeoff.models.convolutions import hasten_convolutions, plain_convolutions
from bakeoff.models.keras_layers import Conv2dSame
from bakeoff.models.mobilenet import MobileNet
from bakeoff.models.summary import summarise


def _depthwise(network):
    return [m for m in network.modules() if isinstance(m, nn.Conv2d) and 1 < m.groups == m.in_channels]


def test_results_in_full_precision_stay_as_they_are():
    torch.manual_seed(0)
    plain = MobileNet(10, 0.25).eval()
    wide = copy.deepcopy(plain)
    hasten_convolutions(wide)
    images_BCHW = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(wide(images_BCHW), plain(images_BCHW))
    assert wide.state_dict().keys() == plain.state_dict().keys()
    assert summarise(wide, 32) == summarise(plain, 32)


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(6, 10, 1), nn.Conv2d(6, 10, 1, bias=False), Conv2dSame(6, 10, 1)]
)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(1, 1), (2, 4), (9, 1), (10, 1)])
def test_a_1x1_convolution_of_a_small_map_is_the_same_as_a_product(layer, precision, size, monkeypatch):
    quick = copy.deepcopy(layer)
    hasten_convolutions(quick)
    assert isinstance(quick, type(layer))
    assert type(quick).__name__ == type(layer).__name__
    values_BCHW = torch.randn(4, 6, *size).to(memory_format=torch.channels_last)
    calls = []
    linear = nn.functional.linear
    monkeypatch.setattr(convolutions.functional, "linear", lambda *a: calls.append(1) or linear(*a))
    found = []
    for convolution in (layer, quick):
        convolution.zero_grad()
        given_BCHW = values_BCHW.clone(memory_format=torch.preserve_format).requires_grad_()
        with torch.autocast("cpu", precision, enabled=precision == torch.bfloat16):
            out = convolution(given_BCHW)
        out.float().square().sum().backward()
        assert out.dtype == precision
        assert out.is_contiguous(memory_format=torch.channels_last)
        found.append([out, given_BCHW.grad, *(p.grad for p in convolution.parameters())])
    assert len(calls) == (size[0] * size[1] <= convolutions.SMALL_MAP)
    close = {} if precision == torch.float32 else {"rtol": 0.05, "atol": 0.05}
    for ours, torchs in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(ours, torchs, **close)


def test_a_network_may_be_pickled():
    network = MobileNet(3, 0.25).eval()
    hasten_convolutions(network)
    other = pickle.loads(pickle.dumps(network))
    images_BCHW = torch.rand(2, 3, 32, 32)
    assert torch.equal(other(images_BCHW), network(images_BCHW))
    assert [type(m) for m in other.modules()] == [type(m) for m in network.modules()]


def test_only_plain_1x1_convolutions_become_products():
    other = create_conv2d(4, 4, 1, padding="same", stride=2)  # timm's own class
    layers = [
        nn.Conv2d(4, 4, 1, stride=2), nn.Conv2d(4, 4, 1, padding=1), nn.Conv2d(4, 4, 1, groups=2),
        nn.Conv2d(4, 4, 3), ScaledStdConv2d(4, 4, 1), other,
    ]  # fmt: skip
    network = nn.ModuleList(layers)
    kinds = [type(layer) for layer in layers]
    hasten_convolutions(network)
    assert [type(layer) for layer in network] == kinds


@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(6, 10, 3, padding=1), nn.Conv2d(6, 10, 3, padding="same", bias=False), Conv2dSame(6, 10, 3)],
)
@pytest.mark.parametrize(
    ("size", "from_patches"), [((4, 4), 1), ((2, 7), 1), ((8, 8), 1), ((9, 8), 0), ((1, 4), 0)]
)
def test_the_weights_gradient_of_a_3x3_convolution_is_that_of_its_patches(
    layer, size, from_patches, monkeypatch
):
    monkeypatch.setattr(convolutions, "_has_matrix_unit", lambda: True)
    monkeypatch.setattr(convolutions, "PATCHED_IMAGES", 3)  # the last of them are fewer
    calls = []
    gradient = convolutions.weight_gradient
    monkeypatch.setattr(convolutions, "weight_gradient", lambda *a: calls.append(1) or gradient(*a))
    quick = copy.deepcopy(layer)
    hasten_convolutions(quick)
    images_BCHW = torch.randn(7, 6, *size).to(memory_format=torch.channels_last)
    cotangent_BOHW = torch.randn(7, 10, *size).bfloat16()
    found = []
    for convolution in (layer, quick):
        convolution.zero_grad()
        given_BCHW = images_BCHW.clone(memory_format=torch.preserve_format).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            out = convolution(given_BCHW)
        assert out.dtype == torch.bfloat16
        assert out.is_contiguous(memory_format=torch.channels_last)
        out.backward(cotangent_BOHW)
        found.append([out, given_BCHW.grad, *(p.grad for p in convolution.parameters())])
    assert len(calls) == from_patches
    exact = copy.deepcopy(layer).double()
    exact.zero_grad()
    given_BCHW = images_BCHW.bfloat16().double().requires_grad_()
    out = exact(given_BCHW)
    out.backward(cotangent_BOHW.double())
    expected = [out, given_BCHW.grad, *(p.grad for p in exact.parameters())]
    for ours, torchs, exacts in zip(found[1], found[0], expected, strict=True):
        assert ours.dtype == torchs.dtype
        scale = exacts.norm()
        assert (ours - exacts).norm() < 0.01 * scale
        assert (torchs - exacts).norm() < 0.01 * scale


@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, stride=2, padding=1), nn.Conv2d(4, 4, 3, padding=2, dilation=2),
     nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.Conv2d(4, 4, (3, 5), padding=1),
     nn.Conv2d(4, 4, 3, padding=1, groups=2)],
)  # fmt: skip
def test_no_other_convolution_takes_its_gradient_from_patches(layer):
    kind = type(layer)
    hasten_convolutions(layer)
    assert type(layer) is kind


def test_weights_that_are_frozen_have_no_gradient_and_full_precision_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(convolutions, "_has_matrix_unit", lambda: True)
    monkeypatch.setattr(convolutions, "weight_gradient", None)
    layer = nn.Conv2d(4, 5, 3, padding=1)
    hasten_convolutions(layer)
    images_BCHW = torch.randn(2, 4, 6, 6, requires_grad=True)
    layer(images_BCHW).sum().backward()
    assert layer.weight.grad is not None
    layer.requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16):
        layer(images_BCHW).sum().backward()


def test_in_mixed_precision_depthwise_layers_alone_compute_in_float32():
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False))
    hasten_convolutions(network)
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
    hasten_convolutions(network)
    hasten_convolutions(network)  # again, as an average of the weights is made from a widened network
    other = copy.deepcopy(network).eval()
    assert len(_depthwise(other)) == layers > 5
    before = other(torch.zeros(1, 3, 32, 32))
    with torch.no_grad():
        for layer in _depthwise(network):
            layer.weight.zero_()
    assert torch.equal(other(torch.zeros(1, 3, 32, 32)), before)
    assert all(type(layer).__name__ == layer._made_of[1].__name__ for layer in _depthwise(other))
    assert all(convolutions._Front not in layer._made_of[1].__mro__ for layer in _depthwise(other))  # once


def test_hastened_convolutions_become_plain_again():
    network = nn.Sequential(Conv2dSame(4, 4, 3, groups=4), nn.Conv2d(4, 6, 1), nn.Conv2d(6, 6, 3))
    kinds = [type(layer) for layer in network]
    hasten_convolutions(network)
    assert [type(layer) for layer in network][:2] != kinds[:2]
    plain_convolutions(network)
    assert [type(layer) for layer in network] == kinds
