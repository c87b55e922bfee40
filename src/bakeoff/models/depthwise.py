"""Depthwise convolutions in float32, without what a processor is slow at.

oneDNN, as it comes with torch 2.14, computes most of them at the speed of memory. Two things it does not, on
an AMD EPYC with AVX2 (2026-11-28, `python -m benchmarks.depthwise`, docs/findings.md; not measured with
AVX-512):

- Where a map has fewer rows or columns than the kernel, the gradient of the weights takes up to a hundred
  times as long as that of the images. Here it is made tap by tap, from the pixels that each tap meets.
- "same" padding with a stride puts an odd pixel behind the map, which a convolution's own padding cannot
  say, so that the images are copied into a larger frame. Here the kernel gets a row and a column of zeros
  in front instead, and the padding is even; the gradient of the weights alone needs the frame.

Shape letters: B images, C channels, H rows, W columns of images; h rows, w columns of what comes out;
K rows, L columns of a kernel.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bakeoff.models.keras_layers import Conv2dSame, same_padding

Border = tuple[int, int]  # pixels of zeros before and behind an axis


def is_depthwise(layer: nn.Module) -> bool:
    """Tell whether a layer convolves each of its channels by itself."""
    return isinstance(layer, nn.Conv2d) and 1 < layer.groups == layer.in_channels


def borders(layer: nn.Conv2d, kind: type[nn.Module], rows: int, columns: int) -> tuple[Border, Border] | None:
    """Find the zeros that a depthwise layer puts around its images.

    Args:
        layer: A depthwise convolution.
        kind: Its class, as whose forward it computes.
        rows: H of its images.
        columns: W of them.

    Returns:
        Before and behind the rows, before and behind the columns; None for a layer that does more, or
        other things, than `convolve`.
    """
    alone = layer.out_channels == layer.in_channels and layer.dilation == (1, 1)
    if not alone or layer.padding_mode != "zeros":
        return None
    # timm's is known by its name: to import it takes as long as torch.
    if kind is Conv2dSame or (kind.__name__ == "Conv2dSame" and kind.__module__.startswith("timm.")):
        (height, width), (down, across) = layer.kernel_size, layer.stride
        return same_padding(rows, height, down), same_padding(columns, width, across)
    if kind is not nn.Conv2d or isinstance(layer.padding, str):
        return None
    above, beside = layer.padding
    return (above, above), (beside, beside)


def convolve(
    images_BCHW: Tensor,
    weight_C1KL: Tensor,
    bias_C: Tensor | None,
    stride: tuple[int, int],
    around: tuple[Border, Border],
) -> Tensor:
    """Convolve each channel with its own kernel.

    Args:
        images_BCHW: Of the type of the weights.
        weight_C1KL: The kernels.
        bias_C: Added to each channel.
        stride: Of rows and columns.
        around: Zeros before and behind the rows and the columns; at most as many before as behind.

    Returns:
        (B, C, h, w), as torch's convolution gives it.
    """
    if weight_C1KL.requires_grad and (_is_slow(images_BCHW, weight_C1KL) or _is_uneven(around)):
        found: Tensor = _Depthwise.apply(images_BCHW, weight_C1KL, bias_C, stride, around)
        return found
    return _evened(images_BCHW, weight_C1KL, bias_C, stride, around)


def _is_slow(images_BCHW: Tensor, weight_C1KL: Tensor) -> bool:
    """Tell whether oneDNN has no quick way to the weights' gradient: the map is smaller than the kernel."""
    rows, columns = images_BCHW.shape[-2:]
    height, width = weight_C1KL.shape[-2:]
    return rows < height or columns < width


def _is_uneven(around: tuple[Border, Border]) -> bool:
    """Tell whether there are more zeros behind an axis than before it."""
    return any(before != behind for before, behind in around)


def weight_gradient(
    images_BCHW: Tensor,
    grad_BChw: Tensor,
    weight_C1KL: Tensor,
    stride: tuple[int, int],
    around: tuple[Border, Border],
) -> Tensor:
    """Compute the gradient of the kernels tap by tap.

    Args:
        images_BCHW: What was convolved.
        grad_BChw: The gradient of what came out.
        weight_C1KL: The kernels; only their shape, type and layout matter.
        stride: Of rows and columns.
        around: Zeros before and behind the rows and the columns.

    Returns:
        (C, 1, K, L), in the layout of the kernels.
    """
    images_BHWC, grad_BhwC = images_BCHW.permute(0, 2, 3, 1), grad_BChw.permute(0, 2, 3, 1)
    found_C1KL = torch.empty_like(weight_C1KL)
    for row in range(weight_C1KL.shape[2]):
        here, there = _meeting(row, images_BHWC.shape[1], grad_BhwC.shape[1], stride[0], around[0][0])
        for column in range(weight_C1KL.shape[3]):
            left, right = _meeting(column, images_BHWC.shape[2], grad_BhwC.shape[2], stride[1], around[1][0])
            met_BhwC = images_BHWC[:, here, left]
            found_C1KL[:, 0, row, column] = (met_BhwC * grad_BhwC[:, there, right]).sum((0, 1, 2))
    return found_C1KL


def _meeting(tap: int, pixels: int, positions: int, stride: int, before: int) -> tuple[slice, slice]:
    """Find the pixels that a tap meets along an axis, and the positions that it meets them from."""
    start = tap - before  # the pixel that it meets from the first position
    first = max(0, -(start // stride))
    last = min(positions - 1, (pixels - 1 - start) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    return slice(start + stride * first, start + stride * last + 1, stride), slice(first, last + 1)


def _evened(
    images_BCHW: Tensor,
    weight_C1KL: Tensor,
    bias_C: Tensor | None,
    stride: tuple[int, int],
    around: tuple[Border, Border],
) -> Tensor:
    """Convolve with as many zeros before as behind: those that are missing in front, the kernel has."""
    (_, bottom), (_, right) = around
    return functional.conv2d(
        images_BCHW, _widened(weight_C1KL, around), bias_C, stride, (bottom, right), 1, len(weight_C1KL)
    )


def _widened(weight_C1KL: Tensor, around: tuple[Border, Border]) -> Tensor:
    """Give a kernel rows and columns of zeros in front, as many as there are missing around the images."""
    (top, bottom), (left, right) = around
    return (
        functional.pad(weight_C1KL, (right - left, 0, bottom - top, 0)) if _is_uneven(around) else weight_C1KL
    )


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution whose weights' gradient is computed in the quickest way that is known."""

    @staticmethod
    def forward(
        ctx: Any,
        images_BCHW: Tensor,
        weight_C1KL: Tensor,
        bias_C: Tensor | None,
        stride: tuple[int, int],
        around: tuple[Border, Border],
    ) -> Tensor:
        ctx.save_for_backward(images_BCHW, weight_C1KL)
        ctx.biased, ctx.stride, ctx.around = bias_C is not None, stride, around
        return _evened(images_BCHW, weight_C1KL, bias_C, stride, around)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None, None]:
        (grad_BChw,) = grads
        images_BCHW, weight_C1KL = ctx.saved_tensors
        stride, around = ctx.stride, ctx.around
        before = None
        if ctx.needs_input_grad[0]:
            (_, bottom), (_, right) = around
            wide = _widened(weight_C1KL, around)
            before = _torchs(grad_BChw, images_BCHW, wide, stride, (bottom, right), [True, False, False])[0]
        if _is_slow(images_BCHW, weight_C1KL):
            weight = weight_gradient(images_BCHW, grad_BChw, weight_C1KL, stride, around)
        else:  # a kernel with zeros in front would be of a size that oneDNN is slower at
            framed = functional.pad(images_BCHW, (*around[1], *around[0]))
            weight = _torchs(grad_BChw, framed, weight_C1KL, stride, (0, 0), [False, True, False])[1]
        return before, weight, grad_BChw.sum((0, 2, 3)) if ctx.biased else None, None, None


def _torchs(
    grad_BChw: Tensor,
    images_BCHW: Tensor,
    weight_C1KL: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    """Let torch compute the gradients of images, weights and bias, those that are wanted."""
    found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        grad_BChw, images_BCHW, weight_C1KL, None, stride, padding, [1, 1], False, [0, 0], len(weight_C1KL),
        wanted,
    )  # fmt: skip
    return found
