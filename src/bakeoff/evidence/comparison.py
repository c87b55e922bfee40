"""Paired comparisons: can two candidates of one task be told apart on the same test images?

With one seed in common: McNemar's exact test. With several: a two-level analysis in
which seeds and images are both drawn at random. Seeds are never counted as extra
images: three trainings read on 1,000 images are 1,000 images, not 3,000. All pairs
of a task are corrected together by Holm's method.

Shape letters: S seeds, N images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import special

from bakeoff.errors import StudyError
from bakeoff.evidence.crossed import Spreads, spreads
from bakeoff.evidence.sensitivity import smallest_of_one_seed, smallest_of_several_seeds
from bakeoff.records import Predictions

ALPHA = 0.05  # two candidates are told apart when Holm's p is below this
BySeed = Mapping[int, Predictions]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two candidates on the same images; a positive difference means the first is more accurate."""

    first: str
    second: str
    difference: float  # of accuracy, as a fraction
    low: float  # ends of its 95 % interval, not corrected for other pairs
    high: float
    method: Literal["mcnemar", "seeds and images"]
    seeds: tuple[int, ...]  # those that both have finished
    images: int
    first_only: float  # images that only the first got right, mean over seeds
    second_only: float
    p: float  # two-sided
    p_holm: float  # corrected for all pairs of the task
    # The smallest true difference that would have been told apart in four of five such studies, a fraction
    # (`sensitivity`): at the level of Holm's first step, and as the only pair; None where there is none
    smallest: float | None = None
    smallest_alone: float | None = None
    spreads: Spreads | None = None  # of several seeds: the two parts of the difference's spread

    @property
    def told_apart(self) -> bool:
        """Whether the difference is more than chance explains, at 5 % for the task as a whole."""
        return self.p_holm < ALPHA


def mcnemar(first_only: int, second_only: int) -> float:
    """Test whether two classifiers of the same images are equally often right, exactly.

    Args:
        first_only: Images that only the first got right.
        second_only: Images that only the second got right.

    Returns:
        The two-sided p of the binomial test at 1/2; 1 when they never disagree.

    Raises:
        ValueError: A count is negative.

    Source:
        McNemar, Psychometrika 12 (1947); exact form: Fagerland, Lydersen and Laake, BMC Medical
        Research Methodology 13:91 (2013), section "The exact conditional test".

    >>> mcnemar(0, 5), mcnemar(0, 0)
    (0.0625, 1.0)
    """
    if min(first_only, second_only) < 0:
        raise ValueError(f"mcnemar: got {first_only} and {second_only}, expected counts of at least 0")
    discordant = first_only + second_only
    if first_only == second_only:
        return 1.0
    return min(1.0, 2.0 * float(special.bdtr(min(first_only, second_only), discordant, 0.5)))


def compare(first: str, second: str, runs_first: BySeed, runs_second: BySeed) -> Comparison:
    """Compare two candidates over the seeds that both have finished.

    One seed in common: McNemar's exact test, with the interval of Agresti and Min
    for the difference of two paired shares.

    Several seeds, paired by number: see `seeds_and_images`.

    Args:
        first: Name of a candidate.
        second: Name of the other.
        runs_first: The first's test predictions by seed.
        runs_second: The second's.

    Returns:
        The comparison, with p not corrected yet.

    Raises:
        StudyError: They have no seed in common, or were tested on different images.
    """
    seeds = tuple(sorted(set(runs_first) & set(runs_second)))
    if not seeds:
        raise StudyError(f"compare: '{first}' and '{second}' have no finished seed in common, expected one")
    outcome_SN = np.stack([outcomes(first, second, runs_first[seed], runs_second[seed]) for seed in seeds])
    first_only = float((outcome_SN > 0).sum()) / len(seeds)
    second_only = float((outcome_SN < 0).sum()) / len(seeds)
    images = outcome_SN.shape[1]
    method: Literal["mcnemar", "seeds and images"] = "mcnemar" if len(seeds) == 1 else "seeds and images"
    parts = None
    if method == "mcnemar":
        p = mcnemar(int(first_only), int(second_only))
        low, high = paired_interval(int(first_only), int(second_only), images)
    else:
        p, low, high = seeds_and_images(outcome_SN)
        parts = spreads(outcome_SN, width=2.0)
    return Comparison(
        first=first, second=second, difference=int(outcome_SN.sum(dtype=np.int64)) / outcome_SN.size,
        low=low, high=high, method=method, seeds=seeds, images=images,
        first_only=first_only, second_only=second_only, p=p, p_holm=p, spreads=parts,
    )  # fmt: skip


def paired_interval(
    first_only: int, second_only: int, images: int, level: float = 0.95
) -> tuple[float, float]:
    """Bound the difference of two shares that were counted on the same images.

    Source:
        Agresti and Min, "Simple improved confidence intervals for comparing matched proportions",
        Statistics in Medicine 24 (2005), section 4: Wald's interval after half an image more in each cell.
    """
    z = float(special.ndtri((1 + level) / 2))
    b, c, n = first_only + 0.5, second_only + 0.5, images + 2
    centre = (b - c) / n
    reach = z * math.sqrt(b + c - (b - c) ** 2 / n) / n
    return max(-1.0, centre - reach), min(1.0, centre + reach)


def seeds_and_images(outcome_SN: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """Test a paired difference whose seeds and images are both drawn at random.

    The differences of accuracy of the seeds are spread by the seeds; the outcomes of the images, as far
    as the seeds share them, by the images (`crossed.spreads`). One image of spread is added to the latter
    (half on each side, as in `paired_interval`), so that a handful of disagreements is not overrated.
    The half width of the interval is that of `crossed.joined_reach`, and p is the level at which it
    touches 0. More seeds do not shrink what is of the images.

    Args:
        outcome_SN: +1 where only the first is right, -1 where only the second is, else 0; S >= 2.
        level: Coverage of the interval.

    Returns:
        The two-sided p, and the ends of the interval of the difference.
    """
    found = spreads(outcome_SN, width=2.0)
    mean = int(outcome_SN.sum(dtype=np.int64)) / outcome_SN.size
    half = found.reach(1 - level)
    return level_at(abs(mean), found.reach), max(-1.0, mean - half), min(1.0, mean + half)


def level_at(distance: float, reach: Callable[[float], float]) -> float:
    """Find the p whose interval reaches just so far, by halving.

    Args:
        distance: From the middle of the interval to what is tested; at least 0.
        reach: How far the interval of coverage 1 - p reaches to that side; falls with p.

    Returns:
        In [1e-12, 1]; smaller ones are returned as 1e-12.
    """
    if distance == 0:
        return 1.0
    low, high = math.log(1e-12), 0.0
    for _ in range(60):  # leaves an interval of 2e-17 on the logarithm
        middle = (low + high) / 2
        low, high = (low, middle) if reach(math.exp(middle)) < distance else (middle, high)
    return math.exp(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for having looked at all of them, step down.

    Source:
        Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
        Statistics 6 (1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p_values)
    worst = 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[position]))
        corrected[position] = worst
    return corrected


def compare_pairs(pairs: Sequence[tuple[str, str]], runs: Mapping[str, BySeed]) -> tuple[Comparison, ...]:
    """Compare pairs of candidates, and correct them together by Holm's method.

    Args:
        pairs: Names of candidates.
        runs: Test predictions by candidate and seed.

    Returns:
        A comparison for each pair that has a finished seed in common, with the smallest difference that
        it could have shown.

    Raises:
        StudyError: Two candidates were tested on different images.
    """
    found = [
        compare(first, second, runs[first], runs[second])
        for first, second in pairs
        if set(runs.get(first, {})) & set(runs.get(second, {}))
    ]
    corrected = holm([comparison.p for comparison in found])
    return tuple(
        replace(
            comparison, p_holm=p, smallest=_smallest(comparison, ALPHA / len(found)),
            smallest_alone=_smallest(comparison, ALPHA),
        )
        for comparison, p in zip(found, corrected, strict=True)
    )  # fmt: skip


def _smallest(pair: Comparison, level: float) -> float | None:
    if pair.spreads is not None:
        return smallest_of_several_seeds(pair.spreads, level)
    return smallest_of_one_seed(int(pair.first_only), int(pair.second_only), pair.images, level)


def find_comparison(comparisons: Sequence[Comparison], first: str, second: str) -> Comparison | None:
    """Return the comparison of two candidates, turned so that `first` is first; None when there is none."""
    for found in comparisons:
        if (found.first, found.second) == (first, second):
            return found
        if (found.first, found.second) == (second, first):
            return replace(
                found, first=first, second=second, difference=-found.difference, low=-found.high,
                high=-found.low, first_only=found.second_only, second_only=found.first_only,
            )  # fmt: skip
    return None


def groups_not_told_apart(
    ranking: Sequence[str], comparisons: Sequence[Comparison]
) -> tuple[tuple[str, ...], ...]:
    """List the largest groups in which no two candidates can be told apart.

    A candidate may be in several groups, since "not told apart" does not carry over:
    A and B may look alike, B and C too, and yet A is better than C. A pair that was
    not compared counts as not told apart.

    Args:
        ranking: Candidates, best first.
        comparisons: Of their pairs, corrected.

    Returns:
        Groups of two or more, each in the order of the ranking, the best group first.
    """
    apart = {frozenset((c.first, c.second)) for c in comparisons if c.told_apart}
    alike = {a: {b for b in ranking if b != a and frozenset((a, b)) not in apart} for a in ranking}
    found: list[set[str]] = []
    _grow(set(), list(ranking), set(), alike, found)
    place = {name: position for position, name in enumerate(ranking)}
    groups = [tuple(sorted(group, key=place.__getitem__)) for group in found if len(group) > 1]
    return tuple(sorted(groups, key=lambda group: [place[name] for name in group]))


def _grow(
    group: set[str], open_: list[str], done: set[str], alike: Mapping[str, set[str]], found: list[set[str]]
) -> None:
    """Extend a group by every candidate that is alike to all of it (Bron and Kerbosch 1973, with a pivot)."""
    if not open_ and not done:
        found.append(set(group))
        return
    pivot = max([*open_, *sorted(done)], key=lambda name: len(alike[name] & set(open_)))
    for name in [n for n in open_ if n not in alike[pivot]]:
        _grow(group | {name}, [n for n in open_ if n in alike[name]], done & alike[name], alike, found)
        open_ = [n for n in open_ if n != name]
        done = done | {name}


def outcomes(first: str, second: str, a: Predictions, b: Predictions) -> np.ndarray:
    """Tell for each image, in the order of the images, who alone is right.

    Args:
        first: Name of a candidate, for the error.
        second: Name of the other.
        a: The first's predictions.
        b: The second's.

    Returns:
        int8 of shape (N,): +1 the first alone, -1 the second alone, 0 both or neither.

    Raises:
        StudyError: They were tested on different images.
    """
    order_a, order_b = np.argsort(a.index_N, kind="stable"), np.argsort(b.index_N, kind="stable")
    same = np.array_equal(a.index_N[order_a], b.index_N[order_b])
    if not same or not np.array_equal(a.label_N[order_a], b.label_N[order_b]):
        raise StudyError(
            f"compare: '{first}' and '{second}' were tested on different images "
            f"({len(a.index_N)} and {len(b.index_N)}), expected the same ones"
        )
    outcome_N: np.ndarray = a.correct_N[order_a].astype(np.int8) - b.correct_N[order_b].astype(np.int8)
    return outcome_N
