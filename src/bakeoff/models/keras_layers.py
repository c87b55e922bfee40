"""Layers that compute and start as Keras's do, so that weights can be exchanged.

What differs between the two libraries, and is bridged here: where "same" padding puts
an odd pixel, how weights start, the constants of batch normalisation, and the order of
axes in stored weights.

One difference stays. For inference Keras keeps a moving average of the biased variance
of the batches, torch of the unbiased one, larger by n / (n - 1) for n values in a
channel: 1.6 % after a dense layer with a batch of 64, far less after a convolution.

Shape letters: B images, C channels, H rows, W columns, O outputs, P positions (rows by
columns).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bakeoff.errors import ConfigError


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Count the pixels that TensorFlow's "same" adds before and after an axis.

    The output then has ceil(size / stride) positions. An odd pixel goes after, which
    torch's own `padding` cannot say.

    Source:
        TensorFlow, tf.nn.convolution, "SAME" padding.

    >>> same_padding(64, kernel=3, stride=1), same_padding(64, 3, 2), same_padding(65, 3, 2)
    ((1, 1), (0, 1), (1, 1))
    """
    positions = -(-size // stride)
    total = max((positions - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def seeing_taps(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Find the taps of a "same" convolution that meet a pixel anywhere, as a half-open range.

    On maps smaller than the kernel the outer taps meet padding only.

    >>> seeing_taps(64, kernel=3, stride=2), seeing_taps(2, 3, 2), seeing_taps(1, 3, 2)
    ((0, 3), (0, 2), (1, 2))
    """
    before, _ = same_padding(size, kernel, stride)
    positions = -(-size // stride)
    return max(0, before - stride * (positions - 1)), min(kernel, before + size)


class Conv2dSame(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding and Keras's start: Glorot uniform, zero bias.

    Taps that meet padding only are left out: they add nothing, and oneDNN in torch 2.14
    leaves their gradient uninitialised in bfloat16 (3x3, stride 2, maps of 1x1; seen on
    2026-11-23 on an AMD EPYC with avx512_bf16: infinities in 24 of 60 gradients).
    """

    def __init__(
        self, channels: int, filters: int, kernel: int, stride: int = 1, groups: int = 1, bias: bool = True
    ) -> None:
        super().__init__(channels, filters, kernel, stride, groups=groups, bias=bias)

    def reset_parameters(self) -> None:
        """Draw the weights anew from torch's current generator."""
        _glorot_(self.weight, self.bias)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Convolve; H and W shrink by the stride, rounded up."""
        rows, columns = _paddings(images_BCHW, self.kernel_size, self.stride)
        weight_OIHW = self.weight
        height, width = images_BCHW.shape[-2:]
        top, bottom = seeing_taps(height, self.kernel_size[0], self.stride[0])
        left, right = seeing_taps(width, self.kernel_size[1], self.stride[1])
        if (bottom - top, right - left) != self.kernel_size:
            weight_OIHW = weight_OIHW[:, :, top:bottom, left:right]
            rows = (rows[0] - top, rows[1] - self.kernel_size[0] + bottom)
            columns = (columns[0] - left, columns[1] - self.kernel_size[1] + right)
        padding = (rows[0], columns[0])
        if rows[0] != rows[1] or columns[0] != columns[1]:
            images_BCHW, padding = functional.pad(images_BCHW, (*columns, *rows)), (0, 0)
        return functional.conv2d(
            images_BCHW, weight_OIHW, self.bias, self.stride, padding, self.dilation, self.groups
        )


class MaxPool2dSame(nn.Module):
    """Largest value of each window, with TensorFlow's "same" padding; the border never wins."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel_size = (kernel, kernel)
        self.stride = (stride, stride)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Pool; H and W shrink by the stride, rounded up."""
        rows, columns = _paddings(images_BCHW, self.kernel_size, self.stride)
        padding = (rows[0], columns[0])
        if rows[0] != rows[1] or columns[0] != columns[1]:
            images_BCHW = functional.pad(images_BCHW, (*columns, *rows), value=float("-inf"))
            padding = (0, 0)
        return functional.max_pool2d(images_BCHW, self.kernel_size, self.stride, padding)

    def extra_repr(self) -> str:
        """Name the window and the stride."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}"


class GlobalAveragePool(nn.Module):
    """Mean of each map, maps turned into a vector, as Keras's GlobalAveragePooling2D."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Average over H and W; gives (B, C)."""
        return images_BCHW.mean(dim=(2, 3))


class Dense(nn.Linear):
    """Dense layer with Keras's start: Glorot uniform, zero bias."""

    def reset_parameters(self) -> None:
        """Draw the weights anew from torch's current generator."""
        _glorot_(self.weight, self.bias)


class BatchNorm2dKeras(nn.BatchNorm2d):
    """Batch normalisation of maps with Keras's constants."""

    def __init__(self, channels: int) -> None:
        # Keras's momentum .99 is the share that stays, torch's the share that is replaced.
        super().__init__(channels, eps=1e-3, momentum=0.01)


class BatchNorm1dKeras(nn.BatchNorm1d):
    """Batch normalisation of vectors with Keras's constants."""

    def __init__(self, features: int) -> None:
        super().__init__(features, eps=1e-3, momentum=0.01)


def load_keras_weights(model: nn.Module, weights: Sequence[np.ndarray]) -> None:
    """Copy the weights of a Keras network into a torch network of the same layers.

    Convolutions, dense layers and batch normalisations are filled in the order in which
    the model holds them, which must be the order of the Keras network. The first dense
    layer behind maps reads them flattened as HWC in Keras and as CHW in torch.

    Args:
        model: Holds the layers; changed in place.
        weights: What Keras's `get_weights()` returns.

    Raises:
        ConfigError: There are too many or too few arrays, or one has another shape.
    """
    arrays = list(weights)
    targets = list(_keras_order(model))
    if len(arrays) != len(targets):
        raise ConfigError(f"Keras weights: got {len(arrays)} arrays, expected {len(targets)}")
    with torch.no_grad():
        for position, ((name, tensor, channels), array) in enumerate(zip(targets, arrays, strict=True)):
            moved = _to_torch_axes(array, channels, tuple(tensor.shape))
            if moved.shape != tuple(tensor.shape):
                raise ConfigError(
                    f"Keras weights[{position}]: got shape {array.shape}, "
                    f"expected one that fits {name} {tuple(tensor.shape)}"
                )
            tensor.copy_(torch.from_numpy(np.array(moved, dtype=np.float32)))


def keras_weights(model: nn.Module) -> list[np.ndarray]:
    """Give a network's weights as Keras's `set_weights` takes them: `load_keras_weights`, backwards.

    Args:
        model: Of layers that Keras has, too; left as it is.

    Returns:
        float32 arrays in Keras's order and with its axes.
    """
    return [
        np.ascontiguousarray(_to_keras_axes(tensor.detach().cpu().numpy(), channels))
        for _, tensor, channels in _keras_order(model)
    ]


def _keras_order(model: nn.Module) -> Iterator[tuple[str, Tensor, int]]:
    """Yield name, tensor and channels of the maps flattened before it, as Keras orders weights."""
    channels = 1
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            yield f"{name}.weight", layer.weight, channels if isinstance(layer, nn.Linear) else 1
            if layer.bias is not None:
                yield f"{name}.bias", layer.bias, 1
            channels = layer.out_channels if isinstance(layer, nn.Conv2d) else 1
        elif isinstance(layer, GlobalAveragePool):
            channels = 1  # a vector already
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            for part in ("weight", "bias", "running_mean", "running_var"):
                yield f"{name}.{part}", getattr(layer, part), 1


def _to_torch_axes(array: np.ndarray, channels: int, wanted: tuple[int, ...]) -> np.ndarray:
    """Turn HWIO into OIHW, HWC1 of a depthwise kernel into C1HW, and (inputs, O) into (O, inputs).

    Inputs of a dense layer behind maps go from HWC to CHW.
    """
    if array.ndim == 4 and wanted[0] == array.shape[2] and wanted[1] == array.shape[3] == 1:
        return array.transpose(2, 3, 0, 1)
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    if array.ndim == 2 and array.shape[0] % channels == 0:
        array_PCO = array.reshape(-1, channels, array.shape[1])
        return array_PCO.transpose(2, 1, 0).reshape(array.shape[1], -1)
    return array


def _to_keras_axes(array: np.ndarray, channels: int) -> np.ndarray:
    """Undo `_to_torch_axes`."""
    if array.ndim == 4 and array.shape[1] == 1 and array.shape[0] > 1:
        return array.transpose(2, 3, 0, 1)
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    if array.ndim == 2:
        array_OCP = array.reshape(array.shape[0], channels, -1)
        return array_OCP.transpose(2, 1, 0).reshape(-1, array.shape[0])
    return array


def _glorot_(weight: Tensor, bias: Tensor | None) -> None:
    """Fill in place. Source: Glorot and Bengio, AISTATS 2010, eq. 16."""
    nn.init.xavier_uniform_(weight)
    if bias is not None:
        nn.init.zeros_(bias)


def _paddings(
    images_BCHW: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the padding (before, after) of the rows and of the columns."""
    height, width = images_BCHW.shape[-2:]
    return same_padding(height, kernel[0], stride[0]), same_padding(width, kernel[1], stride[1])
