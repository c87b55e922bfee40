"""Intervals: how far a share of images, or a mean over seeds, may be from the truth.

Two things are drawn: the images (`wilson` for a share, `mean_interval` for a loss) and
the seeds (`mean_interval`). With one seed only the images can be counted in. With several,
`seeds_and_images` adds both: the seeds alone would call two seeds that are equally right
on six images certain.
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


def seeds_and_images(
    over_seeds: Interval, over_images: Interval, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Interval:
    """Bound a mean whose seeds and images are both drawn at random.

    On each side the distances of the two intervals from the mean are added in squares. More
    seeds shrink the first of them only, so the result is never narrower than the images allow.

    Args:
        over_seeds: Of the mean over two or more seeds, by `mean_interval`.
        over_images: Of the same mean over one seed's number of images.
        bounds: What the quantity can be; the ends are kept inside.

    Returns:
        The mean with its interval.

    Raises:
        ValueError: One of them has no ends, or they are of different levels.

    Source:
        Zou and Donner, "Construction of confidence limits about effect measures", Statistics in
        Medicine 27 (2008), eq. 4, as `comparison.seeds_and_images` for pairs.

    >>> seeds = Interval(mean=0.5, low=0.47, high=0.53, n=3)
    >>> both = seeds_and_images(seeds, Interval(mean=0.5, low=0.46, high=0.54, n=600, over="images"))
    >>> round(both.low, 3), round(both.high, 3), both.over
    (0.45, 0.55, 'seeds and images')
    """
    ends = (over_seeds.low, over_seeds.high, over_images.low, over_images.high)
    if None in ends or over_seeds.level != over_images.level:
        raise ValueError(f"seeds_and_images: got {over_seeds} and {over_images}, expected ends of one level")
    low, high, images_low, images_high = (float(end) for end in ends if end is not None)
    mean = over_seeds.mean
    return Interval(
        mean=mean,
        low=max(bounds[0], mean - math.hypot(mean - low, over_images.mean - images_low)),
        high=min(bounds[1], mean + math.hypot(high - mean, images_high - over_images.mean)),
        n=over_seeds.n, over="seeds and images", level=over_seeds.level,
    )  # fmt: skip


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level: got {level}, expected a number between 0 and 1, such as 0.95")
