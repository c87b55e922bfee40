"""Layers alone against Keras, how they start, and the exchange of weights."""

import numpy as np
import pytest
import torch
from golden_formula import formula
from make_cnn_keras import LAYER_WINDOWS
from torch import nn
from torch.nn import functional

from bakeoff.errors import ConfigError
from bakeoff.models.keras_layers import (
    BatchNorm1dKeras,
    BatchNorm2dKeras,
    Conv2dSame,
    Dense,
    MaxPool2dSame,
    load_keras_weights,
    same_padding,
)


def _run(layer, images_BHWC):
    images_BCHW = torch.from_numpy(images_BHWC).permute(0, 3, 1, 2)
    with torch.no_grad():
        return layer(images_BCHW).permute(0, 2, 3, 1).numpy()


def test_windows_of_every_size_lie_where_keras_puts_them(golden):
    images_BHWC = formula(77, (1, 9, 14, 3))
    assert len(golden["layers"]) == 2 * len(LAYER_WINDOWS)
    for case in golden["layers"]:
        kernel, stride = case["kernel"], case["stride"]
        layer = MaxPool2dSame(kernel, stride)
        if case["layer"] == "conv":
            layer = Conv2dSame(3, 2, kernel, stride)
            weights = [formula(78, (kernel, kernel, 3, 2)), formula(79, (2,))]
            load_keras_weights(layer, weights)
        made_BHWC, where = _run(layer, images_BHWC), f"{case['layer']} {kernel} / {stride}"
        np.testing.assert_allclose(made_BHWC, case["output_BHWC"], atol=2e-5, err_msg=where)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2), (11, 4), (2, 2), (1, 2)])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4), (2, 1), (2, 5), (3, 2)])
def test_maps_smaller_than_the_kernel_give_what_full_padding_gives(height, width, kernel, stride):
    torch.manual_seed(0)
    layer, images_BCHW = Conv2dSame(3, 4, kernel, stride), torch.randn(2, 3, height, width)
    columns, rows = (same_padding(size, kernel, stride) for size in (width, height))
    padded = functional.pad(images_BCHW, (*columns, *rows))
    expected = functional.conv2d(padded, layer.weight, layer.bias, stride)
    torch.testing.assert_close(layer(images_BCHW), expected, atol=1e-5, rtol=1e-5)
    made, wanted = (
        torch.autograd.grad(out.square().sum(), layer.weight)[0] for out in (layer(images_BCHW), expected)
    )
    torch.testing.assert_close(made, wanted, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_taps_that_meet_padding_only_have_a_gradient_of_zero_in_bfloat16(stride):
    layer, images_BCHW = Conv2dSame(128, 128, 3, stride), torch.ones(4, 128, 1, 1)
    for _ in range(20):
        # Memory that was not finite before: what is left uninitialised shows.
        junk = [torch.full((128 * 128 * 9,), float("nan"), dtype=torch.bfloat16) for _ in range(2)]
        del junk
        with torch.autocast("cpu", torch.bfloat16):
            out = layer(images_BCHW)
        (gradient,) = torch.autograd.grad(out.float().sum(), layer.weight)
        assert (gradient[:, :, 1, 1] == 4).all()
        assert gradient.sum() == 128 * 128 * 4


@pytest.mark.parametrize("size", [1, 2, 7, 64, 65])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (11, 4), (2, 2), (1, 3)])
def test_same_padding_leaves_the_size_divided_by_the_stride_rounded_up(size, kernel, stride):
    before, after = same_padding(size, kernel, stride)
    assert after - before in (0, 1)
    assert (size + before + after - kernel) // stride + 1 == -(-size // stride)


def test_the_border_of_a_pool_never_wins_over_negative_values():
    pooled = MaxPool2dSame(2, 2)(torch.full((1, 1, 3, 3), -5.0))
    assert pooled.shape == (1, 1, 2, 2)
    assert (pooled == -5.0).all()


def test_a_pool_leaves_no_trace_of_its_border_in_the_gradient():
    image = torch.randn(1, 1, 3, 3, requires_grad=True)
    MaxPool2dSame(2, 2)(image).sum().backward()
    assert image.grad is not None
    assert image.grad.sum() == 4
    assert torch.isfinite(image.grad).all()


@pytest.mark.parametrize(
    ("layer", "limit"),
    [
        (lambda: Conv2dSame(8, 24, 3), (6 / (9 * 8 + 9 * 24)) ** 0.5),
        (lambda: Dense(300, 60), (6 / 360) ** 0.5),
    ],
)
def test_weights_start_uniformly_within_glorots_limit_and_biases_at_zero(layer, limit):
    torch.manual_seed(0)
    made = layer()
    values = made.weight.detach()
    assert values.abs().max() <= limit
    assert values.abs().max() > 0.98 * limit
    assert values.std().item() == pytest.approx(limit / 3**0.5, rel=0.05)
    assert (made.bias == 0).all()


@pytest.mark.parametrize(("norm", "shape"), [(BatchNorm2dKeras, (4, 3, 5, 6)), (BatchNorm1dKeras, (64, 3))])
def test_batch_norm_keeps_99_percent_of_its_statistics_and_adds_a_thousandth(norm, shape):
    torch.manual_seed(0)
    layer = norm(3)
    values = 3 + 2 * torch.randn(shape)
    axes = [axis for axis in range(len(shape)) if axis != 1]
    out = layer(values)
    mean, variance = values.mean(axes), values.var(axes, correction=0)
    torch.testing.assert_close(layer.running_mean, 0.01 * mean)
    shaped = (1, 3, *[1] * (len(shape) - 2))
    expected = (values - mean.view(shaped)) / (variance.view(shaped) + 1e-3).sqrt()
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)


def test_a_dense_layer_behind_maps_reads_them_in_keras_order():
    model = nn.Sequential(Conv2dSame(3, 2, 1), nn.Flatten(), Dense(2 * 3 * 4, 1))
    kernel = np.arange(24, dtype=np.float32).reshape(24, 1)  # of rows, columns, channels
    load_keras_weights(model, [np.zeros((1, 1, 3, 2)), np.zeros(2), kernel, np.zeros(1)])
    expected_CHW = kernel.reshape(3, 4, 2).transpose(2, 0, 1)
    np.testing.assert_array_equal(model[2].weight.detach().numpy().reshape(2, 3, 4), expected_CHW)


def test_a_layer_without_bias_takes_one_array():
    layer = Conv2dSame(3, 2, 3, bias=False)
    load_keras_weights(layer, [np.ones((3, 3, 3, 2))])
    assert (layer.weight == 1).all()


def test_too_few_weights_are_refused():
    with pytest.raises(ConfigError, match="got 1 arrays, expected 2"):
        load_keras_weights(Dense(3, 2), [np.zeros((3, 2))])


def test_weights_of_another_shape_are_refused_and_the_layer_is_named():
    model = nn.Sequential()
    model.add_module("head", Dense(3, 2))
    expected = r"weights\[0\]: got shape \(4, 2\), expected one that fits head.weight \(2, 3\)"
    with pytest.raises(ConfigError, match=expected):
        load_keras_weights(model, [np.zeros((4, 2)), np.zeros(2)])
