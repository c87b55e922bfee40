"""Two candidates that were tested on different images: a difference of two independent accuracies.

An unpaired comparison needs far more images to see the same difference than a paired one, because the
luck of each test set counts in full.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bakeoff.evidence.comparison import ALPHA, BySeed, level_at
from bakeoff.evidence.intervals import (
    Interval,
    mean_interval,
    seeds_and_images,
    shared_by_seeds,
    wilson,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpaired:
    """Two candidates on different images; a positive difference means the first is more accurate."""

    first: str
    second: str
    difference: float  # of accuracy, as a fraction
    low: float  # ends of its 95 % interval, not corrected for other pairs
    high: float
    images: tuple[int, int]
    seeds: tuple[tuple[int, ...], tuple[int, ...]]
    p: float  # two-sided
    p_holm: float

    @property
    def told_apart(self) -> bool:
        """Whether the difference is more than chance explains, at 5 % over all that were looked at."""
        return self.p_holm < ALPHA


def accuracy_interval(runs: BySeed, level: float = 0.95) -> Interval:
    """Bound a candidate's accuracy over its images and, with several seeds, over its seeds too.

    Args:
        runs: Its test predictions by seed, all on the same images.
        level: Coverage.

    Returns:
        The mean over seeds with its interval, as `summary` gives it.
    """
    right_SN = np.stack([run.correct_N[np.argsort(run.index_N, kind="stable")] for run in runs.values()])
    if len(right_SN) == 1:
        return wilson(int(right_SN.sum()), right_SN.shape[1], level)
    over_seeds = mean_interval(right_SN.mean(axis=1, dtype=np.float64).tolist(), level)
    return seeds_and_images(over_seeds, shared_by_seeds(right_SN, level, shares=True), (0.0, 1.0))


def unpaired_difference(first: Interval, second: Interval) -> tuple[float, float]:
    """Bound the difference of two independent numbers from the interval of each.

    Of two shares with Wilson's intervals this is Newcombe's hybrid score interval.

    Args:
        first: A number with its interval.
        second: Another one's, of the same level.

    Returns:
        The ends of the interval of first minus second.

    Raises:
        ValueError: One has no ends.

    Source:
        Newcombe, "Interval estimation for the difference between independent proportions", Statistics in
        Medicine 17 (1998), method 10; Zou and Donner, Statistics in Medicine 27 (2008), eq. 3.

    >>> low, high = unpaired_difference(wilson(56, 70), wilson(48, 80))
    >>> round(low, 4), round(high, 4)
    (0.0524, 0.3339)
    """
    ends = (first.low, first.high, second.low, second.high)
    if None in ends:
        raise ValueError(f"unpaired_difference: got {first} and {second}, expected two with ends")
    low_1, high_1, low_2, high_2 = (float(end) for end in ends if end is not None)
    difference = first.mean - second.mean
    return (
        max(-1.0, difference - math.hypot(first.mean - low_1, high_2 - second.mean)),
        min(1.0, difference + math.hypot(high_1 - first.mean, second.mean - low_2)),
    )


def compare_unpaired(first: str, second: str, runs_first: BySeed, runs_second: BySeed) -> Unpaired:
    """Compare two candidates whose test images are not the same.

    Args:
        first: Name of a candidate.
        second: Name of the other.
        runs_first: The first's test predictions by seed; at least one.
        runs_second: The second's.

    Returns:
        The comparison; p is the level at which the interval touches 0, and is not corrected yet.
    """

    def ends(level: float) -> tuple[float, float]:
        return unpaired_difference(
            accuracy_interval(runs_first, level), accuracy_interval(runs_second, level)
        )

    low, high = ends(0.95)
    ours, theirs = accuracy_interval(runs_first), accuracy_interval(runs_second)
    difference = ours.mean - theirs.mean
    side = 0 if difference > 0 else 1
    p = level_at(abs(difference), lambda tail: abs(difference - ends(1 - tail)[side]))
    images = tuple(len(next(iter(runs.values())).label_N) for runs in (runs_first, runs_second))
    return Unpaired(
        first=first, second=second, difference=difference, low=low, high=high,
        images=(images[0], images[1]), seeds=(tuple(sorted(runs_first)), tuple(sorted(runs_second))),
        p=p, p_holm=p,
    )  # fmt: skip
