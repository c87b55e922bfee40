"""Goldens from cleanlab, by the authors of confident learning; and labels that were made wrong on purpose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from studies import CandidateSketch, TaskSketch, make_study

from bakeoff.evidence.label_errors import (
    MOST,
    class_thresholds,
    confident_classes,
    doubted_labels,
    find_label_errors,
    margins,
    odd_images,
)
from bakeoff.records import StudyFolder
from bakeoff.records.atomic import write_arrays
from bakeoff.rng import generator

TASK = TaskSketch(name="t", classes=5, test_images=400, validation_images=200)
FILES = [f"images/{i}.png" for i in range(10 * TASK.validation_images + TASK.test_images)]


def formula() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make probabilities, labels and true classes without chance: 26 of 600 labels are wrong."""
    image_N1, class_1K = np.arange(600)[:, None], np.arange(7)[None]
    logits_NK = 1.6 * np.sin(1.7 * image_N1 + 2.3 * class_1K**2) + 1.1 * np.cos(
        0.37 * image_N1 * (class_1K + 1)
    )
    true_N = np.arange(600) * 5 % 7
    logits_NK[np.arange(600), true_N] += 4.0
    label_N = np.where(np.arange(600) % 23 == 3, (true_N + 1 + np.arange(600) % 5) % 7, true_N)
    exp_NK = np.exp(logits_NK)
    return exp_NK / exp_NK.sum(axis=1, keepdims=True), label_N, true_N


def test_doubted_labels_are_those_of_cleanlab_in_its_order() -> None:
    """Made once with cleanlab 2.9.0 (`filter_by="confident_learning"`, ranked by "normalized_margin")."""
    probabilities_NK, label_N, true_N = formula()
    found = doubted_labels(probabilities_NK, label_N)
    assert found.tolist() == [
        49, 371, 233, 141, 187, 3, 325, 118, 417, 394, 72, 463, 555, 95, 279, 440, 509,
    ]  # fmt: skip
    assert (label_N[found] != true_N[found]).all()


def test_thresholds_and_confident_joint_are_those_of_cleanlab() -> None:
    probabilities_NK, label_N, _ = formula()
    assert class_thresholds(probabilities_NK, label_N) == pytest.approx([
        0.70801298025831, 0.7095122632456945, 0.6952892408885751, 0.7174610074700213, 0.7152922707845359,
        0.7449213801502422, 0.7352557468689502,
    ])  # fmt: skip
    counted_N = confident_classes(probabilities_NK, label_N)
    joint_KK = np.zeros((7, 7), dtype=int)
    np.add.at(joint_KK, (label_N[counted_N >= 0], counted_N[counted_N >= 0]), 1)
    assert joint_KK.tolist() == [
        [54, 0, 1, 1, 1, 1, 1], [0, 54, 0, 1, 0, 0, 0], [1, 1, 53, 0, 1, 1, 1], [0, 0, 1, 54, 0, 0, 0],
        [0, 0, 0, 1, 51, 0, 0], [1, 1, 0, 0, 0, 53, 0], [0, 0, 1, 1, 0, 0, 57],
    ]  # fmt: skip


def test_a_class_without_images_is_never_suggested() -> None:
    probabilities_NK = np.array([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3]])
    label_N = np.array([0, 0, 1])
    assert class_thresholds(probabilities_NK, label_N).tolist() == pytest.approx([0.35, 0.5, np.inf])
    assert doubted_labels(probabilities_NK, label_N).tolist() == []


def test_an_image_that_reaches_no_class_is_not_doubted() -> None:
    probabilities_NK = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.45, 0.55]])
    counted = confident_classes(probabilities_NK, np.array([0, 0, 1, 1, 0]))
    assert counted.tolist() == [0, 0, 1, 1, -1]


def test_a_margin_is_the_labels_probability_minus_the_highest_other() -> None:
    assert margins(np.array([[0.2, 0.5, 0.3], [0.2, 0.5, 0.3]]), np.array([0, 1])).tolist() == pytest.approx(
        [-0.3, 0.2]
    )


def test_an_odd_image_stands_high_in_every_run_by_loss_and_by_entropy() -> None:
    images = np.arange(100.0)
    one = (images, images)  # the last is the oddest
    other = (np.where(images == 99, 0.0, images), images)  # but not in this run
    assert odd_images([one]).tolist()[0] == 99
    assert 99 not in odd_images([one, other])
    assert odd_images([one, other]).tolist()[0] == 98
    surely_wrong = (images, images[::-1])  # a high loss without doubt is a wrong label, and not odd
    assert odd_images([surely_wrong]).tolist() == []


# Over the runs of a study


def study(path: Path, **options: object) -> StudyFolder:
    candidates = [
        CandidateSketch(name="good", skill=4.5, sharpness=3.6),  # as sure as it may be
        CandidateSketch(name="loud", skill=4.2, sharpness=8.0),
        CandidateSketch(name="poor", skill=1.5),
    ]
    return make_study(
        path, tasks=[TASK], candidates=candidates, seeds=[0, 1], examples=False, full=True, **options
    )  # type: ignore[arg-type]


def relabel(folder: StudyFolder, images: int) -> np.ndarray:
    """Give some test images the label of the class after, in the predictions of every run."""
    random = generator(0, "relabel")
    rows = np.sort(random.permutation(TASK.test_images)[:images])
    for record in folder.records():
        run = folder.run(record.task, record.candidate, record.seed)
        by_split = {split: run.read_predictions(split) for split in ("validation", "test")}  # type: ignore[arg-type]
        test, full_NK = by_split["test"], run.read_probabilities()
        assert test is not None
        assert full_NK is not None
        label_N = test.label_N.copy()
        label_N[rows] = (label_N[rows] + 1) % TASK.classes
        loss_N = -np.log(full_NK[np.arange(len(label_N)), label_N]).astype(np.float32)
        run.write_predictions({**by_split, "test": replace(test, label_N=label_N, loss_N=loss_N)})  # type: ignore[dict-item]
        run.write(replace(record, metrics={}))
    return rows + 10 * TASK.validation_images


def test_labels_that_were_made_wrong_are_the_first_to_be_doubted(tmp_path: Path) -> None:
    folder = study(tmp_path)
    planted = relabel(folder, 8)
    found = find_label_errors(folder, "t", FILES)
    assert found is not None
    assert len(found.labels) == MOST
    assert all(one.index in planted for one in found.labels)
    first = found.labels[0]
    assert first.part == "test"
    assert first.file == f"images/{first.index}.png"
    assert first.suggested == (first.label - 1) % TASK.classes
    assert first.suggested_probability > 0.9 > 0.1 > first.label_probability
    assert first.runs_for >= 4
    # More of the sure ones are contradicted than the networks' own doubt explains.
    assert found.as_sure_against >= len(found.labels) > 2 * found.as_sure_expected


def test_the_weak_are_not_averaged_and_those_near_the_best_are(tmp_path: Path) -> None:
    found = find_label_errors(study(tmp_path), "t", FILES)
    assert found is not None
    assert found.candidates == ["good", "loud"]
    assert (found.runs, found.images) == (4, 600)
    assert found.asked == len(found.of) == 6
    assert found.accuracy > 0.9
    assert [o.index for o in found.outliers] == list(dict.fromkeys(o.index for o in found.outliers))
    for one in found.outliers:
        assert one.entropy > 0.2
        assert one.runs_right <= found.asked / 2


def test_equal_records_give_equal_lists_and_come_back_equal_from_the_disk(tmp_path: Path) -> None:
    folder = study(tmp_path)
    found = find_label_errors(folder, "t", [f"images/{i:05d}.png" for i in range(len(FILES))])
    assert folder.read_label_errors("t") == found


def test_runs_without_their_probabilities_are_not_asked(tmp_path: Path) -> None:
    folder = study(tmp_path)
    for seed in (0, 1):
        folder.run("t", "good", seed).probabilities_path.unlink()
    folder.run("t", "loud", 0).probabilities_path.write_bytes(b"damaged")
    found = find_label_errors(folder, "t", FILES)
    assert found is not None
    assert (found.candidates, found.runs, found.asked) == (["loud"], 1, 3)
    folder.run("t", "loud", 1).probabilities_path.unlink()
    assert find_label_errors(folder, "t", FILES) is None


def test_a_run_on_other_images_is_not_mixed_in(tmp_path: Path) -> None:
    folder = study(tmp_path)
    run = folder.run("t", "loud", 1)
    test, full_NK = run.read_predictions(), run.read_probabilities()
    assert test is not None
    assert full_NK is not None
    run.write_predictions({
        "validation": run.read_predictions("validation"),  # type: ignore[dict-item]
        "test": replace(test, index_N=test.index_N[::-1].copy(), label_N=test.label_N[::-1].copy(),
                        loss_N=test.loss_N[::-1].copy(), top_NT=test.top_NT[::-1].copy()),
    })  # fmt: skip
    write_arrays(run.probabilities_path, {
        "validation": run.read_probabilities("validation"), "test": full_NK[::-1],  # type: ignore[dict-item]
    })  # fmt: skip
    found = find_label_errors(folder, "t", FILES)
    assert found is not None
    assert found.runs == 3
