"""Calibration of one run: whether it is as often right as it says, and one number that mends most of it.

Everything here is a function of class probabilities and labels. What needs the probabilities
of all classes (Brier score, temperature) is computed when a run ends and stored in its record,
as `RunCalibration`; reliability and its error need the best class's alone. How the
numbers of several seeds become those of a candidate is in `confidence`.

Shape letters: N images, K classes, J bins of confidence, E = J + 1 their edges.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from bakeoff.errors import StudyError
from bakeoff.evidence.predictions import SMALLEST
from bakeoff.spec.base import what_is_wrong

BINS = 15  # of equal width, as in Guo et al. 2017
COOLEST, HOTTEST = 0.01, 100.0  # temperatures that are looked at
ROWS = 4096  # images of which all logarithms are held at once
# Mistakes that one number needs to be fitted, as in logistic regression (Peduzzi et al., Journal of Clinical
# Epidemiology 49, 1996). On 145 handwritten digits, nearly all right, the best temperature of a run was 0.10;
# it took the test loss of its candidate from 0.073 to 0.191 (2026-11-26).
FEWEST_MISTAKES = 10

FEW_MISTAKES = f"fewer than {FEWEST_MISTAKES} mistakes on the validation images"
NO_SIGNAL = "the validation images are told best by a uniform guess"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """The images whose confidence lies in (low, high]; at least one."""

    low: float
    high: float
    images: int
    confidence: float  # mean probability of the best class
    accuracy: float  # share of the images that are right


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitCalibration:
    """How far the probabilities of one split can be trusted; of losses, the standard errors over images."""

    loss: float  # negative log-likelihood, nats
    loss_error: float
    brier: float
    brier_error: float
    ece: float  # expected calibration error as measured, in bins of equal width
    ece_equal_mass: float  # the same in bins of about equally many images
    mce: float  # the largest error of a bin of equal width
    bins: tuple[Bin, ...]  # of equal width, the empty ones left out


@dataclass(frozen=True, slots=True, kw_only=True)
class Temperature:
    """What the logits are divided by."""

    value: float
    unfitted: str = ""  # why it was not fitted; the value is 1 then, or the hottest that was looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCalibration:
    """A run's temperature, fitted on validation images, and its test probabilities before and after."""

    temperature: float
    unfitted: str
    validation_images: int
    before: SplitCalibration
    after: SplitCalibration

    def as_record(self) -> dict[str, Any]:
        """Return plain values, for `RunRecord.calibration`."""
        values: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return values


def read_calibration(values: dict[str, Any], where: str) -> RunCalibration | None:
    """Read back what a record says of a run's calibration.

    Args:
        values: The record's field.
        where: The record's file, for messages.

    Returns:
        The calibration; None for a record that is older than it.

    Raises:
        StudyError: The values are no calibration; the first wrong one is named.
    """
    if not values:
        return None
    try:
        return _adapter().validate_python(values)
    except ValidationError as error:
        raise StudyError(f"{where} is not a run's record: calibration.{what_is_wrong(error)}") from None


def calibrate(
    validation_NK: np.ndarray, validation_label_N: np.ndarray, test_NK: np.ndarray, test_label_N: np.ndarray
) -> RunCalibration:
    """Fit a temperature on validation images, and measure the test images without and with it.

    Args:
        validation_NK: Class probabilities; each row sums to one.
        validation_label_N: Class indices in ``[0, K)``.
        test_NK: As for validation; which class is the best stays as it is.
        test_label_N: As for validation.

    Returns:
        The calibration of a run.

    Raises:
        ValueError: A split has no image.
    """
    temperature = fit_temperature(validation_NK, validation_label_N)
    right_N = test_NK.argmax(axis=1) == test_label_N
    return RunCalibration(
        temperature=temperature.value, unfitted=temperature.unfitted, validation_images=len(validation_NK),
        before=measure_split(test_NK, test_label_N, right_N),
        after=measure_split(scale_probabilities(test_NK, temperature.value), test_label_N, right_N),
    )  # fmt: skip


def measure_split(
    probabilities_NK: np.ndarray, label_N: np.ndarray, right_N: np.ndarray | None = None
) -> SplitCalibration:
    """Measure the probabilities of one split.

    Args:
        probabilities_NK: Class probabilities; each row sums to one.
        label_N: Class indices in ``[0, K)``.
        right_N: Which images are right, where that is not to be taken from these probabilities.

    Returns:
        Losses, errors and bins.

    Raises:
        ValueError: There is no image.
    """
    if len(label_N) == 0:
        raise ValueError("calibration: got no image, expected at least one")
    right_N = probabilities_NK.argmax(axis=1) == label_N if right_N is None else right_N
    confidence_N = probabilities_NK.max(axis=1).astype(np.float64)
    own_N = probabilities_NK[np.arange(len(label_N)), label_N].astype(np.float64)
    bins = reliability(confidence_N, right_N, equal_width())
    loss, loss_error = _mean_and_error(-np.log(np.clip(own_N, SMALLEST, 1.0)))
    brier, brier_error = _mean_and_error(brier_by_image(probabilities_NK, label_N))
    return SplitCalibration(
        loss=loss, loss_error=loss_error, brier=brier, brier_error=brier_error,
        ece=calibration_error(bins), mce=largest_error(bins), bins=bins,
        ece_equal_mass=calibration_error(reliability(confidence_N, right_N, equal_mass(confidence_N))),
    )  # fmt: skip


def brier_by_image(probabilities_NK: np.ndarray, label_N: np.ndarray) -> np.ndarray:
    """Compute for each image the squared distance of its probabilities from the one-hot label.

    Args:
        probabilities_NK: Class probabilities; each row sums to one.
        label_N: Class indices in ``[0, K)``.

    Returns:
        Numbers (float64, N) in [0, 2], lower is better; their mean is the Brier score.

    Source:
        Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78
        (1950), eq. 2.

    >>> brier_by_image(np.array([[0.5, 0.5], [0.0, 1.0], [1.0, 0.0]]), np.array([0, 1, 1])).tolist()
    [0.5, 0.0, 2.0]
    """
    squares_N: np.ndarray = np.empty(len(label_N))
    for rows in _slices(len(label_N)):
        apart_NK = probabilities_NK[rows].astype(np.float64)
        apart_NK[np.arange(len(apart_NK)), label_N[rows]] -= 1.0
        squares_N[rows] = (apart_NK * apart_NK).sum(axis=1)
    return squares_N


def equal_width(bins: int = BINS) -> np.ndarray:
    """Return the edges of bins of equal width over [0, 1]."""
    return np.arange(bins + 1) / bins


def equal_mass(confidence_N: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Return the edges of bins of about equally many images; equal confidences stay together.

    Source:
        Nixon et al., "Measuring calibration in deep learning", CVPR workshops 2019, section 4.2.

    >>> equal_mass(np.array([0.1, 0.2, 0.3, 0.9, 1.0, 1.0]), 3).tolist()
    [0.0, 0.2, 0.9, 1.0]
    """
    last_B = np.ceil(np.arange(1, bins) * len(confidence_N) / bins).astype(int) - 1
    inner_B = np.sort(confidence_N)[np.clip(last_B, 0, None)]
    return np.unique(np.concatenate([[0.0], inner_B[inner_B < 1.0], [1.0]]))


def place(confidence_N: np.ndarray, edges_E: np.ndarray) -> np.ndarray:
    """Return for each confidence the bin (low, high] that it lies in; 0 lies in the first."""
    return np.searchsorted(edges_E[1:-1], confidence_N, side="left")


def reliability(confidence_N: np.ndarray, right_N: np.ndarray, edges_E: np.ndarray) -> tuple[Bin, ...]:
    """Sort images into bins by confidence, and count how many of each bin are right.

    Args:
        confidence_N: Probability of the best class, in [0, 1].
        right_N: Whether the best class is the label.
        edges_E: Of the bins, ascending from 0 to 1.

    Returns:
        The bins that hold an image, ascending.

    Source:
        Guo et al., "On calibration of modern neural networks", ICML 2017, section 2.
    """
    confidence_N = np.asarray(confidence_N, dtype=np.float64)
    place_N = place(confidence_N, edges_E)
    images_J = np.bincount(place_N, minlength=len(edges_E) - 1)
    right_J = np.bincount(place_N, weights=right_N, minlength=len(edges_E) - 1)
    found = []
    for j in np.flatnonzero(images_J):
        total = math.fsum(confidence_N[place_N == j].tolist())
        found.append(Bin(
            low=float(edges_E[j]), high=float(edges_E[j + 1]), images=int(images_J[j]),
            confidence=total / int(images_J[j]), accuracy=int(right_J[j]) / int(images_J[j]),
        ))  # fmt: skip
    return tuple(found)


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error: how far confidence and accuracy are apart, mean over images.

    On few images this is too high, since the accuracy of a bin is off by chance: perfect
    probabilities have an error above 0 too. `confidence.trust` takes that out.

    Args:
        bins: Of all images.

    Returns:
        A number in [0, 1], lower is better.

    Source:
        Guo et al., ICML 2017, eq. 3. Its bias: Kumar, Liang and Ma, "Verified uncertainty
        calibration", NeurIPS 2019; Roelofs et al., "Mitigating bias in calibration error
        estimation", AISTATS 2022.

    >>> error = calibration_error(reliability(np.array([0.6, 0.6, 0.9]), np.array([1, 0, 1]), equal_width(2)))
    >>> round(error, 4)
    0.0333
    """
    images = sum(found.images for found in bins)
    return math.fsum(found.images * abs(found.accuracy - found.confidence) for found in bins) / images


def largest_error(bins: Sequence[Bin]) -> float:
    """Return the maximum calibration error: how far confidence and accuracy are apart in the worst bin.

    Source:
        Guo et al., ICML 2017, eq. 5. A bin of a few images may set it.
    """
    return max(abs(found.accuracy - found.confidence) for found in bins)


def scale_probabilities(probabilities_NK: np.ndarray, temperature: float) -> np.ndarray:
    """Divide the logits by a temperature; logarithms of probabilities are logits as good as any.

    Args:
        probabilities_NK: Class probabilities; those that underflowed count as 1.2e-38.
        temperature: Above 0; above 1 makes them less sure, and 1 changes no bit.

    Returns:
        Probabilities (float64, N x K). The order of the classes of an image stays, so accuracy does.

    Source:
        Guo et al., ICML 2017, eq. 9.

    >>> scale_probabilities(np.array([[0.8, 0.2]]), 2.0).round(3).tolist()
    [[0.667, 0.333]]
    """
    if temperature == 1.0:
        return probabilities_NK.astype(np.float64)
    scaled_NK = np.empty(probabilities_NK.shape)
    for rows in _slices(len(probabilities_NK)):
        logits_NK = _logits(probabilities_NK[rows]) / temperature
        weights_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
        scaled_NK[rows] = weights_NK / weights_NK.sum(axis=1, keepdims=True)
    return scaled_NK


def fit_temperature(
    probabilities_NK: np.ndarray, label_N: np.ndarray, fewest_mistakes: int = FEWEST_MISTAKES
) -> Temperature:
    """Find the temperature under which the labels are likeliest.

    The negative log-likelihood is convex in 1/T, so Newton's steps, halved where they leave the
    bracket that the sign of the slope gives, end in its only minimum.

    Args:
        probabilities_NK: Class probabilities of images that the network was not trained on.
        label_N: Class indices in ``[0, K)``.
        fewest_mistakes: Images that must be wrong; at least 1.

    Returns:
        The temperature, to ten digits. Two cases are not fitted, and say so. With too few mistakes it
        stays 1: they alone keep it from falling, and without any there is no minimum. Where the
        labels are no likelier than under a uniform guess, it is the hottest that was looked at.

    Raises:
        ValueError: There is no image.

    Source:
        Guo et al., ICML 2017, section 4.2.
    """
    if len(label_N) == 0:
        raise ValueError("fit_temperature: got no image, expected at least one")
    if int((probabilities_NK.argmax(axis=1) != label_N).sum()) < max(fewest_mistakes, 1):
        return Temperature(value=1.0, unfitted=FEW_MISTAKES)
    low, high = 1 / HOTTEST, 1 / COOLEST  # of the inverse temperature
    if _slope(probabilities_NK, label_N, low)[0] >= 0:
        return Temperature(value=HOTTEST, unfitted=NO_SIGNAL)
    inverse = 1.0
    for _ in range(200):
        slope, curvature = _slope(probabilities_NK, label_N, inverse)
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        step = inverse - slope / curvature if curvature > 0 else math.inf
        following = step if low < step < high else math.sqrt(low * high)
        if abs(following - inverse) <= 1e-10 * inverse:
            break
        inverse = following
    return Temperature(value=1 / inverse)


def _slope(probabilities_NK: np.ndarray, label_N: np.ndarray, inverse: float) -> tuple[float, float]:
    """Return slope and curvature of the mean negative log-likelihood in the inverse temperature."""
    slope = curvature = 0.0
    for rows in _slices(len(label_N)):
        logits_NK = _logits(probabilities_NK[rows])
        weights_NK = np.exp(inverse * (logits_NK - logits_NK.max(axis=1, keepdims=True)))
        weights_NK /= weights_NK.sum(axis=1, keepdims=True)
        mean_N = (weights_NK * logits_NK).sum(axis=1)
        own_N = logits_NK[np.arange(len(logits_NK)), label_N[rows]]
        slope += float((mean_N - own_N).sum())
        curvature += float((weights_NK * (logits_NK - mean_N[:, None]) ** 2).sum())
    return slope / len(label_N), curvature / len(label_N)


def _logits(probabilities_NK: np.ndarray) -> np.ndarray:
    """Return logarithms in double precision, of what underflowed as `predictions` counts it."""
    logits_NK: np.ndarray = np.log(np.clip(probabilities_NK.astype(np.float64), SMALLEST, 1.0))
    return logits_NK


def _mean_and_error(values_N: np.ndarray) -> tuple[float, float]:
    """Return a mean over images with its standard error; one image has none, which counts as 0."""
    values, n = values_N.tolist(), len(values_N)
    mean = math.fsum(values) / n
    variance = math.fsum((value - mean) ** 2 for value in values) / max(n - 1, 1)
    return mean + 0.0, math.sqrt(variance / n)  # + 0.0 turns -0.0 into 0.0


def _slices(images: int) -> Iterator[slice]:
    return (slice(first, first + ROWS) for first in range(0, images, ROWS))


@cache
def _adapter() -> TypeAdapter[RunCalibration]:
    """Make what checks the types of a stored calibration, once."""
    return TypeAdapter(RunCalibration)
