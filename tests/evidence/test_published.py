"""The figures are the original study's own."""

from __future__ import annotations

import pytest

from bakeoff.evidence.published import published_symptoms
from bakeoff.spec import Published, shipped_studies
from bakeoff.spec.load import load_study


def texts(classes: int | None = 200, **figures: object) -> list[str]:
    return [symptom.text for symptom in published_symptoms(Published.model_validate(figures), classes)]


def test_nothing_published_says_nothing() -> None:
    assert published_symptoms(None, 200) == ()
    assert texts() == []


def test_the_published_mobilenet_is_named_as_overconfident_and_its_loss_as_impossible() -> None:
    (text,) = texts(loss=48.56, accuracy=0.076)
    assert text.startswith(
        "its published loss of 48.56 is above that of a uniform guess (ln 200 = 5.298) though its published "
        "accuracy of 7.6 % is above chance: its probabilities were overconfident"
    )
    assert "also above 16.12, which is all that plain cross-entropy of Keras 2 can reach" in text


def test_a_high_loss_that_keras_can_reach_is_not_called_impossible() -> None:
    (text,) = texts(loss=9.0, accuracy=0.2)
    assert "overconfident" in text
    assert "Keras" not in text


@pytest.mark.parametrize("loss", [1.609, 5.2257])
def test_a_loss_below_that_of_a_uniform_guess_says_nothing(loss: float) -> None:
    assert texts(loss=loss, accuracy=0.2) == []


def test_without_classes_only_the_impossible_is_named() -> None:
    (text,) = texts(None, loss=48.56, accuracy=0.076)
    assert text == (
        "its published loss of 48.56 is above 16.12, which is all that plain cross-entropy of Keras 2 can "
        "reach (it clips probabilities at 1e-7)"
    )
    assert texts(None, loss=16.1, accuracy=0.004) == []


def test_a_published_accuracy_near_chance_is_named() -> None:
    assert texts(loss=5.2257, accuracy=0.012) == [
        "its published accuracy of 1.2 % is hardly better than guessing (chance is 0.50 %)"
    ]
    assert texts(5, accuracy=0.312) == []  # the original's model2 on five classes


def test_a_guessing_network_is_not_blamed_for_its_loss_as_one_above_chance() -> None:
    loss, chance = texts(loss=9.0, accuracy=0.005)
    assert "above chance" not in loss
    assert "guessing" in chance


def test_the_published_search_that_predicts_nothing_of_what_it_validated_is_named() -> None:
    chance, gap = texts(accuracy=0.00548, validation_accuracy=(0.1152, 0.296, 0.2924))
    assert "its published accuracy of 0.548 %" in chance
    assert gap == (
        "its published test accuracy is 29.052 points lower than the validation accuracy published beside it "
        "(0.548 % against 29.6 %): labels, preprocessing or the split must have differed"
    )


def test_a_test_accuracy_far_above_every_validation_accuracy_is_named() -> None:
    (gap,) = texts(10, accuracy=0.7, validation_accuracy=(0.5, 0.6))
    assert gap.startswith("its published test accuracy is 10.0 points higher than the validation accuracy")


@pytest.mark.parametrize("validation", [(0.52, 0.6, 0.54), (0.2, 0.4, 0.53), ()])
def test_a_best_or_a_last_epoch_near_the_test_accuracy_is_no_gap(validation: tuple[float, ...]) -> None:
    assert texts(10, accuracy=0.53, validation_accuracy=validation) == []


def test_of_the_original_study_exactly_these_are_named() -> None:
    assert "classic" in shipped_studies()
    spec, _ = load_study("classic")
    classes = {"5 classes": 5, "200 classes": 200, "200 classes, 60 min": 200, "10 classes": 10}
    found = {
        (task.name, candidate.name): len(published_symptoms(candidate.published, classes[task.name]))
        for task in spec.tasks
        for candidate in spec.candidates_of(task)
    }
    assert {name: count for name, count in found.items() if count} == {
        ("200 classes", "alexnet"): 1, ("200 classes", "mobilenet"): 1,
        ("200 classes, 60 min", "search"): 2,
    }  # fmt: skip
