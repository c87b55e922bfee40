"""A layer table of any network, measured with one image: shapes, parameters, multiplications.

Counted are the multiply-accumulates of convolutions and dense layers, which make up
nearly all of an image's cost; attention's products of activations are not among them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bakeoff.models.keras_layers import GlobalAveragePool, MaxPool2dSame
from bakeoff.models.modes import evaluating

Row = dict[str, Any]  # name, kind, detail, output_shape, parameters, trainable, multiplications

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.ELU, nn.Sigmoid, nn.Tanh,
                nn.Hardswish, nn.Hardsigmoid, nn.Mish, nn.PReLU, nn.Softmax)  # fmt: skip
_KINDS: tuple[tuple[str, tuple[type[nn.Module], ...]], ...] = (
    ("conv", _CONVS),
    ("dense", (nn.Linear,)),
    ("norm", (*_NORMS, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm)),
    ("pool", (MaxPool2dSame, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d,
              GlobalAveragePool)),
    ("activation", _ACTIVATIONS),
    ("dropout", (nn.Dropout, nn.Dropout2d)),
    ("flatten", (nn.Flatten,)),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a network is, layer by layer in order of computation, and in all."""

    rows: list[Row]  # plain values, ready for JSON
    parameters: int  # as Keras counts: statistics of batch normalisation included
    trainable: int
    multiplications: int  # multiply-accumulates for one image, convolutions and dense layers


def summarise(model: nn.Module, image_size: int) -> Summary:
    """Send one black image through a network in evaluation mode, and note each layer.

    The network is afterwards as it was. On torch's "meta" device nothing is computed.

    Args:
        model: Takes images_BCHW of three channels.
        image_size: Rows and columns, pixels.

    Returns:
        Rows in order of computation. A layer used twice has two rows, and its
        parameters in the first; they count once in the totals.
    """
    rows: list[Row] = []
    seen: set[int] = set()
    hooks = [
        module.register_forward_hook(_noting(name, rows, seen))
        for name, module in model.named_modules()
        if not _has_parts(module) or next(module.parameters(recurse=False), None) is not None
    ]
    first = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    image_BCHW = torch.zeros(1, 3, image_size, image_size, device=first.device, dtype=first.dtype)
    try:
        with evaluating(model), torch.no_grad():
            model(image_BCHW)
    finally:
        for hook in hooks:
            hook.remove()
    parameters, trainable = count_parameters(model)
    return Summary(
        rows=rows,
        parameters=parameters,
        trainable=trainable,
        multiplications=sum(row["multiplications"] for row in rows),
    )


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Count a network's parameters as Keras does: all (statistics of batch norm included), trainable."""
    tensors = {id(t): t for module in model.modules() for t in _own(module)}
    return (
        sum(t.numel() for t in tensors.values()),
        sum(t.numel() for t in tensors.values() if t.requires_grad),
    )


def _own(module: nn.Module) -> list[Tensor]:
    """Return what a module itself adds to the count of parameters."""
    tensors: list[Tensor] = list(module.parameters(recurse=False))
    if isinstance(module, _NORMS):
        tensors += [t for t in (module.running_mean, module.running_var) if t is not None]
    fixed = dict(module.named_buffers(recurse=False)).get("weight")  # for good, as a whitening's
    return tensors if fixed is None else [*tensors, fixed]


def _noting(name: str, rows: list[Row], seen: set[int]) -> Callable[[nn.Module, Any, Any], None]:
    """Make the hook that appends a module's row."""

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        given, made = _first_tensor(inputs), _first_tensor(output)
        if made is None:
            return
        new = [t for t in _own(module) if id(t) not in seen]
        seen.update(id(t) for t in new)
        rows.append(
            {
                "name": name or type(module).__name__,
                "kind": "parameters" if _has_noted_parts(module, name, rows) else _kind(module),
                "detail": _detail(module),
                "output_shape": list(made.shape[1:]),
                "parameters": sum(t.numel() for t in new),
                "trainable": sum(t.numel() for t in new if t.requires_grad),
                "multiplications": 0 if given is None else _multiplications(module, given, made),
            }
        )

    return note


def _first_tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return next((t for t in map(_first_tensor, value) if t is not None), None)
    return None


def _has_noted_parts(module: nn.Module, name: str, rows: list[Row]) -> bool:
    """Tell whether a module with parameters of its own has its layers in the table already."""
    return _has_parts(module) and any(row["name"].startswith(f"{name}." if name else "") for row in rows)


def _has_parts(module: nn.Module) -> bool:
    return next(module.children(), None) is not None


def _kind(module: nn.Module) -> str:
    for kind, types in _KINDS:
        if isinstance(module, types):
            return kind
    return type(module).__name__.lower()


def _detail(module: nn.Module) -> str:
    """Say the window and the stride, as people do: ``3x3, stride 2``; of an activation, which one."""
    if isinstance(module, _ACTIVATIONS):
        return type(module).__name__.lower()
    kernel, stride = getattr(module, "kernel_size", None), getattr(module, "stride", None)
    if kernel is None:
        return ""
    window = "x".join(map(str, kernel)) if isinstance(kernel, tuple) else f"{kernel}x{kernel}"
    step = max(stride) if isinstance(stride, tuple) else (stride or 1)
    groups = getattr(module, "groups", 1)
    parts = [window, f"stride {step}" if step != 1 else "", f"{groups} groups" if groups != 1 else ""]
    return ", ".join(part for part in parts if part)


def _multiplications(module: nn.Module, given: Tensor, made: Tensor) -> int:
    """Count the multiply-accumulates of a convolution or dense layer."""
    if isinstance(module, _CONVS):
        return made.numel() * (module.in_channels // module.groups) * math.prod(module.kernel_size)
    if isinstance(module, nn.ConvTranspose2d):
        return given.numel() * (module.out_channels // module.groups) * math.prod(module.kernel_size)
    if isinstance(module, nn.Linear):
        return made.numel() * module.in_features
    return 0
