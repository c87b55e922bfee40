"""Small copies of the images that the report shows."""

from dataclasses import replace

import numpy as np

from bakeoff.evidence.confusion import examples_for_task
from bakeoff.study.examples import keep_examples, keep_label_errors


def test_an_ended_study_has_kept_the_images_that_its_evidence_points_at(folder, digits):
    kept = folder.read_examples("digits")
    assert sorted(kept) == sorted(examples_for_task(folder, "digits"))
    assert len(kept) > 0
    assert set(kept) <= set(digits.test.tolist())  # training images are nobody's evidence
    for index, image_HWC in kept.items():
        np.testing.assert_array_equal(image_HWC, digits.images_NHWC[index])


def test_larger_images_are_drawn_down_to_64_pixels(folder, digits):
    large_NHWC = np.zeros((len(digits.images_NHWC), 96, 96, 3), dtype=np.uint8)
    large_NHWC[:, :48] = 200  # the upper half is bright: swapped axes would show
    keep_examples(folder, "digits", replace(digits, images_NHWC=large_NHWC))
    for image_HWC in folder.read_examples("digits").values():
        assert image_HWC.shape == (64, 64, 3)
        assert image_HWC.dtype == np.uint8
        assert image_HWC[:28].mean() == 200
        assert image_HWC[36:].mean() == 0


def test_a_task_without_a_result_keeps_nothing(folder, digits):
    examples = folder.path / "tasks" / "digits" / "examples.npz"
    examples.unlink()
    for name in ("plain", "dropout"):
        folder.run("digits", name, 0).discard()
    keep_examples(folder, "digits", digits)
    assert not examples.exists()


def test_an_ended_study_has_listed_the_images_worth_a_look(folder, digits):
    found = folder.read_label_errors("digits")
    assert found.images == len(digits.validation) + len(digits.test)
    assert sorted(found.of) == sorted(record.identity for record in folder.records())
    shown = [*found.labels, *found.outliers]
    copies = folder.read_label_error_images("digits")
    assert sorted(copies) == sorted({one.index for one in shown})
    for one in shown:
        assert one.file == digits.keys[one.index]
        assert one.label == digits.labels_N[one.index]
        assert one.index in (digits.test if one.part == "test" else digits.validation)
        np.testing.assert_array_equal(copies[one.index], digits.images_NHWC[one.index])


def test_the_same_runs_are_asked_once_and_others_again(folder, digits, monkeypatch):
    asked = []
    monkeypatch.setattr("bakeoff.study.examples.find_label_errors", lambda *_: asked.append(1))
    keep_label_errors(folder, "digits", digits)
    assert asked == []
    folder.run("digits", "plain", 0).discard()
    keep_label_errors(folder, "digits", digits)
    assert asked == [1]


def test_runs_whose_probabilities_are_gone_leave_the_list_as_it_is(folder, digits):
    path = folder.path / "tasks" / "digits" / "label_errors.json"
    path.unlink()
    for name in ("plain", "dropout"):
        folder.run("digits", name, 0).probabilities_path.unlink()
    keep_label_errors(folder, "digits", digits)
    assert not path.exists()
