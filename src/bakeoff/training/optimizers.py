"""From the recipe's words to an optimizer; every entry is built the same way.

Weight decay is decoupled from the gradient for adamw and muon and part of it for sgd and
adam, as their papers have it; it never acts on biases and normalization.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn, optim

from bakeoff.registry import Registry
from bakeoff.spec import Optimizer as OptimizerSpec
from bakeoff.training.muon import Muon

Groups = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class OptimizerEntry:
    """How an optimizer is made from groups of weights and the recipe's settings."""

    build: Callable[[Groups, OptimizerSpec], optim.Optimizer]
    source: str
    version: int = 1  # raised whenever equal settings move weights otherwise; runs are then trained anew


OPTIMIZERS: Registry[OptimizerEntry] = Registry("optimizer")

OPTIMIZERS.register(
    "sgd",
    OptimizerEntry(
        lambda groups, spec: optim.SGD(
            groups, lr=spec.lr, momentum=spec.momentum, nesterov=spec.momentum > 0, fused=True
        ),
        "Sutskever et al., ICML 2013, section 2 (Nesterov's momentum)",
    ),
)
OPTIMIZERS.register(
    "adam",
    OptimizerEntry(
        lambda groups, spec: optim.Adam(groups, lr=spec.lr, betas=spec.betas, eps=spec.eps, fused=True),
        "Kingma and Ba, ICLR 2015, algorithm 1",
    ),
)
OPTIMIZERS.register(
    "adamw",
    OptimizerEntry(
        lambda groups, spec: optim.AdamW(groups, lr=spec.lr, betas=spec.betas, eps=spec.eps, fused=True),
        "Loshchilov and Hutter, ICLR 2019, algorithm 2",
    ),
)
OPTIMIZERS.register(
    "muon",
    OptimizerEntry(
        lambda groups, spec: Muon(groups, lr=spec.lr, momentum=spec.momentum),
        "Jordan et al., 'Muon: an optimizer for hidden layers', 2024; AdamW for vectors",
        version=2,
    ),
)


def build_optimizer(
    model: nn.Module, spec: OptimizerSpec, factors: Mapping[nn.Parameter, float] | None = None
) -> optim.Optimizer:
    """Build the recipe's optimizer over a model's trainable weights.

    Args:
        model: Its weights that need a gradient are trained.
        spec: The recipe's settings.
        factors: Of the learning rate, for weights that do not have it whole.

    Returns:
        The optimizer, its groups ordered by factor, matrices before vectors.
    """
    given = factors or {}
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {
            "params": [p for p in trainable if given.get(p, 1.0) == factor and (p.ndim > 1) == matrix],
            "weight_decay": spec.weight_decay if matrix else 0.0,
            "factor": factor * (1.0 if matrix else spec.bias_factor),
        }
        for factor in sorted({given.get(p, 1.0) for p in trainable}, reverse=True)
        for matrix in (True, False)
    ]
    return OPTIMIZERS[spec.name].build([group for group in groups if group["params"]], spec)


def set_rate(optimizer: optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group, each by its factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)  # older checkpoints have none
