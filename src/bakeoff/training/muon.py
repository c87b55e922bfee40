"""Muon: momentum whose matrices are made orthogonal before each step; AdamW for what is no matrix.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; the five polynomials are those
of You in Jordan's modded-nanogpt. Steps are as long as AdamW's (Liu et al., "Muon is scalable for LLM
training", arXiv 2502.16982, section 2.2). Everything is computed in float32: products of bfloat16 take up to
35 times as long on a processor that has no unit for them (docs/findings.md, 2026-11-27).

A matrix of R rows and more columns, C, is multiplied with itself once: the polynomials are then ones of its
R x R square, and all five cost 17 R^3 + 2 R^2 C multiplications instead of 5 R^3 + 10 R^2 C.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

# (a, b, c) of a X + b (X X') X + c (X X')^2 X, one for each step
POLYNOMIALS = (
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
)
LEAST = 1e-7  # norm of a matrix below which it counts as zero
LIKE_ADAMW = 0.2  # root mean square of a step of AdamW, by its rate
NARROWEST = 4  # rows and columns at least of what counts as a matrix
LONGEST = 128  # times as long as wide, at most
WIDE = 2  # times as many columns as rows, from which on the square pays; 1.5 by counting multiplications


class Muon(torch.optim.Optimizer):
    """Nesterov's momentum, made orthogonal.

    Args:
        params: Groups of weights; each may have a `weight_decay` of its own.
        lr: The rate of all of them.
        momentum: Share of the momentum that stays.
        betas: Of AdamW, for vectors and what is no matrix.
        eps: Likewise.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        *,
        lr: float,
        momentum: float,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-7,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "betas": betas, "eps": eps, "weight_decay": 0.0}
        # As torch's own fused optimizers say it: a checkpoint's counts of steps go to the weights' device.
        super().__init__(params, {**defaults, "fused": True})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # nobody asks for another one
        """Move all weights that have a gradient."""
        for group in self.param_groups:
            moved = [weight for weight in group["params"] if weight.grad is not None]
            self._move_matrices([weight for weight in moved if is_matrix(weight)], group)
            self._move_others([weight for weight in moved if not is_matrix(weight)], group)

    def _move_matrices(self, weights: list[nn.Parameter], group: dict[str, Any]) -> None:
        if not weights:
            return
        grads = [weight.grad for weight in weights if weight.grad is not None]
        for weight in weights:
            if "momentum_buffer" not in self.state[weight]:
                self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        moments = [self.state[weight]["momentum_buffer"] for weight in weights]
        torch._foreach_lerp_(moments, grads, 1 - group["momentum"])
        torch._foreach_mul_(list[Tensor](weights), 1 - group["lr"] * group["weight_decay"])
        ahead = torch._foreach_lerp(grads, moments, group["momentum"])
        alike = defaultdict(list)
        for weight, direction in zip(weights, ahead, strict=True):
            rows = _rows(direction)
            alike[rows.shape].append((weight, rows))
        for (high, wide), members in alike.items():
            made = orthogonal(torch.stack([rows for _, rows in members]).float())
            length = -group["lr"] * LIKE_ADAMW * max(high, wide) ** 0.5
            for (weight, _), rows in zip(members, made, strict=True):
                weight.add_(_as_weight(rows, weight), alpha=length)

    def _move_others(self, weights: list[nn.Parameter], group: dict[str, Any]) -> None:
        if not weights:
            return
        for weight in weights:
            if not self.state[weight]:
                self.state[weight].update(
                    step=torch.zeros((), device=weight.device),
                    exp_avg=torch.zeros_like(weight),
                    exp_avg_sq=torch.zeros_like(weight),
                )
        kept = [self.state[weight] for weight in weights]
        adamw(
            list(weights), [weight.grad for weight in weights if weight.grad is not None],
            [one["exp_avg"] for one in kept], [one["exp_avg_sq"] for one in kept], [],
            [one["step"] for one in kept],
            fused=True, amsgrad=False, maximize=False, lr=group["lr"], eps=group["eps"],
            beta1=group["betas"][0], beta2=group["betas"][1], weight_decay=group["weight_decay"],
        )  # fmt: skip


def is_matrix(weight: Tensor) -> bool:
    """Tell whether a weight is made orthogonal: no vector, no depthwise filter, and not too long.

    Args:
        weight: Outputs first; a convolution's filters are rows of (inputs by pixels).

    Returns:
        Whether it is a matrix of four rows and columns at least, and at most 128 times as long as wide.
    """
    if weight.ndim < 2 or 1 in weight.shape[:2]:
        return False
    high, wide = len(weight), weight[0].numel()
    return min(high, wide) >= NARROWEST and max(high, wide) <= LONGEST * min(high, wide)


def multiplications(weights: Iterable[Tensor]) -> int:
    """Count the multiplications of a step, those that make matrices orthogonal.

    They depend on the weights alone: a network whose weights see few pixels each, such as MobileNet on small
    images, spends more on them than on its images.

    Args:
        weights: All that the optimizer moves; on whatever device, "meta" among them.

    Returns:
        Of the five polynomials, for all matrices.
    """
    total = 0
    for weight in filter(is_matrix, weights):
        rows, columns = sorted((len(weight), weight[0].numel()))
        if columns < WIDE * rows:
            total += len(POLYNOMIALS) * (2 * rows * rows * columns + rows**3)
        else:  # one product of squares for the first polynomial, four for each other; the square, the result
            total += 2 * rows * rows * columns + (1 + 4 * (len(POLYNOMIALS) - 1)) * rows**3
    return total


def orthogonal(matrices_NRC: Tensor) -> Tensor:
    """Bring all singular values of matrices near one, by a polynomial of each.

    Args:
        matrices_NRC: float32; of any scale.

    Returns:
        The same singular vectors; singular values between 0.7 and 1.2 but for those that were less than about
        a thousandth of the norm.
    """
    if matrices_NRC.shape[1] > matrices_NRC.shape[2]:
        return orthogonal(matrices_NRC.mT).mT
    norm_N11 = matrices_NRC.norm(dim=(1, 2), keepdim=True).clamp(min=LEAST)
    values_NRC = matrices_NRC / norm_N11
    if matrices_NRC.shape[2] < WIDE * matrices_NRC.shape[1]:
        return _by_itself(values_NRC)
    return _by_its_square(values_NRC)


def _by_itself(values_NRC: Tensor) -> Tensor:
    """Apply the polynomials one after the other."""
    for coefficients in POLYNOMIALS:
        values_NRC = _factor(values_NRC @ values_NRC.mT, *coefficients) @ values_NRC
    return values_NRC


def _by_its_square(values_NRC: Tensor) -> Tensor:
    """Apply the polynomials to the square: all factors are polynomials of it, and commute."""
    square_NRR = values_NRC @ values_NRC.mT
    whole_NRR = _factor(square_NRR, *POLYNOMIALS[0])
    last_NRR = whole_NRR
    for coefficients in POLYNOMIALS[1:]:
        square_NRR = last_NRR @ square_NRR @ last_NRR
        last_NRR = _factor(square_NRR, *coefficients)
        whole_NRR = last_NRR @ whole_NRR
    return whole_NRR @ values_NRC


def _factor(square_NRR: Tensor, a: float, b: float, c: float) -> Tensor:
    """Compute what a step multiplies a matrix by, from its square."""
    factor_NRR = torch.baddbmm(square_NRR, square_NRR, square_NRR, beta=b, alpha=c)
    factor_NRR.diagonal(dim1=1, dim2=2).add_(a)
    return factor_NRR


def _rows(weight: Tensor) -> Tensor:
    """Lay a weight out as a matrix, in the order of its memory where that is channels-last."""
    if weight.ndim == 4:
        weight = weight.permute(0, 2, 3, 1)
    return weight.reshape(len(weight), -1)


def _as_weight(rows: Tensor, weight: Tensor) -> Tensor:
    """Undo `_rows`."""
    if weight.ndim != 4:
        return rows.reshape(weight.shape)
    outputs, inputs, high, wide = weight.shape
    return rows.reshape(outputs, high, wide, inputs).permute(0, 3, 1, 2)
