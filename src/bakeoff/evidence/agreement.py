"""Two candidates on the same test images: how often they agree, and on which images they part.

Everything is a mean over the seeds that both have finished, paired by number.

Shape letters: S seeds, N images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bakeoff.errors import StudyError
from bakeoff.evidence.comparison import BySeed


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How often two candidates are right and wrong together; counts of images are means over seeds."""

    images: int
    seeds: tuple[int, ...]
    both: float  # right
    first_only: float
    second_only: float
    neither: float
    same_answer: float  # share of images for which both name the same class
    kappa: float | None  # of the answers, beyond what their frequencies give by chance; 1 is full agreement


@dataclass(frozen=True, slots=True, kw_only=True)
class Parting:
    """A test image that one of two candidates recognises more often than the other."""

    index: int  # into the task's images
    label: int
    first_right: int  # seeds
    second_right: int
    seeds: int
    first_answer: int  # the class that its seeds name most, the lowest of equals
    second_answer: int


@dataclass(frozen=True)
class Paired:
    """The answers of two candidates to the same images, over the seeds in common."""

    seeds: tuple[int, ...]
    index_N: np.ndarray
    label_N: np.ndarray
    first_SN: np.ndarray  # classes
    second_SN: np.ndarray

    @property
    def outcome_SN(self) -> np.ndarray:
        """+1 where only the first is right, -1 where only the second is, else 0."""
        first, second = (answer_SN == self.label_N for answer_SN in (self.first_SN, self.second_SN))
        outcome_SN: np.ndarray = first.astype(np.int8) - second.astype(np.int8)
        return outcome_SN


def paired(runs_first: BySeed, runs_second: BySeed) -> Paired:
    """Put the answers of two candidates beside each other, image by image.

    Args:
        runs_first: The first's test predictions by seed.
        runs_second: The second's.

    Returns:
        The answers, in the order of the images.

    Raises:
        StudyError: They have no seed in common, or were tested on different images.
    """
    seeds = tuple(sorted(set(runs_first) & set(runs_second)))
    if not seeds:
        raise StudyError("compare: no finished seed in common, expected one")
    runs = [runs[seed] for runs in (runs_first, runs_second) for seed in seeds]
    order = [np.argsort(run.index_N, kind="stable") for run in runs]
    index_N, label_N = runs[0].index_N[order[0]], runs[0].label_N[order[0]]
    for run, rows_N in zip(runs, order, strict=True):
        same = np.array_equal(run.index_N[rows_N], index_N)
        if not same or not np.array_equal(run.label_N[rows_N], label_N):
            raise StudyError("compare: tested on different images, expected the same ones")
    answers = [run.top_NT[rows_N, 0].astype(np.int64) for run, rows_N in zip(runs, order, strict=True)]
    half = len(seeds)
    return Paired(
        seeds, index_N, label_N.astype(np.int64), np.stack(answers[:half]), np.stack(answers[half:])
    )


def agreement(pair: Paired) -> Agreement:
    """Count how often two candidates are right together, alone, and not at all.

    Source:
        Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20
        (1960), for the kappa of each seed.

    >>> pair = Paired((0,), np.arange(4), np.array([0, 0, 1, 1]), np.array([[0, 0, 1, 0]]),
    ...               np.array([[0, 1, 1, 0]]))
    >>> found = agreement(pair)
    >>> found.both, found.first_only, found.second_only, found.neither, found.same_answer, found.kappa
    (2.0, 1.0, 0.0, 1.0, 0.75, 0.5)
    """
    first_SN, second_SN = pair.first_SN == pair.label_N, pair.second_SN == pair.label_N
    seeds, images = first_SN.shape

    def mean(hit_SN: np.ndarray) -> float:
        return float(int(hit_SN.sum()) / seeds)

    kappas = [_kappa(*answers) for answers in zip(pair.first_SN, pair.second_SN, strict=True)]
    known = [kappa for kappa in kappas if kappa is not None]
    return Agreement(
        images=images, seeds=pair.seeds, both=mean(first_SN & second_SN),
        first_only=mean(first_SN & ~second_SN), second_only=mean(~first_SN & second_SN),
        neither=mean(~first_SN & ~second_SN), same_answer=mean(pair.first_SN == pair.second_SN) / images,
        kappa=sum(known) / len(known) if known else None,
    )  # fmt: skip


def partings(pair: Paired) -> tuple[Parting, ...]:
    """List the images on which two candidates part, those with most seeds apart first, then by their index.

    Args:
        pair: The two on the same images.

    Returns:
        Every image that one of them recognises in more seeds than the other.
    """
    first_N = (pair.first_SN == pair.label_N).sum(axis=0)
    second_N = (pair.second_SN == pair.label_N).sum(axis=0)
    rows = np.flatnonzero(first_N != second_N)
    rows = rows[np.argsort(-np.abs(first_N - second_N)[rows], kind="stable")]
    return tuple(
        Parting(
            index=int(pair.index_N[row]), label=int(pair.label_N[row]), first_right=int(first_N[row]),
            second_right=int(second_N[row]), seeds=len(pair.seeds),
            first_answer=_commonest(pair.first_SN[:, row].tolist()),
            second_answer=_commonest(pair.second_SN[:, row].tolist()),
        )
        for row in rows
    )  # fmt: skip


def _kappa(first_N: np.ndarray, second_N: np.ndarray) -> float | None:
    """Return Cohen's kappa; None when both always name one and the same class."""
    images = len(first_N)
    ours, theirs = Counter(first_N.tolist()), Counter(second_N.tolist())
    chance = float(sum(count * theirs[label] for label, count in ours.items())) / images**2
    same = int((first_N == second_N).sum()) / images
    return None if chance == 1 else (same - chance) / (1 - chance)


def _commonest(answers: Sequence[int]) -> int:
    counts = Counter(answers)
    return min(counts, key=lambda answer: (-counts[answer], answer))
