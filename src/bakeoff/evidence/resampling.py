"""Macro F1 and balanced accuracy with intervals: metrics that are no mean over images.

Both depend on the images through counts of classes only. One run: images are drawn again with
replacement, and the bias-corrected and accelerated bootstrap (BCa) bounds the metric. Several seeds:
the jackknife gives each image a value of which the metric is nearly the mean, and these go where
a loss goes (`intervals.seeds_and_images`), so that seeds are never counted as extra images.

Shape letters: N images, K classes, B resamples, M pairs of label and prediction, S seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import sparse, special

from bakeoff import rng
from bakeoff.evidence.intervals import Interval
from bakeoff.records import Predictions

Name = Literal["macro_f1", "balanced_accuracy"]
NAMES: tuple[Name, ...] = ("macro_f1", "balanced_accuracy")

RESAMPLES = 2000  # so that 50 lie beyond each end
_AT_ONCE = 64  # resamples in memory together: 5 MB for 10,000 images


def bootstrap_intervals(
    runs: Mapping[str, Predictions], *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> dict[tuple[str, Name], Interval]:
    """Bound both metrics of single runs over their images.

    The same resamples serve all runs, so that many candidates cost little more than one.

    Args:
        runs: Test predictions by candidate; all of the same images.
        level: Coverage, between 0 and 1.
        resamples: B.
        seed: Of the stream that draws them; equal seeds give equal intervals.

    Returns:
        An interval by candidate and metric. It holds the metric, inside [0, 1]; it has no ends for a run
        without a mistake, of which resamples say nothing.

    Raises:
        ValueError: The runs are of different images.

    Source:
        Efron, "Better bootstrap confidence intervals", JASA 82 (1987), section 3.
    """
    if not runs:
        return {}
    counted = {name: _Counts.of(predictions) for name, predictions in runs.items()}
    drawn_B = _resampled(list(counted.values()), resamples, rng.generator(seed, "bootstrap"))
    return {
        (candidate, name): _bca(counts, name, drawn[name], level)
        for (candidate, counts), drawn in zip(counted.items(), drawn_B, strict=True)
        for name in NAMES
    }


def image_values(predictions: Predictions, name: Name) -> np.ndarray:
    """Return a value for each image, in the order of the images, whose mean is nearly the metric.

    They are the jackknife's pseudo-values: N times the metric less N - 1 times that without the image.

    Args:
        predictions: Of one run; two images at least.
        name: The metric.

    Returns:
        float64 of shape (N,).

    Source:
        Tukey, "Bias and confidence in not-quite large samples", Annals of Mathematical Statistics 29 (1958).
    """
    counts = _Counts.of(predictions)
    without_N = counts.without_each(name)[counts.pair_N]
    images = len(without_N)
    values_N: np.ndarray = images * counts.value(name) - (images - 1) * without_N
    return values_N


@dataclass(frozen=True, eq=False)
class _Counts:
    """What both metrics are made of; images are in the order of their index."""

    label_N: np.ndarray
    guess_N: np.ndarray
    pair_N: np.ndarray  # which of the M pairs an image is
    label_M: np.ndarray
    guess_M: np.ndarray
    hits_K: np.ndarray
    labels_K: np.ndarray  # images of the class
    guesses_K: np.ndarray  # images taken for it

    @classmethod
    def of(cls, predictions: Predictions) -> _Counts:
        order_N = np.argsort(predictions.index_N, kind="stable")
        label_N = predictions.label_N[order_N].astype(np.int64)
        guess_N = predictions.top_NT[order_N, 0].astype(np.int64)
        classes = 1 + int(max(label_N.max(), guess_N.max()))
        pair_M, pair_N = np.unique(label_N * classes + guess_N, return_inverse=True)
        return cls(
            label_N, guess_N, pair_N, pair_M // classes, pair_M % classes,
            np.bincount(label_N[label_N == guess_N], minlength=classes),
            np.bincount(label_N, minlength=classes), np.bincount(guess_N, minlength=classes),
        )  # fmt: skip

    def value(self, name: Name) -> float:
        score_K, counts_K = _scores(name, self.hits_K, self.labels_K, self.guesses_K)
        return float(score_K.sum() / counts_K.sum())

    def without_each(self, name: Name) -> np.ndarray:
        """Return the metric without one image, for each pair (M,)."""
        whole_K, present_K = _scores(name, self.hits_K, self.labels_K, self.guesses_K)
        y, g = self.label_M, self.guess_M
        hit, miss = (y == g).astype(np.int64), y != g
        of_y, in_y = _scores(name, self.hits_K[y] - hit, self.labels_K[y] - 1, self.guesses_K[y] - hit)
        of_g, in_g = _scores(name, self.hits_K[g], self.labels_K[g], self.guesses_K[g] - 1)
        total_M = whole_K.sum() + of_y - whole_K[y] + miss * (of_g - whole_K[g])
        number_M = present_K.sum() + in_y - present_K[y] + miss * (in_g - present_K[g])
        without_M: np.ndarray = total_M / np.maximum(number_M, 1)
        return without_M


def _scores(
    name: Name, hits: np.ndarray, labels: np.ndarray, guesses: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return each class's part in the metric, and 1 where the class counts, from arrays of any shape."""
    above, below = (2 * hits, labels + guesses) if name == "macro_f1" else (hits, labels)
    counts = (below > 0).astype(np.float64)
    return above / np.maximum(below, 1), counts


def _resampled(
    runs: Sequence[_Counts], resamples: int, generator: np.random.Generator
) -> list[dict[Name, np.ndarray]]:
    """Compute the metrics of every run on the same resamples (B,)."""
    label_N = runs[0].label_N
    if not all(np.array_equal(counts.label_N, label_N) for counts in runs):
        raise ValueError("bootstrap: got runs of different images, expected the same ones")
    images, sizes = len(label_N), [len(counts.hits_K) for counts in runs]
    known = [_indicator(label_N, max(sizes))]
    for counts, size in zip(runs, sizes, strict=True):
        known.append(_indicator(np.where(counts.guess_N == label_N, label_N, -1), size))
        known.append(_indicator(counts.guess_N, size))
    stacked = sparse.vstack(known, format="csr")
    parts: list[list[dict[Name, np.ndarray]]] = [[] for _ in runs]
    for first in range(0, resamples, _AT_ONCE):
        rows = min(_AT_ONCE, resamples - first)
        draw_BN = generator.integers(0, images, (rows, images)) + images * np.arange(rows)[:, None]
        weight_BN = np.bincount(draw_BN.ravel(), minlength=rows * images).reshape(rows, images)
        # Counts are whole and far below 2^24, so single precision holds them exactly.
        summed = stacked @ np.ascontiguousarray(weight_BN.T, dtype=np.float32)
        start = max(sizes)
        for found, size in zip(parts, sizes, strict=True):
            labels, hits, guesses = summed[:size], summed[start:][:size], summed[start + size :][:size]
            start += 2 * size
            scores = {name: _scores(name, hits, labels, guesses) for name in NAMES}
            found.append(
                {name: s.sum(axis=0, dtype=np.float64) / n.sum(axis=0) for name, (s, n) in scores.items()}
            )
    return [{name: np.concatenate([part[name] for part in found]) for name in NAMES} for found in parts]


def _indicator(class_N: np.ndarray, classes: int) -> sparse.csr_matrix:
    """Mark each image's class in a matrix (K, N); -1 marks nothing."""
    where = np.flatnonzero(class_N >= 0)
    ones = np.ones(len(where), dtype=np.float32)
    return sparse.csr_matrix((ones, (class_N[where], where)), shape=(classes, len(class_N)))


def _bca(counts: _Counts, name: Name, drawn_B: np.ndarray, level: float) -> Interval:
    """Take the ends from the resamples, moved by their bias and by the skewness of the jackknife."""
    value, images = counts.value(name), len(counts.label_N)
    below = (float((drawn_B < value).mean()) + float((drawn_B <= value).mean())) / 2  # ties halved
    if not 0 < below < 1 or drawn_B.min() == drawn_B.max():  # at its limit: resamples say nothing
        return Interval(mean=value, n=images, over="images", level=level)
    bias, skew = float(special.ndtri(below)), _acceleration(counts, name)
    tails = bias + float(special.ndtri((1 + level) / 2)) * np.array([-1.0, 1.0])
    ends = special.ndtr(bias + tails / np.maximum(1 - skew * tails, 1e-9))
    low, high = (float(end) for end in np.quantile(drawn_B, ends))
    return Interval(
        mean=value, low=min(low, value), high=max(high, value), n=images, over="images", level=level
    )


def _acceleration(counts: _Counts, name: Name) -> float:
    """Return a sixth of the skewness of the jackknife, turned round (Efron 1987, eq. 7.3)."""
    without_M, times_M = counts.without_each(name), np.bincount(counts.pair_N)
    apart_M = np.average(without_M, weights=times_M) - without_M
    square = float((times_M * apart_M**2).sum())
    return float((times_M * apart_M**3).sum()) / (6 * square**1.5) if square > 0 else 0.0
