"""Symptoms: what is wrong with a candidate's runs, in words, from their records.

Each rule is a function of the runs; thresholds stand beside it with their reason.
They name what a reader should look into, and change no number and no rank.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bakeoff.evidence.confidence import CandidateCalibration
from bakeoff.evidence.intervals import wilson
from bakeoff.evidence.runs import Run
from bakeoff.evidence.words import listing, number, percent, points
from bakeoff.records import Predictions

Kind = Literal[
    "diverged", "failed", "chance", "gap", "never predicted", "loss", "control", "version", "calibration",
    "published",
]  # fmt: skip

NEAR_CHANCE = 0.02  # of the way from guessing to perfect: 1.2 % of 200 classes is near, 31 % of 5 is not
GAP_POINTS = 0.05  # a validation-test gap below 5 points is not worth a line
GAP_ERRORS = 3.0  # standard errors: one false alarm in 370 candidates
UNTRUSTED = 0.05  # a calibration error of less than 5 points, or that could be less, is not worth a line


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """One thing to look into."""

    kind: Kind
    text: str  # a sentence without its full stop


def find_symptoms(
    runs: Sequence[Run],
    class_names: Sequence[str] | None,
    calibration: CandidateCalibration | None = None,
) -> tuple[Symptom, ...]:
    """List the symptoms of one candidate's runs on a task, the gravest first.

    Args:
        runs: Its ended runs, of all seeds.
        class_names: The task's classes; None when its record is missing.
        calibration: How far its probabilities can be trusted, where that is known.

    Returns:
        The symptoms; none for a candidate that nothing is wrong with.
    """
    finished = [run for run in runs if run.finished]
    tested = [run.test for run in finished if run.test is not None and len(run.test.label_N)]
    found = [
        _unfinished(runs, "diverged"), _unfinished(runs, "failed"),
        _mixed_control(runs), _mixed_versions(runs),
    ]  # fmt: skip
    if tested:
        classes = len(class_names) if class_names else 1 + int(max(t.label_N.max() for t in tested))
        guessing = _chance(tested)
        found.append(guessing)
        overconfident = None if guessing else _overconfident(tested, classes, calibration)
        found.append(overconfident)
        found.append(None if guessing or overconfident else _miscalibrated(calibration))
        found.append(_never_predicted(tested, class_names))
        found.append(_gap(finished))
    return tuple(symptom for symptom in found if symptom is not None)


def _unfinished(runs: Sequence[Run], status: Literal["diverged", "failed"]) -> Symptom | None:
    ended_so = [run.record for run in runs if run.record.status == status]
    if not ended_so:
        return None
    first = ended_so[0]
    share = f"{len(ended_so)} of {len(runs)} runs {status}" if len(runs) > 1 else f"its run {status}"
    kept = "; the means are of the others" if len(ended_so) < len(runs) else ""
    reason = first.reason or "no reason was recorded"
    return Symptom(kind=status, text=f"{share} (seed {first.seed}: {reason}){kept}")


def _mixed_control(runs: Sequence[Run]) -> Symptom | None:
    if len({run.record.control_digest for run in runs}) < 2:
        return None
    return Symptom(
        kind="control", text="its seeds were trained under different controls, so it is ranked with nobody"
    )


def of_several_versions(runs: Sequence[Run]) -> str:
    """Return the model whose versions the runs mix, ``my_net.py`` or a registered name; else nothing.

    A run that failed has no result to be mixed, so it does not count.
    """
    trained = [run.record for run in runs if run.record.status != "failed"]
    if len({record.model_digest for record in trained}) < 2:
        return ""
    model = trained[0].model
    return model.rpartition(":")[0] or model or trained[0].candidate


def _mixed_versions(runs: Sequence[Run]) -> Symptom | None:
    model = of_several_versions(runs)
    if not model:
        return None
    return Symptom(
        kind="version",
        text=f"its seeds are of different versions of {model}, so it is ranked with nobody; "
        "running all its seeds again trains the older ones anew",
    )


def _chance(tested: Sequence[Predictions]) -> Symptom | None:
    """Compare with always answering the commonest class; images are those of one seed, not of all."""
    images = len(tested[0].label_N)
    guess = int(np.bincount(tested[0].label_N).max()) / images
    accuracy = _mean_accuracy(tested)
    low = wilson(round(accuracy * images), images).low
    if accuracy <= guess:
        word = "is no better than guessing"
    elif low is not None and low <= guess:
        word = f"cannot be told from guessing on {images} images"
    elif accuracy - guess < NEAR_CHANCE * (1 - guess):
        word = "is hardly better than guessing"
    else:
        return None
    text = f"an accuracy of {percent(accuracy)} {word} (chance is {percent(guess)})"
    return Symptom(kind="chance", text=text)


def _overconfident(
    tested: Sequence[Predictions], classes: int, calibration: CandidateCalibration | None
) -> Symptom | None:
    """A network that knew nothing and said so would have the loss ln K; ours knows more, yet loses more."""
    loss = math.fsum(math.fsum(t.loss_N.tolist()) / len(t.loss_N) for t in tested) / len(tested)
    uniform = math.log(classes)
    if loss <= uniform:
        return None
    return Symptom(
        kind="loss",
        text=f"a loss of {number(loss)} is above that of a uniform guess (ln {classes} = {number(uniform)}) "
        f"though its accuracy of {percent(_mean_accuracy(tested))} is above chance: its probabilities are "
        f"overconfident, not calibrated{_remedy(calibration, 'loss')}",
    )


def _miscalibrated(calibration: CandidateCalibration | None) -> Symptom | None:
    """Say that confidence and accuracy are apart, by more than chance on these images explains."""
    if calibration is None or (calibration.error.low or 0.0) <= UNTRUSTED:
        return None
    error, gap = calibration.error, calibration.gap
    sure, right = percent(calibration.confidence), percent(calibration.accuracy)
    says = f"its mean confidence is {sure}, and it is right on {right} of the test images"
    if abs(gap) < error.mean / 2:
        what = (
            f"its confidence is off in both directions: {says}, but it is too sure in places and too modest "
            "in others"
        )
    elif gap > 0:
        what = f"overconfident: {says}"
    else:
        what = f"underconfident: {says}"
    off = points(error.mean).lstrip("+")
    low, high = 100 * (error.low or 0.0), 100 * (error.high or error.mean)
    return Symptom(
        kind="calibration",
        text=f"{what}; its probabilities are off by {off} ({low:.1f} to {high:.1f})"
        f"{_remedy(calibration, 'error')}",
    )


def _remedy(calibration: CandidateCalibration | None, of: Literal["loss", "error"]) -> str:
    """Say what a temperature mends, where one was fitted and helps."""
    if calibration is None or calibration.temperature is None or calibration.unfitted:
        return ""
    before, after = calibration.before, calibration.after
    if before is None or after is None:
        return ""
    if of == "loss":
        helps, result = after.loss.mean < before.loss.mean, f"the loss to {number(after.loss.mean)}"
    else:
        helps = after.error.mean < calibration.error.mean  # the one that stands before it in the sentence
        result = f"that to {points(after.error.mean).lstrip('+')}"
    if not helps:
        return ""
    temperature = f"{calibration.temperature.mean:.2f}"
    return (
        f"; dividing its logits by {temperature}, the temperature fitted on the validation images, brings "
        f"{result} and changes no answer"
    )


def _never_predicted(tested: Sequence[Predictions], class_names: Sequence[str] | None) -> Symptom | None:
    labels = np.unique(tested[0].label_N)
    predicted = np.unique(np.concatenate([t.top_NT[:, 0] for t in tested]))
    never = [int(label) for label in np.setdiff1d(labels, predicted)]
    if not never:
        return None
    names = [class_names[label] if class_names else f"class {label}" for label in never]
    verb = "is" if len(never) == 1 else "are"
    text = f"{len(never)} of {len(labels)} classes {verb} never predicted: {listing(names)}"
    return Symptom(kind="never predicted", text=text)


def _gap(finished: Sequence[Run]) -> Symptom | None:
    """Compare validation with test accuracy, means over seeds; the error is that of one seed's images."""
    both = [
        (run.validation, run.test)
        for run in finished
        if run.validation is not None and run.test is not None and len(run.validation.label_N)
    ]
    if not both:
        return None
    validation, tested = (_mean_accuracy([pair[side] for pair in both]) for side in (0, 1))
    images = [len(predictions.label_N) for predictions in both[0]]
    error = math.sqrt(_share_variance(validation, images[0]) + _share_variance(tested, images[1]))
    gap = validation - tested
    if abs(gap) < max(GAP_POINTS, GAP_ERRORS * error):
        return None
    word = "lower" if gap > 0 else "higher"
    return Symptom(
        kind="gap",
        text=f"test accuracy is {points(abs(gap)).lstrip('+')} {word} than validation accuracy "
        f"({percent(tested)} against {percent(validation)}): labels, preprocessing or the split may differ",
    )


def _share_variance(share: float, images: int) -> float:
    return share * (1 - share) / images


def _mean_accuracy(tested: Sequence[Predictions]) -> float:
    return sum(int(t.correct_N.sum()) / len(t.correct_N) for t in tested) / len(tested)
