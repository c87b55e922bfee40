"""Four of these are what the original study should have let its reader see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bakeoff.evidence.confidence import CandidateCalibration, Scaled
from bakeoff.evidence.intervals import Interval
from bakeoff.evidence.predictions import summarise_probabilities
from bakeoff.evidence.runs import Run
from bakeoff.evidence.symptoms import Symptom, find_symptoms
from bakeoff.records import Predictions, RunRecord
from bakeoff.rng import generator


def predictions(accuracy: float, classes: int, images: int, confidence: float = 0.7) -> Predictions:
    """Make predictions right on exactly a share of the images, evenly over the classes."""
    label_N = np.arange(images) % classes
    right_N = np.zeros(images, dtype=bool)
    right_N[generator(0, "right").permutation(images)[: round(accuracy * images)]] = True
    other_N = (label_N + 1 + np.arange(images) // classes % (classes - 1)) % classes
    best_N = np.where(right_N, label_N, other_N)
    probabilities_NK = np.full((images, classes), (1 - confidence) / (classes - 1))
    probabilities_NK[np.arange(images), best_N] = confidence
    return summarise_probabilities(probabilities_NK, label_N, np.arange(images))


def run(
    test: Predictions | None,
    validation: Predictions | None = None,
    *,
    seed: int = 0,
    status: str = "finished",
    control: str = "c",
    version: str = "",
    reason: str | None = None,
) -> Run:
    record = RunRecord(
        identity=str(seed), study="s", task="t", candidate="c", seed=seed, status=status,  # type: ignore[arg-type]
        reason=reason, control_digest=control, model_digest=version, model="my_net.py:build",
    )  # fmt: skip
    return Run(record=record, test=test, validation=validation, metrics={})


def names(classes: int) -> list[str]:
    return [f"class {k}" for k in range(classes)]


def kinds(found: tuple[Symptom, ...]) -> list[str]:
    return [symptom.kind for symptom in found]


def test_a_sound_run_has_no_symptom() -> None:
    sound = run(predictions(0.8, 5, 250), predictions(0.82, 5, 250))
    assert find_symptoms([sound], names(5)) == ()


def test_candidates_without_runs_have_no_symptom() -> None:
    assert find_symptoms([], names(5)) == ()


@pytest.mark.parametrize(
    ("accuracy", "classes", "images", "word"),
    [
        (0.0120, 200, 10_000, "hardly better than guessing (chance is 0.50 %)"),  # AlexNet of the original
        (0.0055, 200, 2_009, "no better than guessing (chance is 0.5"),  # AutoKeras's prediction, 11 of 2009
        (0.5, 2, 100, "no better than guessing (chance is 50.0 %)"),
        # Six points above chance are better; Wilson's interval of 28 of 50 begins at 42.3 %.
        (0.56, 2, 50, "of 56.0 % cannot be told from guessing on 50 images (chance is 50.0 %)"),
    ],
)
def test_an_accuracy_near_chance_is_named(accuracy: float, classes: int, images: int, word: str) -> None:
    found = find_symptoms([run(predictions(accuracy, classes, images, 1.5 / classes))], names(classes))
    assert word in next(symptom.text for symptom in found if symptom.kind == "chance")


@pytest.mark.parametrize(
    ("accuracy", "classes", "images"), [(0.312, 5, 1000), (0.076, 200, 10_000), (0.6, 2, 500)]
)
def test_a_poor_accuracy_is_not_called_guessing(accuracy: float, classes: int, images: int) -> None:
    found = find_symptoms([run(predictions(accuracy, classes, images, 1.5 / classes))], names(classes))
    assert "chance" not in kinds(found)


def test_chance_is_always_answering_the_commonest_class() -> None:
    label_N = np.array([0] * 90 + [1] * 10)
    always_first = summarise_probabilities(np.tile([0.8, 0.2], (100, 1)), label_N, np.arange(100))
    found = find_symptoms([run(always_first)], ["healthy", "ill"])
    assert [symptom.text for symptom in found] == [
        "an accuracy of 90.0 % is no better than guessing (chance is 90.0 %)",
        "1 of 2 classes is never predicted: ill",
    ]


def test_a_loss_above_that_of_a_uniform_guess_is_overconfidence() -> None:
    # The original's mobilenet on 200 classes: loss 48.56 at an accuracy of 0.076.
    found = find_symptoms([run(predictions(0.076, 200, 10_000, confidence=1.0))], names(200))
    assert kinds(found) == ["loss"]
    assert "is above that of a uniform guess (ln 200 = 5.298) though its accuracy of 7.60 %" in found[0].text


def test_a_guessing_network_is_not_blamed_for_its_loss_too() -> None:
    found = find_symptoms([run(predictions(0.2, 5, 500, confidence=1.0))], names(5))
    assert kinds(found) == ["chance"]


@pytest.mark.parametrize(("validation", "test", "word"), [(0.9, 0.6, "lower"), (0.6, 0.9, "higher")])
def test_a_gap_between_validation_and_test_is_named(validation: float, test: float, word: str) -> None:
    found = find_symptoms([run(predictions(test, 5, 250), predictions(validation, 5, 100))], names(5))
    assert kinds(found) == ["gap"]
    assert found[0].text.startswith(f"test accuracy is 30.0 points {word} than validation accuracy")


@pytest.mark.parametrize(("gap", "images"), [(0.04, 100_000), (0.10, 60)])
def test_a_gap_that_is_small_or_could_be_chance_is_not(gap: float, images: int) -> None:
    found = find_symptoms([run(predictions(0.8, 5, images), predictions(0.8 + gap, 5, images))], names(5))
    assert "gap" not in kinds(found)


def test_more_seeds_do_not_make_a_gap_more_certain() -> None:
    seeds = [run(predictions(0.75, 5, 60), predictions(0.95, 5, 60), seed=seed) for seed in range(20)]
    once, often = find_symptoms(seeds[:1], names(5)), find_symptoms(seeds, names(5))
    assert [s.text for s in once] == [s.text for s in often]


def test_runs_that_did_not_finish_are_counted_with_the_first_reason() -> None:
    good = predictions(0.8, 5, 250)
    runs = [
        run(good),
        run(None, seed=1, status="diverged", reason="the loss became nan at step 7"),
        run(None, seed=2, status="failed", reason="OSError: disk"),
        run(None, seed=3, status="diverged", reason="the loss became inf at step 9"),
    ]
    assert [symptom.text for symptom in find_symptoms(runs, names(5))] == [
        "2 of 4 runs diverged (seed 1: the loss became nan at step 7); the means are of the others",
        "1 of 4 runs failed (seed 2: OSError: disk); the means are of the others",
    ]
    alone = find_symptoms(runs[1:2], names(5))
    assert [symptom.text for symptom in alone] == ["its run diverged (seed 1: the loss became nan at step 7)"]


def test_classes_that_no_seed_predicts_are_listed_and_many_are_cut_short() -> None:
    label_N = np.arange(400) % 40
    probabilities_NK = np.full((400, 40), 0.01)
    probabilities_NK[np.arange(400), np.where(label_N < 30, label_N, 0)] = 0.61
    test = summarise_probabilities(probabilities_NK, label_N, np.arange(400))
    found = find_symptoms([run(test)], names(40))
    assert [symptom.text for symptom in found] == [
        "10 of 40 classes are never predicted: class 30, class 31, class 32, class 33, class 34 and 5 more"
    ]


def test_seeds_under_different_controls_are_named() -> None:
    good = predictions(0.8, 5, 250)
    found = find_symptoms([run(good), run(good, seed=1, control="d")], names(5))
    assert kinds(found) == ["control"]


def test_seeds_of_different_versions_of_a_network_are_named() -> None:
    good = predictions(0.8, 5, 250)
    found = find_symptoms([run(good, version="a"), run(good, seed=1, version="b")], names(5))
    assert kinds(found) == ["version"]
    assert found[0].text.startswith("its seeds are of different versions of my_net.py")


def test_a_run_that_failed_is_no_other_version() -> None:
    good = predictions(0.8, 5, 250)
    runs = [run(good, version="b"), run(None, seed=1, version="a", status="failed")]
    assert kinds(find_symptoms(runs, names(5))) == ["failed"]


def calibration(
    confidence: float, accuracy: float, *, low: float = 0.1, after: float | None = None
) -> CandidateCalibration:
    """Make a calibration whose error is all in one direction."""
    error = abs(confidence - accuracy) or 0.2

    def interval(mean: float) -> Interval:
        return Interval(mean=mean, low=low, high=mean + 0.01, n=1, over="images")

    def scaled(mean: float) -> Scaled:
        return Scaled(loss=interval(10 * mean), brier=interval(mean), error=interval(mean), bins=())

    return CandidateCalibration(
        seeds=1, images=500, confidence=confidence, accuracy=accuracy, measured=error, largest=error,
        measured_equal_mass=error, error=interval(error), perfect=0.02, bins=(),
        temperature=None if after is None else Interval(mean=2.31, n=1),
        before=None if after is None else scaled(error), after=None if after is None else scaled(after),
    )  # fmt: skip


def test_a_network_that_promises_more_than_it_keeps_is_told_with_what_mends_it() -> None:
    found = find_symptoms([run(predictions(0.8, 5, 500))], names(5), calibration(0.93, 0.8, after=0.021))
    assert [symptom.text for symptom in found] == [
        "overconfident: its mean confidence is 93.0 %, and it is right on 80.0 % of the test images; "
        "its probabilities are off by 13.0 points (10.0 to 14.0); dividing its logits by "
        "2.31, the temperature fitted on the validation images, brings that to 2.1 points and changes no "
        "answer"
    ]
    assert kinds(found) == ["calibration"]


def test_a_network_that_keeps_more_than_it_promises_is_told_without_what_is_not_known() -> None:
    found = find_symptoms([run(predictions(0.8, 5, 500))], names(5), calibration(0.5, 0.8))
    assert [symptom.text for symptom in found] == [
        "underconfident: its mean confidence is 50.0 %, and it is right on 80.0 % of the test images; "
        "its probabilities are off by 30.0 points (10.0 to 31.0)"
    ]


def test_errors_in_both_directions_are_told() -> None:
    found = find_symptoms([run(predictions(0.8, 5, 500))], names(5), calibration(0.8, 0.8))
    assert found[0].text.startswith("its confidence is off in both directions")


def test_a_calibration_error_that_could_be_small_is_no_symptom() -> None:
    few = calibration(0.93, 0.8, low=0.04)
    assert find_symptoms([run(predictions(0.8, 5, 500))], names(5), few) == ()


def test_a_temperature_that_does_not_help_is_not_praised() -> None:
    found = find_symptoms([run(predictions(0.8, 5, 500))], names(5), calibration(0.93, 0.8, after=0.2))
    assert "temperature" not in found[0].text
    told = calibration(
        0.93, 0.8, after=0.14
    )  # less than the bins alone gave before, yet not what is said here
    assert told.before is not None
    from_bins = replace(told, before=replace(told.before, error=Interval(mean=0.15, n=1)))
    found = find_symptoms([run(predictions(0.8, 5, 500))], names(5), from_bins)
    assert "off by 13.0 points" in found[0].text
    assert "temperature" not in found[0].text


def test_a_loss_above_that_of_a_guess_is_said_once_and_with_its_remedy() -> None:
    test = predictions(0.076, 200, 10_000, confidence=1.0)
    found = find_symptoms([run(test)], names(200), calibration(1.0, 0.076, after=0.4))
    assert kinds(found) == ["loss"]
    assert found[0].text.endswith("brings the loss to 4.000 and changes no answer")
