"""On which classes two candidates differ: each tested on its own images, all of them corrected together.

Shape letters: S seeds, N images, M of them of one class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bakeoff.evidence.agreement import Paired
from bakeoff.evidence.comparison import ALPHA, holm, mcnemar, paired_interval, seeds_and_images
from bakeoff.evidence.words import listing, percent, points


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassDifference:
    """Two candidates on the images of one class; a positive difference means the first is better on it."""

    label: int  # the class
    name: str
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


def class_differences(pair: Paired, class_names: Sequence[str] | None) -> tuple[ClassDifference, ...]:
    """Compare two candidates on each class.

    One seed in common: McNemar's exact test. Several: the test over seeds and images of
    `comparison.seeds_and_images`. Holm's method corrects over the classes.

    Args:
        pair: The two on the same images.
        class_names: The task's; None names classes by their number.

    Returns:
        The classes that have images, the largest difference first, then in class order.
    """
    outcome_SN = pair.outcome_SN
    found = []
    for label in np.unique(pair.label_N).tolist():
        own_N = pair.label_N == label
        first, second = (
            float((answer_SN[:, own_N] == label).mean()) for answer_SN in (pair.first_SN, pair.second_SN)
        )
        outcome_SM = outcome_SN[:, own_N]
        p, low, high = _tested(outcome_SM)
        found.append(ClassDifference(
            label=label, name=class_names[label] if class_names is not None else f"class {label}",
            images=outcome_SM.shape[1], first=first, second=second,
            difference=int(outcome_SM.sum(dtype=np.int64)) / outcome_SM.size, low=low, high=high, p=p,
            p_holm=p,
        ))  # fmt: skip
    corrected = holm([one.p for one in found])
    found = [replace(one, p_holm=p) for one, p in zip(found, corrected, strict=True)]
    return tuple(sorted(found, key=lambda one: -abs(one.difference)))


def differences_in_words(first: str, second: str, found: Sequence[ClassDifference]) -> str:
    """Say on which classes two candidates differ most, and whether that is more than chance.

    >>> one = ClassDifference(label=0, name="boa", images=50, first=0.8, second=0.5, difference=0.3, low=0.1,
    ...                       high=0.5, p=0.001, p_holm=0.004)
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


def _tested(outcome_SM: np.ndarray) -> tuple[float, float, float]:
    """Return p and the ends of the interval of the difference on one class's images."""
    if len(outcome_SM) > 1:
        return seeds_and_images(outcome_SM)
    counts = int((outcome_SM > 0).sum()), int((outcome_SM < 0).sum())
    return mcnemar(*counts), *paired_interval(*counts, outcome_SM.shape[1])
