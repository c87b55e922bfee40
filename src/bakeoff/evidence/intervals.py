"""Intervals: how far a share of images, or a mean over seeds, may be from the truth.

The two answer different questions and are never mixed: images drawn anew with the
same network (`wilson`), or the network trained anew and read on the same images
(`mean_interval`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import special


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A number with what it could be; `low` and `high` are None when one value is all there is."""

    mean: float
    low: float | None = None
    high: float | None = None
    n: int  # how many seeds, or images
    over: Literal["seeds", "images"] = "seeds"  # what was drawn n times
    level: float = 0.95

    @property
    def half_width(self) -> float | None:
        """The larger of the two distances from the mean to an end; None without an interval."""
        if self.low is None or self.high is None:
            return None
        return max(self.high - self.mean, self.mean - self.low)

    def holds(self, value: float) -> bool:
        """Tell whether a value lies inside; False without an interval."""
        return self.low is not None and self.high is not None and self.low <= value <= self.high


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Bound the share of successes among n independent images.

    Args:
        successes: Images that were right.
        n: All images; at least 1.
        level: Coverage, between 0 and 1.

    Returns:
        The share with Wilson's score interval, inside [0, 1] (no continuity correction).

    Raises:
        ValueError: The counts or the level make no sense.

    Source:
        Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), eq. 4.

    >>> interval = wilson(0, 10)
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.0, 0.2775)
    """
    _check_level(level)
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"wilson: got {successes} of {n}, expected 0 to n successes of n >= 1 images")
    z = float(special.ndtri((1 + level) / 2))
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # Exact ends at the exact counts: rounding would leave 1e-17 on the wrong side of the mean.
    low = 0.0 if successes == 0 else centre - reach
    high = 1.0 if successes == n else centre + reach
    return Interval(mean=share, low=low, high=high, n=n, over="images", level=level)


def mean_interval(
    values: Sequence[float], level: float = 0.95, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Interval:
    """Bound the mean over seeds, by Student's t.

    Args:
        values: One per seed; at least one.
        level: Coverage, between 0 and 1.
        bounds: What the quantity can be; the ends are kept inside.

    Returns:
        The mean with its interval; without ends when there is one value, because one
        seed says nothing about how seeds vary.

    Raises:
        ValueError: There is no value, or one that is not finite.

    Source:
        Student, "The probable error of a mean", Biometrika 6 (1908).
    """
    _check_level(level)
    n = len(values)
    if n == 0 or not all(math.isfinite(value) for value in values):
        raise ValueError(f"mean_interval: got {list(values)}, expected at least one value, all finite")
    mean = math.fsum(values) / n
    if n == 1:
        return Interval(mean=mean, n=1, level=level)
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    reach = float(special.stdtrit(n - 1, (1 + level) / 2)) * math.sqrt(variance / n)
    low, high = max(bounds[0], mean - reach), min(bounds[1], mean + reach)
    return Interval(mean=mean, low=low, high=high, n=n, level=level)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level: got {level}, expected a number between 0 and 1, such as 0.95")
