"""Metrics of one run on one split; each carries its direction and its bounds.

Only what the compact predictions determine exactly is here, so that every number of
a study can be computed again from the files that it leaves. Sums are rounded once
(`math.fsum`), so the last digit is the same on every machine. Shape letters: N
images, T kept classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bakeoff.evidence.predictions import WORST_LOSS
from bakeoff.records import Predictions
from bakeoff.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A number in `bounds`, and which way is better."""

    fn: Callable[[Predictions], float]
    better: Literal["higher", "lower"]
    bounds: tuple[float, float]
    title: str  # for people


def accuracy(predictions: Predictions) -> float:
    """Return the share of images whose best class is the label, in [0, 1]."""
    return _share(predictions.correct_N)


def top5(predictions: Predictions) -> float:
    """Return the share of images whose label is among the five best classes, in [0, 1].

    With five classes or fewer every image counts: the number is 1 and says nothing.
    """
    return _share((predictions.top_NT == predictions.label_N[:, None]).any(axis=1))


def loss(predictions: Predictions) -> float:
    """Return the mean negative log-likelihood of the labels, in nats; lower is better."""
    _refuse_empty(predictions.loss_N)
    return math.fsum(predictions.loss_N.tolist()) / len(predictions.loss_N)


def balanced_accuracy(predictions: Predictions) -> float:
    """Return the mean over the classes that have images of the share recognised, in [0, 1].

    Source:
        Brodersen et al., "The balanced accuracy and its posterior distribution", ICPR 2010.
    """
    _refuse_empty(predictions.label_N)
    hits_K, labels_K, _ = _counts(predictions)
    shares = [hits / labels for hits, labels in zip(hits_K, labels_K, strict=True) if labels]
    return math.fsum(shares) / len(shares)


def macro_f1(predictions: Predictions) -> float:
    """Return the mean over classes of the harmonic mean of precision and recall, in [0, 1].

    Classes are those that occur as a label or as a prediction; a class that is
    predicted and has no images, or has images and is never predicted, counts as 0.

    Source:
        Van Rijsbergen, "Information Retrieval", 1979; averaged as scikit-learn's ``f1_score`` with
        ``average="macro"``.
    """
    _refuse_empty(predictions.label_N)
    scores = [
        2 * hits / (labels + guesses)
        for hits, labels, guesses in zip(*_counts(predictions), strict=True)
        if labels + guesses
    ]
    return math.fsum(scores) / len(scores)


def _counts(predictions: Predictions) -> tuple[list[int], list[int], list[int]]:
    """Count for each class its images that are recognised, its images, and the images taken for it."""
    label_N, predicted_N = predictions.label_N.astype(np.int64), predictions.top_NT[:, 0].astype(np.int64)
    classes = 1 + int(max(label_N.max(), predicted_N.max()))
    counted = (label_N[label_N == predicted_N], label_N, predicted_N)
    hits, labels, guesses = (np.bincount(part_N, minlength=classes).tolist() for part_N in counted)
    return hits, labels, guesses


METRICS: Registry[Metric] = Registry("metric")
METRICS.register("accuracy", Metric(fn=accuracy, better="higher", bounds=(0, 1), title="Accuracy"))
METRICS.register("loss", Metric(fn=loss, better="lower", bounds=(0, WORST_LOSS), title="Loss (nats)"))
METRICS.register("top5", Metric(fn=top5, better="higher", bounds=(0, 1), title="Top-5 accuracy"))
METRICS.register("macro_f1", Metric(fn=macro_f1, better="higher", bounds=(0, 1), title="Macro F1"))
METRICS.register(
    "balanced_accuracy",
    Metric(fn=balanced_accuracy, better="higher", bounds=(0, 1), title="Balanced accuracy"),
)


def measure(predictions: Predictions, split: str) -> dict[str, float]:
    """Compute every metric of a split.

    Args:
        predictions: Of its images; at least one.
        split: ``"validation"`` or ``"test"``.

    Returns:
        Numbers under the names that a record uses, such as ``test_accuracy``.

    Raises:
        ValueError: There are no images.
    """
    return {f"{split}_{name}": metric.fn(predictions) for name, metric in METRICS.items()}


def _share(hit_N: np.ndarray) -> float:
    """Divide two whole numbers, which is exact to the last bit everywhere."""
    _refuse_empty(hit_N)
    return int(hit_N.sum()) / len(hit_N)


def _refuse_empty(values_N: np.ndarray) -> None:
    if len(values_N) == 0:
        raise ValueError("predictions: got no image, expected at least one")
