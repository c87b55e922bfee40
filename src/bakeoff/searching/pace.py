"""How long trials are trained and what they take, by the speed of the first network.

A network that is quicker than the first one is trained for more epochs and a slow one for fewer, so that a
rung costs each about the same: in the final training, too, what is quick sees more images.
"""

from __future__ import annotations

from dataclasses import dataclass

from bakeoff.searching.filters import SLOWEST
from bakeoff.searching.rungs import Rung, cost_of_size

QUICKEST = 2.0  # times the first network's speed, up to which a quick one is trained for more epochs
PREDICTION = 0.5  # of an image's share of a training step, that predicting it takes, before it is measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What the first network's speed says of all others."""

    pixels: int  # full size
    reference: float | None = None  # images a second of the first network there; None where no clock counts
    fixed: float = 1.0  # share of a step's cost that smaller images do not save

    def cost(self, rung: Rung) -> float:
        """Return what a step at a rung's size costs, one at full size being 1."""
        return cost_of_size(rung.pixels, self.pixels, self.fixed)

    def epochs(self, rung: Rung, images_per_second: float) -> float:
        """Return how long a network is trained at a rung.

        Args:
            rung: Its size, and the first network's epochs.
            images_per_second: The network's own, at full size.

        Returns:
            Epochs, of three digits; where no clock counts, the rung's.

        >>> Pace(pixels=8, reference=1000.0).epochs(Rung(8, 2.0), 1180.0)
        2.36
        """
        if self.reference is None:
            return rung.epochs
        ratio = images_per_second / self.reference
        return float(f"{rung.epochs * min(max(ratio, SLOWEST), QUICKEST):.3g}")

    def seconds(self, rung: Rung, images_per_second: float, *, training: int, validation: int) -> float:
        """Return what a network's steps at a rung and its validation take.

        Args:
            rung: Its size, and the first network's epochs.
            images_per_second: The network's own, at full size.
            training: Images of an epoch.
            validation: Images.

        Returns:
            Seconds.
        """
        images = self.epochs(rung, images_per_second) * training + PREDICTION * validation
        return images * self.cost(rung) / images_per_second
