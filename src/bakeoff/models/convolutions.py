"""Convolutions computed in the way that is fastest on a processor; weights, names and counts stay.

oneDNN, as it comes with torch 2.14, is slow at two kinds (batch of 64, 2026-11-23 and 24, AMD
EPYC with avx512_bf16; docs/findings.md has the tables):

- The gradients of a depthwise convolution in bfloat16 take up to eighty times as long as in
  float32. Such layers leave the mixed precision around them; they hold hardly any of a network's
  work. How they are computed in float32 is in `depthwise`.
- A 1x1 convolution of a map of few pixels takes up to five times as long as the matrix product
  that it is.

MobileNet's step at 32 pixels takes less than half of its time with both. On processors whose
matrix unit multiplies bfloat16 (AMX; Intel Xeon, 2026-11-27) there is a third:

- The gradient of a 3x3 convolution's weights takes three to five times as long on maps of at most
  8 x 8 pixels as that of its images, and up to eight times as long as by matrix products of patches.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from bakeoff.models.depthwise import borders, convolve, is_depthwise
from bakeoff.models.keras_layers import Conv2dSame

SMALL_MAP = 9  # pixels of a map, up to which a matrix product is the faster one
PATCHED_MAP = 64  # pixels of a map, up to which the gradient of 3x3 weights is a product of patches
PATCHED_IMAGES = 64  # whose patches are made at a time, so that they stay in the processor's cache


class _Front(nn.Module):
    """Comes before a convolution's class; pickled as that class and made anew from it."""

    # The front, and the class that it is put before.
    _made_of: ClassVar[tuple[type[nn.Module], type[nn.Module]]]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Name what the derived class is made of: it has no name of its own."""
        return _revived, self._made_of, self.__dict__


class _ByChannel(_Front):
    """Put before a depthwise convolution's class: computed as `depthwise` does, in float32.

    In mixed precision its inputs become float32, and its output theirs; only where gradients will be
    asked for, as forward alone is fast in either.
    """

    weight: Tensor
    bias: Tensor | None
    stride: tuple[int, int]

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Convolve."""
        parent: Any = super()
        moves = images_BCHW.requires_grad or any(p.requires_grad for p in self.parameters())
        mixed = torch.is_autocast_enabled("cpu")
        forward_alone = not (torch.is_grad_enabled() and moves)
        if images_BCHW.device.type != "cpu" or images_BCHW.ndim != 4 or (mixed and forward_alone):
            return parent.forward(images_BCHW)  # type: ignore[no-any-return]
        around = borders(cast("nn.Conv2d", self), self._made_of[1], *images_BCHW.shape[-2:])
        with torch.autocast("cpu", enabled=False):
            full_BCHW = images_BCHW.float() if mixed else images_BCHW
            found: Tensor = (
                parent.forward(full_BCHW)
                if around is None
                else convolve(full_BCHW, self.weight, self.bias, self.stride, around)
            )
        return found.to(torch.get_autocast_dtype("cpu")) if mixed else found


class _AsProduct(_Front):
    """Put before a 1x1 convolution's class: small maps are multiplied with its weights as rows of pixels."""

    weight: Tensor
    bias: Tensor | None

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Convolve."""
        parent: Any = super()
        if images_BCHW.device.type != "cpu" or images_BCHW.shape[-2:].numel() > SMALL_MAP:
            return parent.forward(images_BCHW)  # type: ignore[no-any-return]
        rows_BHWC = images_BCHW.permute(0, 2, 3, 1)
        return functional.linear(rows_BHWC, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


class _WeightsFromPatches(_Front):
    """Put before a 3x3 convolution's class: the gradient of its weights is a product of patches.

    Only in bfloat16, on small maps, where the processor has a unit for matrices.
    """

    weight: Tensor
    bias: Tensor | None

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Convolve."""
        parent: Any = super()
        pixels = images_BCHW.shape[-2:].numel()
        asked = torch.is_grad_enabled() and self.weight.requires_grad and min(images_BCHW.shape[-2:]) > 1
        if not asked or pixels > PATCHED_MAP or images_BCHW.device.type != "cpu" or not _in_bfloat16():
            return parent.forward(images_BCHW)  # type: ignore[no-any-return]
        found: Tensor = _Patched.apply(images_BCHW.bfloat16(), self.weight, self.bias)
        return found


class _Patched(torch.autograd.Function):
    """A 3x3 convolution of stride 1, padded by a pixel, in bfloat16; gradients of its weights in float32."""

    @staticmethod
    def forward(ctx: Any, images_BCHW: Tensor, weight_OIHW: Tensor, bias_O: Tensor | None) -> Tensor:
        weight = weight_OIHW.to(torch.bfloat16, memory_format=torch.channels_last)
        bias = None if bias_O is None else bias_O.bfloat16()
        ctx.save_for_backward(images_BCHW, weight)
        ctx.biased = bias_O is not None
        return functional.conv2d(images_BCHW, weight, bias, padding=1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        (grad_BOHW,) = grads
        images_BCHW, weight = ctx.saved_tensors
        before = None
        if ctx.needs_input_grad[0]:
            before = torch.ops.aten.convolution_backward(
                grad_BOHW, images_BCHW, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1,
                [True, False, False],
            )[0]  # fmt: skip
        bias = grad_BOHW.sum((0, 2, 3), dtype=torch.float32) if ctx.biased else None
        return before, weight_gradient(images_BCHW, grad_BOHW), bias


def weight_gradient(images_BCHW: Tensor, grad_BOHW: Tensor) -> Tensor:
    """Compute the gradient of a 3x3 convolution's weights from patches of its images.

    Args:
        images_BCHW: What was convolved, with stride 1 and a border of one pixel of zeros.
        grad_BOHW: The gradient of its outputs, of the same type.

    Returns:
        float32 (O, C, 3, 3); products are summed in the type's own way within `PATCHED_IMAGES`
        images, and in float32 over them.
    """
    images, channels, rows, columns = images_BCHW.shape
    outputs, count = grad_BOHW.shape[1], min(PATCHED_IMAGES, images)
    images_BHWC = images_BCHW.permute(0, 2, 3, 1)
    grad_BPO = grad_BOHW.permute(0, 2, 3, 1).reshape(images, rows * columns, outputs)
    padded = images_BCHW.new_zeros(count, rows + 2, columns + 2, channels)
    # Three neighbours of a row lie side by side in memory: nine copies of an image are three.
    shape, strides = (count, rows, columns, 3, 3 * channels), padded.stride()
    windows = padded.as_strided(shape, (strides[0], strides[1], strides[2], strides[1], 1))
    patches = images_BCHW.new_empty(shape)
    total = grad_BOHW.new_zeros(outputs, 9 * channels, dtype=torch.float32)
    for start in range(0, images, count):
        here = min(count, images - start)
        padded[:here, 1:-1, 1:-1] = images_BHWC[start : start + here]
        patches[:here].copy_(windows[:here])
        rows_RO = grad_BPO[start : start + here].reshape(-1, outputs)
        total += rows_RO.t() @ patches[:here].view(len(rows_RO), -1)
    return total.view(outputs, 3, 3, channels).permute(0, 3, 1, 2)


def _in_bfloat16() -> bool:
    """Tell whether mixed precision is on and products of bfloat16 have a unit of their own."""
    mixed = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return mixed and _has_matrix_unit()


@cache
def _has_matrix_unit() -> bool:
    ask = getattr(torch.cpu, "get_capabilities", None)  # newer than the oldest torch that serves
    return ask is not None and bool(ask().get("amx_bf16", False))


_CLASSES: dict[tuple[type[nn.Module], type[nn.Module]], type[nn.Module]] = {}


def _derived(front: type[nn.Module], kind: type[nn.Module]) -> type[nn.Module]:
    """Derive the class of such a convolution, once; it keeps its name."""
    if (front, kind) not in _CLASSES:
        body = {"__module__": kind.__module__, "_made_of": (front, kind)}
        _CLASSES[front, kind] = type(kind.__name__, (front, kind), body)
    return _CLASSES[front, kind]


def _revived(front: type[nn.Module], kind: type[nn.Module]) -> nn.Module:
    """Make an empty convolution of a derived class, for its contents to come."""
    derived = _derived(front, kind)
    empty: nn.Module = derived.__new__(derived)
    return empty


def _front(layer: nn.Module) -> type[nn.Module] | None:
    """Tell what to put before a layer's class; a layer that has it already gets nothing."""
    if not isinstance(layer, nn.Conv2d) or isinstance(layer, _Front):
        return None
    if is_depthwise(layer):
        return _ByChannel
    ordinary = type(layer) in (nn.Conv2d, Conv2dSame)  # other classes may do more than convolve
    if not ordinary or (layer.stride, layer.groups, layer.dilation) != ((1, 1), 1, (1, 1)):
        return None
    if layer.kernel_size == (1, 1) and layer.padding in ((0, 0), "same", "valid"):
        return _AsProduct
    if layer.kernel_size != (3, 3) or layer.padding_mode != "zeros":
        return None
    # Conv2dSame pads as its images need; with stride 1, by a pixel.
    bordered = isinstance(layer, Conv2dSame) or layer.padding in ((1, 1), "same")
    return _WeightsFromPatches if bordered else None


def hasten_convolutions(network: nn.Module) -> None:
    """Let every convolution of a network compute in its fastest way on a processor.

    Args:
        network: Changed in place; weights and names stay, results up to the last bits.
    """
    for layer in network.modules():
        front = _front(layer)
        if front is not None:
            layer.__class__ = _derived(front, type(layer))  # an own forward would not survive a copy


def plain_convolutions(network: nn.Module) -> None:
    """Undo `hasten_convolutions`: for what reads a network's operations instead of timing them.

    Args:
        network: Changed in place; weights and names stay, results up to the last bits.
    """
    for layer in network.modules():
        if isinstance(layer, _Front):
            layer.__class__ = cast("type[_Front]", layer._made_of[1])
