"""Convolutions computed in the way that is fastest on a processor; weights, names and counts stay.

oneDNN, as it comes with torch 2.14, is slow at two kinds (batch of 64, 2026-11-23 and 24, AMD
EPYC with avx512_bf16; docs/findings.md has the tables):

- The gradients of a depthwise convolution in bfloat16 take up to eighty times as long as in
  float32. Such layers leave the mixed precision around them; they hold hardly any of a network's
  work.
- A 1x1 convolution of a map of few pixels takes up to five times as long as the matrix product
  that it is.

MobileNet's step at 32 pixels takes less than half of its time with both.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bakeoff.models.keras_layers import Conv2dSame

SMALL_MAP = 9  # pixels of a map, up to which a matrix product is the faster one


class _Front(nn.Module):
    """Comes before a convolution's class; pickled as that class and made anew from it."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Name what the derived class is made of: it has no name of its own."""
        return _revived, type(self).__bases__, self.__dict__


class _InFull(_Front):
    """Put before a depthwise convolution's class: its inputs become float32, and its output theirs.

    Only where gradients will be asked for: forward alone is fast in either.
    """

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Convolve."""
        parent: Any = super()
        moves = images_BCHW.requires_grad or any(p.requires_grad for p in self.parameters())
        backward = torch.is_grad_enabled() and moves
        if not backward or images_BCHW.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return parent.forward(images_BCHW)  # type: ignore[no-any-return]
        with torch.autocast("cpu", enabled=False):
            found: Tensor = parent.forward(images_BCHW.float())
        return found.to(torch.get_autocast_dtype("cpu"))


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


_CLASSES: dict[tuple[type[nn.Module], type[nn.Module]], type[nn.Module]] = {}


def _derived(front: type[nn.Module], kind: type[nn.Module]) -> type[nn.Module]:
    """Derive the class of such a convolution, once; it keeps its name."""
    if (front, kind) not in _CLASSES:
        _CLASSES[front, kind] = type(kind.__name__, (front, kind), {"__module__": kind.__module__})
    return _CLASSES[front, kind]


def _revived(front: type[nn.Module], kind: type[nn.Module]) -> nn.Module:
    """Make an empty convolution of a derived class, for its contents to come."""
    derived = _derived(front, kind)
    empty: nn.Module = derived.__new__(derived)
    return empty


def _front(layer: nn.Module) -> type[nn.Module] | None:
    """Tell what to put before a layer's class; a layer that has it already gets nothing."""
    if not isinstance(layer, nn.Conv2d) or isinstance(layer, _InFull | _AsProduct):
        return None
    if 1 < layer.groups == layer.in_channels:
        return _InFull
    ordinary = type(layer) in (nn.Conv2d, Conv2dSame)  # other classes may do more than convolve
    pixelwise = (layer.kernel_size, layer.stride, layer.groups) == ((1, 1), (1, 1), 1)
    return _AsProduct if ordinary and pixelwise and layer.padding in ((0, 0), "same", "valid") else None


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
            layer.__class__ = type(layer).__bases__[1]
