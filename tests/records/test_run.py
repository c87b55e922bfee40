"""What one run leaves, written and read back, whole and damaged."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from bakeoff.errors import StudyError
from bakeoff.records import SCHEMA, Predictions, RunFolder, RunRecord, StudyFolder

RECORD = RunRecord(
    identity="0123456789abcdef",
    study="classic",
    task="5 classes",
    candidate="model4",
    seed=2,
    status="finished",
    control_digest="fedcba9876543210",
    recipe={"epochs": 30.0, "optimizer": {"name": "adam", "betas": [0.9, 0.999]}},
    differences={"batch_size": [64, 32]},
    model="model4",
    parameters=3_250_058,
    layers=[{"name": "conv1", "shape": [128, 64, 64], "parameters": 3584}],
    precision={"used": "fp32", "reason": "asked for"},
    epochs=30.0,
    steps=1056,
    train_seconds=12.5,
    history=[{"epoch": 1, "train_loss": 1.5, "validation_accuracy": 0.25}],
    metrics={"test_accuracy": 0.772, "test_loss": 0.724},
    test_readings=[{"when": "2025-01-01T00:00:00Z", "why": "evaluation", "images": "250"}],
    started="2025-01-01T00:00:00Z",
)


def predictions(count: int, classes: int) -> Predictions:
    generator = np.random.default_rng(count)
    probability_NC = generator.dirichlet(np.ones(classes), count).astype(np.float32)
    top_NT = np.argsort(-probability_NC, axis=1)[:, :5].astype(np.int16)
    return Predictions(
        index_N=np.arange(100, 100 + count, dtype=np.int32),
        label_N=generator.integers(0, classes, count).astype(np.int16),
        loss_N=generator.random(count, dtype=np.float32),
        top_NT=top_NT,
        probability_NT=np.take_along_axis(probability_NC, top_NT.astype(np.int64), axis=1),
    )


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "runs" / "5-classes" / "model4" / "seed-2")


# The record


def test_a_record_comes_back_equal(folder):
    folder.write(RECORD)
    assert folder.read() == RECORD


def test_a_run_that_has_not_ended_has_no_record(folder):
    assert folder.read() is None
    folder.path.mkdir(parents=True)
    folder.checkpoint_path.write_bytes(b"half")
    assert folder.read() is None


def test_the_file_holds_exactly_the_fields_of_the_record(folder):
    folder.write(RECORD)
    assert json.loads(folder.record_path.read_text()) == asdict(RECORD)
    assert json.loads(folder.record_path.read_text())["schema"] == SCHEMA


def test_a_metric_that_is_no_number_comes_back_as_nan(folder):
    folder.write(replace(RECORD, status="diverged", metrics={"test_loss": math.nan, "test_accuracy": 0.2}))
    record = folder.read()
    assert math.isnan(record.metric("test_loss"))
    assert record.metric("test_accuracy") == 0.2


def test_a_metric_that_was_never_measured_is_nan():
    assert math.isnan(RECORD.metric("test_brier"))


def test_a_diverged_history_is_kept_with_nulls_where_json_has_no_number(folder):
    history = [{"epoch": 1, "train_loss": 2.5}, {"epoch": 2, "train_loss": math.inf}]
    folder.write(replace(RECORD, status="diverged", history=history))
    assert folder.read().history == [{"epoch": 1, "train_loss": 2.5}, {"epoch": 2, "train_loss": None}]


def test_numbers_of_numpy_do_not_lose_a_finished_run(folder):
    folder.write(replace(RECORD, steps=np.int64(7), metrics={"test_accuracy": np.float32(0.5)}))
    assert (folder.read().steps, folder.read().metrics) == (7, {"test_accuracy": 0.5})


def test_fields_of_a_newer_schema_are_passed_over(folder):
    folder.write(RECORD)
    values = json.loads(folder.record_path.read_text())
    folder.record_path.write_text(json.dumps({**values, "schema": SCHEMA + 1, "mood": "good"}))
    assert folder.read() == replace(RECORD, schema=SCHEMA + 1)


def test_fields_that_an_older_record_lacks_have_their_defaults(folder):
    folder.write(RECORD)
    values = json.loads(folder.record_path.read_text())
    del values["peak_memory_bytes"], values["layers"]
    folder.record_path.write_text(json.dumps(values))
    assert folder.read() == replace(RECORD, peak_memory_bytes=0, layers=[])


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"text"', "{}", '{"identity": "x"}'])
def test_a_damaged_record_is_told_in_one_line(folder, content):
    folder.path.mkdir(parents=True)
    folder.record_path.write_text(content)
    with pytest.raises(StudyError) as caught:
        folder.read()
    assert str(caught.value).startswith(f"{folder.record_path} is not a run's record: ")
    assert "\n" not in str(caught.value)


def test_a_record_says_in_the_error_which_field_is_missing(folder):
    folder.write(RECORD)
    values = json.loads(folder.record_path.read_text())
    del values["seed"]
    folder.record_path.write_text(json.dumps(values))
    with pytest.raises(StudyError, match=r"is not a run's record: seed: is missing"):
        folder.read()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("metrics", [], "metrics: got an empty list, expected a table"),
        ("metrics", {"test_accuracy": "x"}, "metrics.test_accuracy: got 'x', expected a number"),
        ("history", [1], "history[1]: got 1, expected a table"),
        ("history", [{"train_loss": "low"}], "history[1].train_loss: got 'low', expected a number"),
        ("precision", None, "precision: got None, expected a table"),
        ("environment", None, "environment: got None, expected a table"),
        ("differences", {"a": 1}, "differences.a: got 1, expected a list"),
        ("parameters", None, "parameters: got None, expected a whole number"),
        ("parameters", True, "parameters: got True, expected a whole number"),
        ("train_seconds", None, "train_seconds: got None, expected a number"),
        ("train_seconds", "12", "train_seconds: got '12', expected a number"),
        ("status", "weird", "status: got 'weird', expected 'finished', 'diverged' or 'failed'"),
    ],
)
def test_a_field_of_a_wrong_type_is_told_in_one_line(folder, field, value, said):
    folder.write(RECORD)
    values = json.loads(folder.record_path.read_text())
    folder.record_path.write_text(json.dumps({**values, field: value}))
    with pytest.raises(StudyError) as caught:
        folder.read()
    assert str(caught.value) == f"{folder.record_path} is not a run's record: {said}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": "zzz"}, "task: got 'zzz', expected '5 classes'"),
        ({"candidate": "model5"}, "candidate: got 'model5', expected 'model4'"),
        ({"seed": 3}, "seed: got 3, expected 2"),
    ],
)
def test_the_record_of_another_run_is_refused_in_the_folder_of_a_study(tmp_path, change, said):
    folder = StudyFolder(tmp_path).run("5 classes", "model4", 2)
    folder.write(RECORD)
    assert folder.read() == RECORD
    folder.write(replace(RECORD, **change))
    with pytest.raises(StudyError) as caught:
        folder.read()
    assert str(caught.value) == f"{folder.record_path}: {said}; it is the record of another run"


def test_whole_numbers_stay_whole_in_a_history(folder):
    folder.write(RECORD)
    before = folder.record_path.read_bytes()
    folder.write(folder.read())
    assert folder.record_path.read_bytes() == before


# The predictions


def test_predictions_come_back_bit_for_bit_with_their_types(folder):
    by_split = {"validation": predictions(7, 3), "test": predictions(11, 200)}
    folder.write_predictions(by_split)
    for split, written in by_split.items():
        read = folder.read_predictions(split)
        for name, array in vars(written).items():
            np.testing.assert_array_equal(getattr(read, name), array)
            assert getattr(read, name).dtype == array.dtype
    assert folder.read_predictions("validation").top_NT.shape == (7, 3)  # fewer classes than five
    assert folder.read_predictions("test").top_NT.shape == (11, 5)


def test_smallest_predictions_are_the_same_in_fewer_bytes_each_time(folder):
    by_split = {"test": predictions(2000, 200)}
    folder.write_predictions(by_split)
    quick, before = folder.predictions_path.read_bytes(), folder.read_predictions("test")
    folder.write_predictions(by_split, smallest=True)
    small = folder.predictions_path.read_bytes()
    assert len(small) < len(quick)
    for name, array in vars(folder.read_predictions("test")).items():
        np.testing.assert_array_equal(array, getattr(before, name))
    folder.write_predictions(by_split, smallest=True)
    assert folder.predictions_path.read_bytes() == small


def test_predictions_that_are_not_there_read_as_none(folder):
    assert folder.read_predictions("test") is None
    folder.write_predictions({"validation": predictions(4, 3)})
    assert folder.read_predictions("test") is None
    assert folder.read_predictions("validation") is not None


def test_the_predictions_file_can_be_read_by_numpy_alone(folder):
    folder.write_predictions({"test": predictions(4, 6)})
    with np.load(folder.predictions_path) as arrays:
        assert sorted(arrays) == ["test_index", "test_label", "test_loss", "test_probability", "test_top"]


def test_an_image_is_correct_when_the_best_class_is_its_label():
    some = replace(
        predictions(3, 6),
        label_N=np.array([2, 2, 2], np.int16),
        top_NT=np.array([[2, 0, 1], [0, 2, 1], [1, 0, 3]], np.int16),
    )
    assert some.correct_N.tolist() == [True, False, False]


@pytest.mark.parametrize("smallest", [False, True])
@pytest.mark.parametrize("keep", [0, 10, 200, -30, -1])
def test_a_damaged_predictions_file_is_told_in_one_line(folder, keep, smallest):
    folder.write_predictions({"test": predictions(50, 6)}, smallest=smallest)
    content = folder.predictions_path.read_bytes()
    folder.predictions_path.write_bytes(content[:keep])
    with pytest.raises(StudyError) as caught:
        folder.read_predictions("test")
    assert str(caught.value).startswith(f"{folder.predictions_path} does not hold predictions: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("smallest", [False, True])
def test_flipped_bits_in_the_predictions_are_noticed(folder, smallest):
    folder.write_predictions({"test": predictions(500, 6)}, smallest=smallest)
    content = bytearray(folder.predictions_path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    folder.predictions_path.write_bytes(content)
    with pytest.raises(StudyError):
        folder.read_predictions("test")


def test_a_predictions_file_that_lacks_an_array_is_told(folder):
    folder.path.mkdir(parents=True)
    np.savez(folder.predictions_path, test_index=np.arange(3))
    with pytest.raises(StudyError, match="does not hold predictions: test_label is missing"):
        folder.read_predictions("test")


# Readings of the test images


def test_every_reading_of_the_test_images_is_kept_in_order(folder):
    assert folder.test_readings() == []
    readings = [{"when": "t0", "why": "evaluation"}, {"when": "t1", "why": "evaluation after a resume"}]
    for reading in readings:
        folder.note_test_reading(reading)
    assert folder.test_readings() == readings


def test_a_damaged_list_of_readings_is_never_taken_for_no_reading(folder):
    folder.path.mkdir(parents=True)
    for content in ("", "{}", "null"):
        folder.test_readings_path.write_text(content)
        with pytest.raises(StudyError, match="is not a list of readings of the test images"):
            folder.test_readings()


# Clearing up


def test_clearing_removes_the_checkpoint_and_what_a_killed_process_was_writing(folder):
    folder.write(RECORD)
    folder.weights_path.write_bytes(b"weights")
    folder.checkpoint_path.write_bytes(b"state")
    (folder.path / ".checkpoint.pt.4711.partial").write_bytes(b"half a state")
    folder.clear_unfinished()
    assert sorted(path.name for path in folder.path.iterdir()) == ["record.json", "weights.safetensors"]
    folder.clear_unfinished()  # nothing left to clear is no mistake


def test_discarding_removes_the_run_and_only_it(folder):
    other = RunFolder(folder.path.with_name("seed-3"))
    folder.write(RECORD)
    folder.write_predictions({"test": predictions(4, 6)})
    other.write(RECORD)
    folder.discard()
    assert not folder.path.exists()
    assert other.read() == RECORD
    folder.discard()  # nothing left to discard is no mistake


def test_a_run_whose_discarding_is_interrupted_does_not_look_finished(folder, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    folder.write(RECORD)
    folder.write_predictions({"test": predictions(4, 6)})
    monkeypatch.setattr("shutil.rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        folder.discard()
    assert folder.read() is None
