"""Batch normalization over the rows of all processes, on a processor as on a GPU.

torch.nn.SyncBatchNorm takes GPU tensors only. Here a mode of torch's functions has every call of
`torch.nn.functional.batch_norm` that would use a batch's statistics use those of all processes' rows,
whatever module makes the call; the network stays what it was.

Source: Ioffe and Szegedy, "Batch Normalization", ICML 2015, algorithm 1 and the gradients below it.

Shape letters: B rows of this process, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from bakeoff.errors import ConfigError

_UNSEEN = (torch.batch_norm, torch.native_batch_norm)  # beneath the function that is understood here


class SyncedBatchNorm(TorchFunctionMode):
    """Within it, batch normalization in training counts over all processes.

    Args:
        group: Of the processes; None is all of them.
    """

    def __init__(self, group: Any = None) -> None:
        super().__init__()
        self._group = group

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        arguments: Sequence[Any] = (),
        named: Mapping[str, Any] | None = None,
    ) -> Any:
        """Pass every function on but one."""
        if function is F.batch_norm:
            return synced_batch_norm(*arguments, **(named or {}), group=self._group)
        if function in _UNSEEN:
            raise ConfigError(
                f"--processes: the network calls torch.{function.__name__}, whose statistics are not shared; "
                "expected a module of torch.nn, or one process"
            )
        return function(*arguments, **(named or {}))


def synced_batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    group: Any = None,
) -> Tensor:
    """Normalize as `torch.nn.functional.batch_norm` does, by the statistics of all processes' rows.

    Args:
        input: (B, C, ...); every process has its own rows, the same C and at least one row.
        running_mean: (C,), moved in place when training, as all others' are.
        running_var: (C,), likewise; unbiased over all rows.
        weight: (C,), or None.
        bias: (C,), or None.
        training: Without, the running statistics are used and nothing is exchanged.
        momentum: Share of the batch in the running statistics.
        eps: Added to the variance.
        group: Of the processes; None is all of them.

    Returns:
        Of the input's shape and type; gradients of other processes' losses reach this one's rows, too.
    """
    if not training:
        return F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    values = input.float()
    normalized, mean_C, variance_C, count = _Normalize.apply(values, eps, group)
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean_C.to(running_mean.dtype), momentum)
            unbiased_C = variance_C * (count / (count - 1).clamp(min=1))
            running_var.lerp_(unbiased_C.to(running_var.dtype), momentum)
    if weight is not None:
        normalized = normalized * _along(weight.float(), values)
    if bias is not None:
        normalized = normalized + _along(bias.float(), values)
    result: Tensor = normalized.to(input.dtype)
    return result


class _Normalize(torch.autograd.Function):
    """Subtract the mean of all rows, divide by their deviation."""

    @staticmethod
    def forward(
        context: Any, values: Tensor, eps: float, group: Any
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the normalized values, and mean, variance and count over all processes."""
        axes = _all_but_channels(values)
        channels = values.shape[1]
        own = values.numel() // channels
        # Two passes: one over squares loses digits where the mean is large. In double: the sums are long.
        sums = torch.cat(
            [values.sum(axes, dtype=torch.float64), values.new_tensor([own], dtype=torch.float64)]
        )
        distributed.all_reduce(sums, group=group)
        count = sums[-1]
        mean_C = sums[:-1] / count
        centred = values - _along(mean_C.float(), values)
        # What rounding the mean has left is taken out again.
        squares = torch.stack(
            [centred.square().sum(axes, dtype=torch.float64), centred.sum(axes, dtype=torch.float64)]
        )
        distributed.all_reduce(squares, group=group)
        variance_C = squares[0] / count - (squares[1] / count).square()
        scale_C = (variance_C + eps).rsqrt().float()
        normalized = centred * _along(scale_C, values)
        context.save_for_backward(normalized, scale_C, count)
        context.group = group
        told = mean_C.float(), variance_C.float(), count.float()
        context.mark_non_differentiable(*told)
        return normalized, *told

    @staticmethod
    def backward(context: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient with regard to the values of this process."""
        normalized, scale_C, count = context.saved_tensors
        axes = _all_but_channels(gradient)
        sums = torch.stack([
            gradient.sum(axes, dtype=torch.float64), (gradient * normalized).sum(axes, dtype=torch.float64),
        ])  # fmt: skip
        distributed.all_reduce(sums, group=context.group)
        mean_C, product_C = (sums / count).float()
        inner = gradient - _along(mean_C, gradient) - normalized * _along(product_C, gradient)
        return inner * _along(scale_C, gradient), None, None


def _all_but_channels(values: Tensor) -> list[int]:
    return [axis for axis in range(values.ndim) if axis != 1]


def _along(values_C: Tensor, like: Tensor) -> Tensor:
    """Lay a value for each channel along the second axis."""
    return values_C.view(1, -1, *[1] * (like.ndim - 2))
