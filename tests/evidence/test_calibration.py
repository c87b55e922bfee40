"""Goldens: scikit-learn and SciPy, implementations by others of the same definitions, and counts by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import optimize
from sklearn import metrics as sklearn_metrics
from sklearn.calibration import calibration_curve

from bakeoff.errors import StudyError
from bakeoff.evidence.calibration import (
    FEW_MISTAKES,
    FEWEST_MISTAKES,
    HOTTEST,
    NO_SIGNAL,
    brier_by_image,
    calibrate,
    calibration_error,
    equal_mass,
    equal_width,
    fit_temperature,
    largest_error,
    measure_split,
    read_calibration,
    reliability,
    scale_probabilities,
)
from bakeoff.rng import generator


def softmax(logits_NK: np.ndarray) -> np.ndarray:
    """Return float32, as a run keeps them."""
    exp_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    probabilities_NK: np.ndarray = (exp_NK / exp_NK.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities_NK


def drawn(
    images: int, classes: int, sharpness: float = 1.0, stream: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw labels from the probabilities themselves, then sharpen these: the right temperature is known."""
    random = generator(stream, "calibration test", images, classes)
    logits_NK = random.normal(0, 1.5, (images, classes))
    cumulative_NK = softmax(logits_NK).astype(np.float64).cumsum(axis=1)
    label_N = (random.random((images, 1)) > cumulative_NK[:, :-1]).sum(axis=1)
    return softmax(sharpness * logits_NK), label_N


# Reliability and its errors


def test_bins_of_equal_width_are_those_of_scikit_learn() -> None:
    probabilities_NK, label_N = drawn(700, 6)
    confidence_N = probabilities_NK.max(axis=1).astype(np.float64)
    right_N = probabilities_NK.argmax(axis=1) == label_N
    bins = reliability(confidence_N, right_N, equal_width())
    true, predicted = calibration_curve(right_N, confidence_N, n_bins=15)
    assert [found.accuracy for found in bins] == pytest.approx(true)
    assert [found.confidence for found in bins] == pytest.approx(predicted)
    assert sum(found.images for found in bins) == 700


def test_bins_of_equal_mass_are_those_of_scikit_learn_with_whole_images_as_edges() -> None:
    probabilities_NK, label_N = drawn(450, 6)
    confidence_N = probabilities_NK.max(axis=1).astype(np.float64)
    bins = reliability(confidence_N, label_N == 0, equal_mass(confidence_N))
    assert [found.images for found in bins] == [30] * 15


def test_equal_confidences_are_never_put_into_different_bins_of_equal_mass() -> None:
    confidence_N = np.array([0.5] * 20 + [0.75] * 7 + [1.0] * 40)
    bins = reliability(confidence_N, np.ones(67, dtype=bool), equal_mass(confidence_N))
    assert [(found.images, found.confidence) for found in bins] == [(20, 0.5), (7, 0.75), (40, 1.0)]


def test_an_edge_belongs_to_the_bin_below_it_and_zero_to_the_first() -> None:
    bins = reliability(np.array([0.0, 0.2, 0.21, 1.0]), np.array([0, 1, 1, 0]), equal_width(5))
    assert [(found.low, found.high, found.images) for found in bins] == [
        (0.0, 0.2, 2), (0.2, 0.4, 1), (0.8, 1.0, 1),
    ]  # fmt: skip


def test_the_expected_and_the_largest_error_of_a_case_worked_by_hand() -> None:
    confidence_N = np.array([0.9, 0.9, 0.9, 0.9, 0.6, 0.6])
    right_N = np.array([1, 1, 0, 0, 1, 1])  # 90 % promised and 50 % kept; 60 % and 100 %
    bins = reliability(confidence_N, right_N, equal_width(2))  # one bin for both: 80 % and 4 of 6
    assert calibration_error(bins) == pytest.approx(0.8 - 4 / 6)
    bins = reliability(confidence_N, right_N, equal_width())
    assert calibration_error(bins) == pytest.approx((4 * 0.4 + 2 * 0.4) / 6)
    right_N = np.array([1, 1, 1, 0, 1, 1])
    bins = reliability(confidence_N, right_N, equal_width())
    assert calibration_error(bins) == pytest.approx((4 * 0.15 + 2 * 0.4) / 6)
    assert largest_error(bins) == pytest.approx(0.4)


# Scores


@pytest.mark.parametrize(("images", "classes"), [(300, 7), (9000, 3), (1, 4)])
def test_the_brier_score_is_the_sum_over_classes_of_scikit_learns(images: int, classes: int) -> None:
    probabilities_NK, label_N = drawn(images, classes)
    golden = sum(
        np.mean((probabilities_NK[:, k].astype(float) - (label_N == k)) ** 2) for k in range(classes)
    )
    if images > 1:
        by_class = [
            sklearn_metrics.brier_score_loss(
                label_N == k, probabilities_NK[:, k].astype(float), pos_label=True
            )
            for k in range(classes)
        ]
        assert sum(by_class) == pytest.approx(golden, abs=1e-12)
    assert brier_by_image(probabilities_NK, label_N).mean() == pytest.approx(golden, abs=1e-12)


def test_the_scores_of_a_split_are_those_of_scikit_learn() -> None:
    probabilities_NK, label_N = drawn(400, 5, sharpness=1.5)
    found = measure_split(probabilities_NK, label_N)
    exact_NK = probabilities_NK.astype(np.float64)
    exact_NK /= exact_NK.sum(axis=1, keepdims=True)
    assert found.loss == pytest.approx(sklearn_metrics.log_loss(label_N, exact_NK), rel=1e-6)
    own_N = -np.log(probabilities_NK[np.arange(400), label_N].astype(float))
    assert found.loss_error == pytest.approx(own_N.std(ddof=1) / math.sqrt(400))
    squares_N = ((probabilities_NK.astype(float) - np.eye(5)[label_N]) ** 2).sum(axis=1)
    assert (found.brier, found.brier_error) == pytest.approx(
        (squares_N.mean(), squares_N.std(ddof=1) / math.sqrt(400))
    )


@pytest.mark.parametrize("call", [measure_split, fit_temperature])
def test_no_image_is_refused(call: Any) -> None:
    with pytest.raises(ValueError, match="no image"):
        call(np.zeros((0, 3)), np.zeros(0, dtype=int))


# Temperature


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 2.5, 20.0])
def test_the_temperature_is_where_scipy_finds_the_smallest_loss(sharpness: float) -> None:
    probabilities_NK, label_N = drawn(5000, 8, sharpness)

    def loss(log_temperature: float) -> float:
        scaled_NK = scale_probabilities(probabilities_NK, math.exp(log_temperature))
        return float(-np.log(scaled_NK[np.arange(5000), label_N]).mean())

    golden = optimize.minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-9})
    found = fit_temperature(probabilities_NK, label_N)
    assert found.unfitted == ""
    assert found.value == pytest.approx(math.exp(golden.x), rel=1e-5)
    # At 20 most probabilities underflow, and clipping them costs a part of the way back.
    assert found.value == pytest.approx(sharpness, rel=0.05 if sharpness < 20 else 0.2)


def test_the_temperature_is_that_of_scikit_learn() -> None:
    """Made once with scikit-learn 1.9.1, because older ones have no temperature scaling.

    ``CalibratedClassifierCV(FrozenEstimator(given), method="temperature").fit(logits_NK, label_N)``, where
    `given` hands the logits (logarithms of these probabilities) on as its decision function; then
    ``1 / calibrated_classifiers_[0].calibrators[0].beta_``.
    """
    assert fit_temperature(*drawn(3000, 4, 2.0)).value == pytest.approx(1.9375447682856286, rel=1e-6)


def test_scaling_divides_logits() -> None:
    logits_NK = generator(0, "logits").normal(0, 3, (50, 9))
    np.testing.assert_allclose(
        scale_probabilities(softmax(logits_NK), 1.7), softmax(logits_NK / 1.7), rtol=3e-6, atol=1e-9
    )


def test_a_temperature_of_one_changes_no_bit() -> None:
    probabilities_NK = drawn(300, 5, 2.0)[0].astype(np.float32)
    probabilities_NK[0] = [1, 0, 0, 0, 0]
    assert (
        scale_probabilities(probabilities_NK, 1.0).astype(np.float32).tobytes() == probabilities_NK.tobytes()
    )
    validation, test = drawn(40, 6, 1.0), drawn(90, 6, 1.0, stream=1)
    right = validation[0].argmax(axis=1)  # no mistake, so no temperature is fitted
    found = calibrate(validation[0], right, *test)
    assert found.unfitted
    assert found.after == found.before


@pytest.mark.parametrize("temperature", [0.02, 0.5, 1.0, 3.0, HOTTEST])
def test_no_temperature_changes_an_answer_not_even_among_near_ties(temperature: float) -> None:
    probabilities_NK, _ = drawn(5000, 12, 6.0)
    probabilities_NK[:50] = np.float32(1 / 12)
    probabilities_NK[:50, 7] = np.nextafter(np.float32(1 / 12), np.float32(1))  # ahead by the last bit
    scaled_NK = scale_probabilities(probabilities_NK, temperature)
    assert np.array_equal(scaled_NK.argmax(axis=1), probabilities_NK.argmax(axis=1))
    assert scaled_NK.sum(axis=1) == pytest.approx(1)


def test_accuracy_never_changes_by_a_temperature() -> None:
    validation, test = drawn(500, 6, 4.0), drawn(900, 6, 4.0, stream=1)
    found = calibrate(*validation, *test)
    for split in (found.before, found.after):
        right = sum(one.images * one.accuracy for one in split.bins)
        assert right == pytest.approx((test[0].argmax(axis=1) == test[1]).sum())


def test_it_mends_what_is_overconfident_on_images_that_it_was_not_fitted_on() -> None:
    found = calibrate(*drawn(1000, 6, 4.0), *drawn(2000, 6, 4.0, stream=1))
    assert found.temperature == pytest.approx(4.0, rel=0.1)
    assert found.before.ece > 0.2 > 0.05 > found.after.ece
    assert found.after.loss < found.before.loss
    assert found.after.brier < found.before.brier
    assert found.validation_images == 1000


@pytest.mark.parametrize("mistakes", [0, 1, FEWEST_MISTAKES - 1])
def test_with_too_few_mistakes_on_validation_images_nothing_is_scaled_and_it_is_said(mistakes: int) -> None:
    sure_NK = softmax(8.0 * np.eye(5)[np.arange(200) % 5])
    label_N = np.arange(200) % 5
    some_wrong_N = np.where(np.arange(200) < mistakes, (label_N + 1) % 5, label_N)
    found = calibrate(sure_NK, some_wrong_N, sure_NK, (label_N + (np.arange(200) < 4)) % 5)
    assert (found.temperature, found.unfitted) == (1.0, FEW_MISTAKES)
    assert found.after.loss == pytest.approx(found.before.loss, rel=1e-6)


def test_ten_mistakes_are_enough() -> None:
    sure_NK = softmax(8.0 * np.eye(5)[np.arange(200) % 5])
    label_N = (np.arange(200) + (np.arange(200) < FEWEST_MISTAKES)) % 5
    found = fit_temperature(sure_NK, label_N)
    # One logit is ahead of four equal ones by 8 / T, and 19 of 20 are right: ln(19 * 4).
    assert (found.value, found.unfitted) == (pytest.approx(8 / math.log(19 * 4), rel=1e-5), "")


def test_probabilities_that_tell_nothing_are_flattened_as_far_as_goes_and_it_is_said() -> None:
    wrong_NK = softmax(30.0 * np.eye(4)[np.arange(400) % 4])
    label_N = (np.arange(400) // 4 + np.arange(400) + 1) % 4
    label_N = np.where(label_N == np.arange(400) % 4, (label_N + 1) % 4, label_N)  # never right
    found = fit_temperature(wrong_NK, label_N)
    assert (found.value, found.unfitted) == (HOTTEST, NO_SIGNAL)


def test_probabilities_of_zero_count_as_the_smallest_that_a_run_counts() -> None:
    certain_NK = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2, 0, 0]]
    label_N = np.array([0, 1, 2, 0, 1, 2, 0, 1])  # one of eight is wrong, and was thought impossible
    found = fit_temperature(certain_NK, label_N, fewest_mistakes=1)
    # At the best temperature it says 7/8: ln(7 * 2) is the logit's distance, from 126 ln 2.
    assert found.value == pytest.approx(126 * math.log(2) / math.log(14), rel=1e-6)


# What is stored


def test_what_a_run_records_comes_back_equal_from_json() -> None:
    found = calibrate(*drawn(200, 6, 2.0), *drawn(300, 6, 2.0, stream=1))
    assert read_calibration(json.loads(json.dumps(found.as_record())), "record.json") == found


def test_an_older_record_says_nothing() -> None:
    assert read_calibration({}, "record.json") is None


def test_a_damaged_calibration_is_told_in_one_line() -> None:
    values = calibrate(*drawn(200, 6), *drawn(300, 6)).as_record()
    values["before"]["brier"] = "good"
    with pytest.raises(
        StudyError, match=r"^record\.json is not a run's record: calibration\.before\.brier: "
    ):
        read_calibration(values, "record.json")
