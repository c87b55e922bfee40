"""Intervals: how far a share of images, or a mean over seeds, may be from the truth.

Two things are drawn: the images (`wilson` for a share, `mean_interval` for a loss) and
the seeds (`mean_interval`). With one seed only the images can be counted in. With several,
`seeds_and_images` puts both together: the seeds alone would call two seeds that are equally
right on six images certain. What the images then add is what the seeds share (`shared_by_seeds`).

Shape letters: S seeds, N images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from bakeoff.evidence.crossed import joined_reach, spreads


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A number with what it could be; `low` and `high` are None when one value is all there is."""

    mean: float
    low: float | None = None
    high: float | None = None
    n: int  # how many images, or else seeds
    over: Literal["seeds", "images", "seeds and images"] = "seeds"  # what was drawn
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


def wilson(successes: float, n: int, level: float = 0.95) -> Interval:
    """Bound the share of successes among n independent images.

    Args:
        successes: Images that were right; their mean over seeds need not be whole.
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
    low, high = _score_ends(successes / n, n, level)
    # Exact ends at the exact counts: rounding would leave 1e-17 on the wrong side of the mean.
    low, high = 0.0 if successes == 0 else low, 1.0 if successes == n else high
    return Interval(mean=successes / n, low=low, high=high, n=n, over="images", level=level)


def _score_ends(share: float, n: float, level: float) -> tuple[float, float]:
    z = float(special.ndtri((1 + level) / 2))
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return centre - reach, centre + reach


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


def shared_by_seeds(value_SN: np.ndarray, level: float = 0.95, *, shares: bool = False) -> Interval:
    """Bound a mean over several seeds as far as their common images make it uncertain.

    An image that is hard for one seed may be easy for the next: that part is already in the spread of the
    seeds. What is left is the covariance of two seeds over the images (`crossed.spreads`).

    Args:
        value_SN: Of each seed on each image; S >= 2.
        level: Coverage, between 0 and 1.
        shares: Values are 1 for right and 0 for wrong. The interval is Wilson's then, with the number of
            independent images that would have this spread; it is never less than N.

    Returns:
        The mean with its interval over images.

    Source:
        Kish, "Survey Sampling" (1965), section 8.2, for the effective number.
    """
    _check_level(level)
    found = spreads(value_SN, width=1.0 if shares else 0.0)
    mean, images = found.mean, found.images
    if not shares:
        reach = float(special.stdtrit(max(images - 1, 1), (1 + level) / 2)) * math.sqrt(found.of_images)
        return Interval(mean=mean, low=mean - reach, high=mean + reach, n=images, over="images", level=level)
    mean = int(value_SN.sum()) / value_SN.size
    low, high = mean, mean
    alone = mean * (1 - mean)  # the spread of one image
    if alone == 0 or found.of_images > 0:
        effective = max(images, alone / found.of_images) if found.of_images else images
        low, high = _score_ends(mean, effective, level)
    return Interval(mean=mean, low=min(low, mean), high=max(high, mean), n=images, over="images", level=level)


def seeds_and_images(
    over_seeds: Interval, over_images: Interval, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Interval:
    """Bound a mean whose seeds and images are both drawn at random.

    On each side the distances of the two intervals from the mean are put together by
    `crossed.joined_reach`. More seeds shrink the first of them only, so the result is never narrower
    than what the seeds share of the images allows.

    Args:
        over_seeds: Of the mean over two or more seeds, by `mean_interval`, not cut off at its bounds.
        over_images: Of the same mean, by `shared_by_seeds`.
        bounds: What the quantity can be; the ends are kept inside.

    Returns:
        The mean with its interval.

    Raises:
        ValueError: One of them has no ends, or they are of different levels.

    >>> seeds = Interval(mean=0.5, low=0.5, high=0.5, n=3)
    >>> both = seeds_and_images(seeds, Interval(mean=0.5, low=0.46, high=0.55, n=600, over="images"))
    >>> round(both.low, 3), round(both.high, 3), both.over
    (0.46, 0.55, 'seeds and images')
    """
    ends = (over_seeds.low, over_seeds.high, over_images.low, over_images.high)
    if None in ends or over_seeds.level != over_images.level:
        raise ValueError(f"seeds_and_images: got {over_seeds} and {over_images}, expected ends of one level")
    low, high, images_low, images_high = (float(end) for end in ends if end is not None)
    mean, seeds, p = over_seeds.mean, over_seeds.n, 1 - over_seeds.level
    below = joined_reach(mean - low, max(0.0, over_images.mean - images_low), seeds, p)
    above = joined_reach(high - mean, max(0.0, images_high - over_images.mean), seeds, p)
    return Interval(
        mean=mean, low=max(bounds[0], mean - below), high=min(bounds[1], mean + above),
        n=seeds, over="seeds and images", level=over_seeds.level,
    )  # fmt: skip


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level: got {level}, expected a number between 0 and 1, such as 0.95")
