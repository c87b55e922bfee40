"""Goldens: scikit-learn, an implementation by others of the same definitions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from bakeoff.evidence.metrics import METRICS, measure
from bakeoff.evidence.predictions import summarise_probabilities
from bakeoff.records import Predictions
from bakeoff.rng import generator


def drawn(
    images: int, classes: int, labelled: int | None = None
) -> tuple[np.ndarray, np.ndarray, Predictions]:
    """Draw probabilities and labels; only the first `labelled` classes have images, unevenly."""
    random = generator(0, "metrics", images, classes)
    probabilities_NK = random.dirichlet(np.full(classes, 0.3), images).astype(np.float32)
    label_N = (random.beta(1, 2, images) * (labelled or classes)).astype(int)
    return probabilities_NK, label_N, summarise_probabilities(probabilities_NK, label_N, np.arange(images))


@pytest.mark.parametrize(("images", "classes", "labelled"), [(200, 7, 7), (57, 12, 5), (1, 3, 1)])
def test_metrics_are_those_of_scikit_learn(images: int, classes: int, labelled: int) -> None:
    probabilities_NK, label_N, predictions = drawn(images, classes, labelled)
    predicted_N = probabilities_NK.argmax(axis=1)
    found = measure(predictions, "test")
    assert found["test_accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(label_N, predicted_N))
    assert found["test_macro_f1"] == pytest.approx(
        sklearn_metrics.f1_score(label_N, predicted_N, average="macro", zero_division=0)
    )
    recalls = sklearn_metrics.recall_score(
        label_N, predicted_N, labels=np.unique(label_N), average="macro", zero_division=0
    )
    assert found["test_balanced_accuracy"] == pytest.approx(recalls)
    own_N = probabilities_NK[np.arange(images), label_N].astype(float)
    assert found["test_loss"] == pytest.approx(np.mean(-np.log(np.maximum(own_N, 1.2e-38))), rel=1e-6)
    if images > 1:
        top5 = sklearn_metrics.top_k_accuracy_score(label_N, probabilities_NK, k=5, labels=np.arange(classes))
        assert found["test_top5"] == pytest.approx(top5)


@pytest.mark.parametrize("name", list(METRICS))
def test_every_metric_stays_inside_its_bounds_and_reaches_its_best(name: str) -> None:
    metric = METRICS[name]
    low, high = metric.bounds
    for sure in (np.eye(6, dtype=np.float32), np.roll(np.eye(6, dtype=np.float32), 1, axis=1)):
        value = metric.fn(summarise_probabilities(sure, np.arange(6), np.arange(6)))
        assert low <= value <= high
    perfect = summarise_probabilities(np.eye(6, dtype=np.float32), np.arange(6), np.arange(6))
    assert metric.fn(perfect) == (high if metric.better == "higher" else low)


@pytest.mark.parametrize("name", list(METRICS))
def test_no_metric_depends_on_the_order_of_the_images(name: str) -> None:
    _, _, found = drawn(500, 9)
    order = generator(0, "shuffle").permutation(500)
    shuffled = Predictions(**{field: value[order] for field, value in vars(found).items()})
    assert METRICS[name].fn(shuffled) == METRICS[name].fn(found)  # to the last bit


@pytest.mark.parametrize("name", list(METRICS))
def test_no_image_is_refused(name: str) -> None:
    _, _, found = drawn(5, 3)
    nothing = Predictions(**{field: value[:0] for field, value in vars(found).items()})
    with pytest.raises(ValueError, match="no image"):
        METRICS[name].fn(nothing)


def test_top5_of_a_label_in_fifth_place_counts_and_in_sixth_does_not() -> None:
    row = np.float32([[0.3, 0.2, 0.15, 0.13, 0.12, 0.1]])
    fifth = summarise_probabilities(row, np.array([4]), np.array([0]))
    sixth = summarise_probabilities(row, np.array([5]), np.array([0]))
    assert (METRICS["top5"].fn(fifth), METRICS["top5"].fn(sixth)) == (1.0, 0.0)
