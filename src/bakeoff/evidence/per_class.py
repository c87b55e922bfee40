"""On which classes two candidates differ: each tested on its own images, all of them corrected together.

Shape letters: S seeds, N images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bakeoff.evidence.comparison import (
    ALPHA,
    BySeed,
    holm,
    mcnemar,
    outcomes,
    paired_interval,
    seeds_and_images,
)
from bakeoff.evidence.words import listing, percent, points


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassDifference:
    """Two candidates on the images of one class; a positive difference means the first is better on it."""

    name: str  # the class
    images: int
    first: float  # share recognised, mean over seeds
    second: float
    difference: float
    low: float  # ends of its 95 % interval, not corrected for other classes
    high: float
    p: float
    p_holm: float  # corrected for all classes

    @property
    def told_apart(self) -> bool:
        """Whether the difference on this class is more than chance explains, at 5 % for all classes."""
        return self.p_holm < ALPHA


def class_differences(
    first: str,
    second: str,
    runs_first: BySeed,
    runs_second: BySeed,
    class_names: Sequence[str] | None,
) -> tuple[ClassDifference, ...]:
    """Compare two candidates on each class.

    One seed in common: McNemar's exact test. Several: the test over seeds and images of
    `comparison.seeds_and_images`. Holm's method corrects over the classes.

    Args:
        first: Name of a candidate.
        second: Name of the other.
        runs_first: The first's test predictions by seed.
        runs_second: The second's.
        class_names: The task's; None names classes by their number.

    Returns:
        The classes that have images, the largest difference first, then in class order; none when the
        two have no seed in common.

    Raises:
        StudyError: They were tested on different images.
    """
    seeds = sorted(set(runs_first) & set(runs_second))
    if not seeds:
        return ()
    outcome_SN = np.stack([outcomes(first, second, runs_first[seed], runs_second[seed]) for seed in seeds])
    label_N, right_SN = _right(runs_first, seeds)
    found = []
    for label in np.unique(label_N):
        own = label_N == label
        name = class_names[label] if class_names is not None else f"class {label}"
        found.append(_of_class(name, outcome_SN[:, own], float(right_SN[:, own].mean())))
    corrected = holm([one.p for one in found])
    found = [replace(one, p_holm=p) for one, p in zip(found, corrected, strict=True)]
    return tuple(sorted(found, key=lambda one: -abs(one.difference)))


def differences_in_words(first: str, second: str, found: Sequence[ClassDifference]) -> str:
    """Say on which classes two candidates differ most, and whether that is more than chance.

    >>> one = ClassDifference(name="boa", images=50, first=0.8, second=0.5, difference=0.3, low=0.1, high=0.5,
    ...                       p=0.001, p_holm=0.004)
    >>> differences_in_words("a", "b", [one])
    'a and b can be told apart on 1 of 1 classes: boa, where a is better (80.0 % against 50.0 %).'
    """
    apart = [one for one in found if one.told_apart]
    start = f"{first} and {second} can be told apart on"
    if not apart:
        if not found or not found[0].difference:
            return f"{first} and {second} are equally often right on every class."
        most = found[0]
        return (
            f"{start} none of {len(found)} classes by its images alone. They are furthest apart on "
            f"{most.name} ({points(most.difference)} for {first}, of {most.images} images)."
        )
    said = [
        f"{one.name}, where {first if one.difference > 0 else second} is better "
        f"({percent(max(one.first, one.second))} against {percent(min(one.first, one.second))})"
        for one in apart
    ]
    return f"{start} {len(apart)} of {len(found)} classes: {listing(said, 3)}."


def _right(runs: BySeed, seeds: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels (N,) and who is right (S, N), in the order of the images."""
    orders = [np.argsort(runs[seed].index_N, kind="stable") for seed in seeds]
    right_SN = np.stack([runs[seed].correct_N[order_N] for seed, order_N in zip(seeds, orders, strict=True)])
    return runs[seeds[0]].label_N[orders[0]], right_SN


def _of_class(name: str, outcome_SN: np.ndarray, first: float) -> ClassDifference:
    difference = int(outcome_SN.sum(dtype=np.int64)) / outcome_SN.size
    images = outcome_SN.shape[1]
    if len(outcome_SN) == 1:
        counts = int((outcome_SN > 0).sum()), int((outcome_SN < 0).sum())
        p, (low, high) = mcnemar(*counts), paired_interval(*counts, images)
    else:
        p, low, high = seeds_and_images(outcome_SN)
    return ClassDifference(
        name=name, images=images, first=first, second=max(0.0, first - difference), difference=difference,
        low=low, high=high, p=p, p_holm=p,
    )  # fmt: skip
