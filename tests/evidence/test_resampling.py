"""Goldens: `scipy.stats.bootstrap`, and the metrics themselves on images left out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bakeoff.evidence.metrics import METRICS
from bakeoff.evidence.resampling import NAMES, Name, bootstrap_intervals, image_values
from bakeoff.records import Predictions
from bakeoff.rng import generator


def taken(predictions: Predictions, rows: np.ndarray) -> Predictions:
    return Predictions(**{name: value[rows] for name, value in vars(predictions).items()})


def guessed(label_N: np.ndarray, guess_N: np.ndarray) -> Predictions:
    images = len(label_N)
    return Predictions(
        index_N=np.arange(images), label_N=label_N, loss_N=np.ones(images, np.float32),
        top_NT=guess_N[:, None], probability_NT=np.ones((images, 1), np.float32),
    )  # fmt: skip


@pytest.fixture
def some() -> Predictions:
    """Eighty images of four classes, two of them rare, seven of ten right."""
    random = generator(0, "some")
    label_N = random.choice(4, 80, p=[0.5, 0.3, 0.15, 0.05])
    return guessed(label_N, np.where(random.random(80) < 0.7, label_N, random.choice(4, 80)))


@pytest.mark.parametrize("name", NAMES)
def test_the_interval_is_that_of_scipys_bca(some: Predictions, name: Name) -> None:
    metric = METRICS[name].fn

    def statistic(rows: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.apply_along_axis(lambda chosen: metric(taken(some, chosen)), axis, rows)

    golden = stats.bootstrap(
        (np.arange(80),), statistic, n_resamples=4000, method="BCa", random_state=np.random.default_rng(5)
    ).confidence_interval
    found = bootstrap_intervals({"a": some}, resamples=40_000)["a", name]
    # Both ends are quantiles of chance: with 4000 resamples the standard error is near 0.004.
    assert (found.low, found.high) == pytest.approx((golden.low, golden.high), abs=0.015)
    assert (found.mean, found.n, found.over) == (pytest.approx(metric(some)), 80, "images")


@pytest.mark.parametrize("name", NAMES)
def test_values_of_images_are_the_jackknifes(some: Predictions, name: Name) -> None:
    metric = METRICS[name].fn
    without_N = np.array([metric(taken(some, np.delete(np.arange(80), row))) for row in range(80)])
    assert image_values(some, name) == pytest.approx(80 * metric(some) - 79 * without_N, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_a_class_that_goes_with_its_only_image_no_longer_counts(name: Name) -> None:
    few = guessed(np.array([0, 0, 1, 1, 2]), np.array([0, 0, 1, 0, 3]))
    metric = METRICS[name].fn
    without_N = [metric(taken(few, np.delete(np.arange(5), row))) for row in range(5)]
    assert image_values(few, name) == pytest.approx(5 * metric(few) - 4 * np.array(without_N))


def test_values_are_in_the_order_of_the_images(some: Predictions) -> None:
    turned = taken(some, generator(0, "turn").permutation(80))
    assert np.array_equal(image_values(turned, "macro_f1"), image_values(some, "macro_f1"))
    assert bootstrap_intervals({"a": turned}) == bootstrap_intervals({"a": some})


def test_an_interval_does_not_depend_on_who_else_is_bounded(some: Predictions) -> None:
    other = guessed(some.label_N, some.label_N)
    alone, together = bootstrap_intervals({"a": some}), bootstrap_intervals({"b": other, "a": some})
    assert alone["a", "macro_f1"] == together["a", "macro_f1"]
    assert bootstrap_intervals({}) == {}


def test_runs_of_different_images_are_not_resampled_together(some: Predictions) -> None:
    with pytest.raises(ValueError, match="different images"):
        bootstrap_intervals({"a": some, "b": guessed(some.label_N[::-1], some.label_N)})


def test_of_a_run_without_a_mistake_resamples_say_nothing(some: Predictions) -> None:
    found = bootstrap_intervals({"a": guessed(some.label_N, some.label_N)})["a", "macro_f1"]
    assert (found.low, found.mean, found.high) == (None, 1.0, None)
