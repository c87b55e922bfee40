"""The exponential moving average of a model's weights (Polyak and Juditsky 1992)."""

from __future__ import annotations

from typing import cast

from torch import nn


class Averaged:
    """A second copy of a model that follows the first.

    Early on the decay is min(decay, (1 + step) / (10 + step)), so that a short run's
    average forgets its random start (as in TensorFlow's ExponentialMovingAverage).

    Args:
        model: The model that is trained.
        decay: Share of the average that a step keeps.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        from timm.utils import ModelEmaV3  # takes as long to import as torch

        self._decay = decay
        self._copy = ModelEmaV3(model, decay=decay, use_warmup=False, foreach=True)

    def update(self, model: nn.Module, step: int) -> None:
        """Move the average towards the weights after a step, counted from 0."""
        self._copy.decay = min(self._decay, (1 + step) / (10 + step))
        self._copy.update(model)

    @property
    def module(self) -> nn.Module:
        """The model with the averaged weights and statistics."""
        return cast(nn.Module, self._copy.module)
