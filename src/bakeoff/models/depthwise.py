"""Depthwise convolutions in full precision where half of it is the slower one.

On a processor oneDNN, as it comes with torch 2.14, takes 14 to 20 ms for the gradients of one
strided depthwise convolution in bfloat16 and less than 1 ms in float32 (batch of 64 at 32 pixels,
2026-11-23, AMD EPYC with avx512_bf16): MobileNet's whole step is 2.6 times as long. Such layers
therefore leave the mixed precision around them; they hold hardly any of a network's work.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class _InFull(nn.Module):
    """Put before a convolution's class: on a processor its inputs become float32, and its output theirs.

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


_CLASSES: dict[type[nn.Module], type[nn.Module]] = {}


def _in_full(kind: type[nn.Module]) -> type[nn.Module]:
    """Derive the class of such a convolution, once; it keeps its name."""
    if kind not in _CLASSES:
        _CLASSES[kind] = type(kind.__name__, (_InFull, kind), {"__module__": kind.__module__})
    return _CLASSES[kind]


def widen_depthwise(network: nn.Module) -> None:
    """Let every depthwise convolution of a network compute in full precision on a processor.

    Args:
        network: Changed in place; weights, names and results in float32 stay as they are.
    """
    for layer in network.modules():
        depthwise = isinstance(layer, nn.Conv2d) and 1 < layer.groups == layer.in_channels
        if depthwise and not isinstance(layer, _InFull):
            layer.__class__ = _in_full(type(layer))  # an own forward in its place would not survive a copy
