"""The smallest difference that a test set could have shown: what "not told apart" leaves open.

Two candidates that are not told apart may still differ. By how much at most depends on the number of
images, on how often the two disagree, on the seeds, and on how many pairs are looked at. The smallest
difference here is the true one that would have been told apart in four of five such studies (power
80 %), at the level that Holm's first step asks for: 5 % over the number of pairs.

Shape letters: S seeds, N images, M numbers of images on which two disagree.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy import special

from bakeoff.evidence.crossed import Spreads, joined_reach

POWER = 0.8
_NODES = 400  # of the integration over the seeds' spread
_WIDE = 5.0  # standard deviations of the number of images, summed to either side


@lru_cache(maxsize=4096)
def smallest_of_one_seed(first_only: int, second_only: int, images: int, level: float) -> float | None:
    """Find the smallest difference that exact McNemar shows with power 80 %.

    With a true difference d and a share s of images on which the two disagree, the first alone is right on
    a share (s + d) / 2. Among M such images, which are binomial with N and s, its number is binomial with
    (1 + d / s) / 2, and the test rejects when that number is as far from M / 2 as the level asks.
    The power is the sum over M and over both tails. s is the observed share, and never less than d:
    candidates that never disagreed would have to.

    Args:
        first_only: Images that only the first got right.
        second_only: Images that only the second got right.
        images: N.
        level: Of the test, after dividing by the number of pairs.

    Returns:
        A fraction; None when not even a difference of 1 would do.

    Source:
        Connor, "Sample size for testing differences in proportions for the paired-sample design",
        Biometrics 43 (1987), section 3, the unconditional power, with the exact test in place of the
        normal one.
    """
    disagree = (first_only + second_only) / images
    critical_M = _critical(level, images)

    def power(difference: float) -> float:
        share = max(disagree, difference)
        spread = _WIDE * math.sqrt(images * share * (1 - share)) + 1
        low, high = (
            max(0, math.floor(images * share - spread)),
            min(images, math.ceil(images * share + spread)),
        )
        number_M = np.arange(low, high + 1)
        reached_M, chance = critical_M[low : high + 1], (1 + difference / share) / 2
        tails_M = special.bdtr(reached_M, number_M, chance) + special.bdtr(reached_M, number_M, 1 - chance)
        weight_M = _binomial(number_M, images, share)
        return float((weight_M * np.where(reached_M < 0, 0.0, tails_M)).sum())

    return _smallest(power)


def smallest_of_several_seeds(found: Spreads, level: float) -> float | None:
    """Find the smallest difference that the test over seeds and images shows with power 80 %.

    The spreads of seeds and images are taken as they were estimated, V_S and V_I. In a repetition the
    observed difference is normal around the true one with variance V_S + V_I, and the
    estimated V_S is chi-squared with S - 1 degrees of freedom over S - 1, times the true one; so is the
    half width (`crossed.joined_reach`). The power is the mean, over that, of the chance that the observed
    difference lies outside.

    Args:
        found: Of the outcomes of a pair, with the image that is added (`comparison.seeds_and_images`).
        level: Of the test, after dividing by the number of pairs.

    Returns:
        A fraction; None when not even a difference of 1 would do.
    """
    freedom = found.seeds - 1
    ranks = (np.arange(_NODES) + 0.5) / _NODES
    factors = special.chdtri(freedom, 1 - ranks) / freedom
    t = -float(special.stdtrit(freedom, level / 2)) * math.sqrt(found.of_seeds)
    z = -float(special.stdtrit(max(found.images - 1, 1), level / 2)) * math.sqrt(found.of_images)
    reaches = np.array([joined_reach(t * math.sqrt(factor), z, found.seeds, level) for factor in factors])
    error = math.sqrt(found.of_seeds + found.of_images)
    if error == 0:
        return 0.0

    def power(difference: float) -> float:
        above, below = (difference - reaches) / error, (-difference - reaches) / error
        return float((special.ndtr(above) + special.ndtr(below)).mean())

    return _smallest(power)


def _smallest(power: Callable[[float], float]) -> float | None:
    """Halve the way to the difference whose power is 80 %, to a ten-thousandth of a point.

    SciPy's root finders take no fewer steps, and importing them takes longer than all of this.
    """
    low, high = 0.0, 1.0
    if power(high) < POWER:
        return None
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle) < POWER else (low, middle)
    return high


@lru_cache(maxsize=64)
def _critical(level: float, most: int) -> np.ndarray:
    """Return, for 0 to `most` images, the largest count that the exact test rejects; -1 when none is."""
    number_M = np.arange(most + 1)
    near_M = number_M / 2 + special.ndtri(level / 2) * np.sqrt(number_M) / 2  # at most two away
    found_M = np.full(most + 1, -1.0)
    for step in range(-3, 4):  # rising, so that the last that is rejected stays
        count_M = np.floor(near_M) + step
        inside = count_M >= 0
        tail_M = special.bdtr(np.maximum(count_M, 0), number_M, 0.5)
        found_M = np.where(inside & (tail_M <= level / 2), count_M, found_M)
    return found_M


def _binomial(number_M: np.ndarray, images: int, share: float) -> np.ndarray:
    """Return the probabilities of numbers of successes among the images."""
    logs_M = (
        special.gammaln(images + 1) - special.gammaln(number_M + 1) - special.gammaln(images - number_M + 1)
        + special.xlogy(number_M, share) + special.xlog1py(images - number_M, -share)
    )  # fmt: skip
    weight_M: np.ndarray = np.exp(logs_M)
    return weight_M
