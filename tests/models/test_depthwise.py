"""Depthwise convolutions by other ways than torch's give torch's results."""

import copy
from functools import partial

import pytest
import timm
import torch
from timm.layers.conv2d_same import Conv2dSame as TimmConv2dSame
from torch import nn
from torch.nn import functional

from bakeoff.models import convolutions, depthwise
from bakeoff.models.convolutions import hasten_convolutions
from bakeoff.models.keras_layers import Conv2dSame

CHANNELS = 4


def _layers(kernel, stride):
    """Every class of depthwise layer that is understood, and one that is not."""
    around = tuple(side // 2 for side in kernel)
    plain = partial(nn.Conv2d, CHANNELS, CHANNELS, kernel, stride, around, groups=CHANNELS)
    ours = Conv2dSame(CHANNELS, CHANNELS, 3, groups=CHANNELS)
    ours.kernel_size, ours.stride = kernel, stride
    ours.weight = nn.Parameter(torch.randn(CHANNELS, 1, *kernel))
    timms = TimmConv2dSame(CHANNELS, CHANNELS, kernel, stride, groups=CHANNELS)
    return [plain(), plain(bias=False), plain(padding_mode="reflect"), ours, timms]


def _found(layer, images_BCHW):
    layer.zero_grad()
    given_BCHW = images_BCHW.clone(memory_format=torch.preserve_format).requires_grad_()
    out_BCHW = layer(given_BCHW)
    weighing = torch.arange(out_BCHW.numel(), dtype=torch.float64).reshape(out_BCHW.shape).cos()
    (out_BCHW * weighing.to(out_BCHW)).sum().backward()
    return [out_BCHW, given_BCHW.grad, *(p.grad for p in layer.parameters())]


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (4, 4), (3, 8), (7, 2), (9, 9), (8, 8)])
@pytest.mark.parametrize(
    ("kernel", "stride"),
    [((3, 3), (1, 1)), ((3, 3), (2, 2)), ((5, 5), (1, 1)), ((5, 5), (2, 2)), ((5, 5), (3, 3)),
     ((7, 7), (2, 2)), ((3, 5), (1, 1)), ((5, 3), (2, 1)), ((3, 5), (1, 2)), ((5, 1), (2, 3))],
)  # fmt: skip
def test_every_way_gives_what_torch_gives_in_double_precision(size, kernel, stride):
    torch.manual_seed(0)
    images_BCHW = torch.randn(3, CHANNELS, *size).to(memory_format=torch.channels_last)
    for layer in _layers(kernel, stride):
        if layer.padding_mode == "reflect" and min(size) <= max(kernel) // 2:
            continue
        layer.to(memory_format=torch.channels_last)
        exact = _found(copy.deepcopy(layer).double(), images_BCHW.double())
        hasten_convolutions(layer)
        for ours, torchs in zip(_found(layer, images_BCHW), exact, strict=True):
            torch.testing.assert_close(ours, torchs.float(), rtol=1e-5, atol=1e-5)
            assert ours.dtype == torch.float32
        # As torch has it: the buckets of several processes ask for it.
        assert layer.weight.grad.stride() == layer.weight.stride()


def test_in_mixed_precision_an_odd_pixel_and_a_small_map_are_computed_in_float32():
    torch.manual_seed(0)
    images_BCHW = torch.randn(3, CHANNELS, 2, 2)
    layer = TimmConv2dSame(CHANNELS, CHANNELS, 3, 2, groups=CHANNELS)
    exact = _found(copy.deepcopy(layer).double(), images_BCHW.double())
    hasten_convolutions(layer)
    with torch.autocast("cpu", torch.bfloat16):
        found = _found(layer, images_BCHW)
    assert [tensor.dtype for tensor in found] == [torch.bfloat16, *[torch.float32] * 3]
    for ours, torchs in zip(found, exact, strict=True):
        torch.testing.assert_close(ours.float(), torchs.float(), rtol=1e-2, atol=1e-2)


def test_without_gradients_bits_are_those_with_them():
    layer = TimmConv2dSame(CHANNELS, CHANNELS, 5, 2, groups=CHANNELS)
    plain = copy.deepcopy(layer)
    hasten_convolutions(layer)
    images_BCHW = torch.randn(2, CHANNELS, 8, 8)
    with torch.no_grad():
        alone = layer(images_BCHW)
    assert torch.equal(alone, layer(images_BCHW))
    torch.testing.assert_close(alone, plain(images_BCHW))
    assert layer(images_BCHW[0]).shape == (CHANNELS, 4, 4)  # torch takes an image by itself, too


def test_the_gradient_by_taps_is_asked_for_where_the_map_is_smaller_than_the_kernel(monkeypatch):
    calls = []
    gradient = depthwise.weight_gradient
    monkeypatch.setattr(depthwise, "weight_gradient", lambda *a: calls.append(1) or gradient(*a))
    layer = nn.Conv2d(CHANNELS, CHANNELS, 5, padding=2, groups=CHANNELS)
    hasten_convolutions(layer)
    for size, expected in [((4, 4), 1), ((5, 4), 2), ((5, 5), 2), ((8, 8), 2)]:
        layer(torch.rand(2, CHANNELS, *size)).sum().backward()
        assert len(calls) == expected
    layer.weight.requires_grad_(False)  # a frozen kernel has no gradient to make
    layer(torch.rand(2, CHANNELS, 3, 3).requires_grad_()).sum().backward()
    assert len(calls) == 2


@pytest.mark.parametrize("layer", [Conv2dSame(6, 6, 3, 2, groups=6), TimmConv2dSame(6, 6, 3, 2, groups=6)])
def test_images_are_not_copied_into_a_frame(layer, monkeypatch):
    padded = []
    pad = functional.pad
    monkeypatch.setattr(
        nn.functional, "pad", lambda given, *a, **k: padded.append(tuple(given.shape)) or pad(given, *a, **k)
    )
    layer(torch.rand(2, 6, 8, 8))
    assert padded == [(2, 6, 8, 8)]
    padded.clear()
    hasten_convolutions(layer)
    layer(torch.rand(2, 6, 8, 8))
    assert padded == [(6, 1, 3, 3)]


def test_a_pretrained_network_has_the_same_gradients():
    torch.manual_seed(0)
    plain = timm.create_model("tf_mobilenetv3_small_075", num_classes=3)
    quick = copy.deepcopy(plain)
    hasten_convolutions(quick)
    assert sum(isinstance(m, convolutions._ByChannel) for m in quick.modules()) > 5
    images_BCHW = torch.rand(4, 3, 48, 48)
    found = []
    for network in (plain, quick):
        network(images_BCHW).square().sum().backward()
        found.append([p.grad for p in network.parameters()])
    for ours, torchs in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-3, atol=1e-4)


def test_layers_that_do_more_are_left_alone():
    several = nn.Conv2d(4, 8, 3, padding=1, groups=4)  # two kernels a channel
    spread = nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4)
    for layer in (several, spread):
        assert depthwise.borders(layer, nn.Conv2d, 8, 8) is None
        expected = layer(torch.ones(1, 4, 8, 8))
        hasten_convolutions(layer)
        assert isinstance(layer, convolutions._ByChannel)
        assert torch.equal(layer(torch.ones(1, 4, 8, 8)), expected)
