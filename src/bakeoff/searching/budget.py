"""What a search may spend, what is charged to it, and how long the final training can be.

A budget is a promise: measuring, trials, the final training and the last evaluation are all charged to it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from bakeoff.errors import ConfigError
from bakeoff.units import Length, format_seconds

RESERVE = 0.01  # of a budget in seconds that is kept back for what nobody foresees


@dataclass
class Clock:
    """Seconds that are charged: those of earlier processes, and those since it was made."""

    charged_before: float = 0.0
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._started = self.now()

    @property
    def charged(self) -> float:
        """Seconds by now."""
        return self.charged_before + self.now() - self._started


@dataclass(frozen=True, slots=True)
class Purse:
    """A budget and how it is divided; what is spent is handed in, in the budget's own unit."""

    budget: Length | None  # None: trials are counted, and the final training has the recipe's length
    share: float  # for trials

    @property
    def in_seconds(self) -> bool:
        """Whether the clock counts."""
        return self.budget is not None and self.budget.unit == "seconds"

    @property
    def for_trials(self) -> float:
        """What the trials may spend; without end where only their number counts."""
        return float("inf") if self.budget is None else self.share * self.budget.amount

    def affords(self, spent: float, cost: float) -> bool:
        """Tell whether a trial still fits into the trials' share."""
        return spent + cost <= self.for_trials

    def final_seconds(self, spent: float, *, closing: float, validation: float) -> float:
        """Return how long the final training's steps may take.

        Args:
            spent: Seconds charged by now.
            closing: Seconds that evaluation and writing will take behind it.
            validation: Seconds of validation for each second of steps.

        Returns:
            Seconds; at least one second's hundredth, for a budget that is spent.
        """
        if self.budget is None:
            raise ValueError("a budget that counts no seconds")
        left = self.budget.amount * (1 - RESERVE) - spent - closing
        return max(left / (1 + validation), 0.01)


def refuse_small(budget: Length, smallest: float) -> None:
    """Refuse a budget that one trial would not fit into.

    Args:
        budget: What was given.
        smallest: That would do, in the same unit.

    Raises:
        ConfigError: Too small; the smallest is told.
    """
    if budget.amount < smallest:
        if budget.unit == "seconds":
            smallest = math.ceil(smallest)  # rounded down, it would be refused in its turn
            words = f"{budget.amount:g}s", f"{format_seconds(smallest)} ({smallest:.0f}s) on this machine"
        else:
            digits = 2 - math.floor(math.log10(smallest))
            words = str(budget), f"{math.ceil(smallest * 10**digits - 1e-9) / 10**digits:g}ep"
        raise ConfigError(
            f"search.budget: got {words[0]}, too small for one trial and its final training; "
            f"expected at least {words[1]}"
        )
