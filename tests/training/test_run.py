"""One run from a job to its record, however it ends."""

import json
import os
import random
import sys
from contextlib import suppress
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from jobs import Ear, course_of, make_job, pictures, train
from safetensors import safe_open
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bakeoff.data.batches import ImageStore
from bakeoff.errors import DataError, ResourceError, StudyError
from bakeoff.evidence.calibration import calibrate, read_calibration
from bakeoff.evidence.metrics import measure
from bakeoff.records import RunFolder, RunRecord
from bakeoff.training import run
from bakeoff.training.classifier import build_classifier
from bakeoff.training.evaluate import predict
from bakeoff.training.loop import Stopped
from bakeoff.training.run import train_run

MAY_BE_EMPTY = {"reason", "differences", "resumed", "seed"}
MAY_BE_EMPTY |= {"source", "pretrained", "frozen", "features", "probe"}  # of a network from scratch
MAY_BE_EMPTY |= {"search", "architecture"}  # of a search
MAY_BE_EMPTY |= {"external", "inference", "energy_joules"}  # not asked for; not readable on most machines


def _weights(folder):
    return load_file(folder.weights_path)


def _equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# A run that finishes


def test_a_task_without_test_images_is_validated_and_no_more(tmp_path):
    record, folder = train(make_job(tmp_path, data=pictures(test=0)), tmp_path / "run")
    assert record.status == "finished"
    assert {name.partition("_")[0] for name in record.metrics} == {"validation"}
    assert record.test_readings == folder.test_readings() == []
    assert folder.read_predictions("test") is None
    assert measure(folder.read_predictions("validation"), "validation") == record.metrics


def test_a_finished_record_has_every_field_and_comes_back_equal(tmp_path):
    job = make_job(tmp_path, "dropout")
    record, folder = train(job, tmp_path / "run")
    empty = {f.name for f in fields(RunRecord) if not getattr(record, f.name)} - MAY_BE_EMPTY
    assert (record.status, record.reason, empty) == ("finished", None, set())
    assert folder.read() == replace(record, recipe=json.loads(json.dumps(record.recipe)))
    assert record.identity == job.identity
    assert record.recipe == job.recipe.model_dump(mode="json")
    assert record.precision == {"used": "fp32", "reason": "asked for by the test"}
    assert (record.epochs, record.steps, len(record.history)) == (2, 8, 2)
    assert 0 < record.train_seconds <= record.total_seconds
    assert record.images_per_second == pytest.approx(52 / record.train_seconds)
    assert len(record.test_readings) == 1
    assert record.peak_memory_bytes > 1e6 or sys.platform != "linux"


def test_a_finished_folder_holds_these_files_and_no_others(tmp_path):
    _, folder = train(make_job(tmp_path), tmp_path / "run", Ear())
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "predictions.npz", "probabilities.npz", "record.json", "tensorboard", "test_readings.json",
        "weights.safetensors",
    ]  # fmt: skip


def test_the_network_learns_what_there_is_to_learn(tmp_path):
    record, _ = train(make_job(tmp_path, epochs=12.0, data=pictures(train=60, test=60)), tmp_path / "run")
    assert record.metrics["test_accuracy"] > 0.8
    assert record.history[-1]["train_loss"] < record.history[0]["train_loss"] / 2


def test_the_stored_weights_predict_what_is_stored_for_every_split(tmp_path):
    job = make_job(tmp_path, ema=0.5, data=pictures(validation=8, test=13))
    record, folder = train(job, tmp_path / "run")
    model = build_classifier(
        job.candidate.model, classes=3, input_size=8, mean=(0.0,) * 3, std=(1.0,) * 3, seed=9,
        base_dir=tmp_path,
    )  # fmt: skip
    model.load_state_dict(_weights(folder))  # preprocessing included
    store = ImageStore(job.data.images_NHWC, job.data.labels_N, torch.device("cpu"))
    with np.load(folder.probabilities_path) as stored:
        for split in ("validation", "test"):
            index = getattr(job.data, split)
            np.testing.assert_allclose(stored[split], predict(model, store, index), rtol=1e-5)
            kept = folder.read_predictions(split)
            np.testing.assert_array_equal(kept.index_N, index)
            np.testing.assert_array_equal(kept.label_N, job.data.labels_N[index])
            np.testing.assert_array_equal(kept.top_NT[:, 0], stored[split].argmax(1))
            found = measure(kept, split)
            assert {name: record.metrics[name] for name in found} == found
    assert set(record.metrics) == {f"{split}_{name.split('_', 1)[1]}" for split in ("validation", "test")
                                   for name in found}  # fmt: skip


def test_a_run_records_the_calibration_of_the_probabilities_that_it_stores(tmp_path):
    job = make_job(tmp_path, data=pictures(validation=30, test=45))
    record, folder = train(job, tmp_path / "run")
    splits = [
        part
        for split in ("validation", "test")
        for part in (folder.read_probabilities(split), job.data.labels_N[getattr(job.data, split)])
    ]
    expected = calibrate(*splits)
    assert record.calibration == expected.as_record()
    assert read_calibration(folder.read().calibration, "record.json") == expected
    assert expected.before.loss == pytest.approx(record.metrics["test_loss"], rel=1e-6)


def test_weights_say_whose_they_are_and_are_laid_out_as_other_libraries_expect(tmp_path):
    job = make_job(tmp_path)
    _, folder = train(job, tmp_path / "run")
    with safe_open(folder.weights_path, "pt") as file:
        (about,) = file.metadata().values()
        assert json.loads(about) == {"model": "nets.py:plain", "identity": job.identity}
    assert all(value.is_contiguous() for value in _weights(folder).values())


def test_the_scores_of_the_last_epoch_are_those_of_the_finished_network(tmp_path):
    record, _ = train(make_job(tmp_path), tmp_path / "run")
    last = record.history[-1]
    assert record.metrics["validation_accuracy"] == last["validation_accuracy"]
    assert record.metrics["validation_loss"] == pytest.approx(last["validation_loss"], rel=1e-6)


def test_test_images_are_read_once_and_after_all_training(tmp_path):
    ear = Ear()
    heard = []
    ear.on_step = lambda step: heard.append("step") or False
    ear.on_evaluation = lambda split, done, total: heard.append(split)
    record, _ = train(make_job(tmp_path), tmp_path / "run", ear)
    epoch = ["step"] * 4 + ["validation"]
    assert heard == [*epoch, *epoch, "validation", "test"]
    assert [reading["images"] for reading in record.test_readings] == ["9"]


# Repetition


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_repeats_to_the_last_bit_and_another_seed_is_another_run(precision, tmp_path):
    recipe = {"augmentation": {"crop": 1, "flip": "random", "cutmix": 1.0}, "ema": 0.9}
    job = make_job(tmp_path, "dropout", precision=precision, **recipe)
    first, one = train(job, tmp_path / "first")
    torch.manual_seed(77)  # nobody's draws matter
    again, two = train(job, tmp_path / "again")
    other, three = train(
        make_job(tmp_path, "dropout", seed=1, precision=precision, **recipe), tmp_path / "other"
    )
    assert _equal(_weights(one), _weights(two))
    assert course_of(first.history) == course_of(again.history)
    assert first.metrics == again.metrics
    assert not _equal(_weights(one), _weights(three))
    assert other.status == "finished"


def test_the_callers_generators_are_left_alone_however_the_run_ends(tmp_path):
    for network, stop in (("dropout", ()), ("dropout", (3,)), ("raising", ())):
        torch.manual_seed(1)
        states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
        with suppress(Stopped):
            train(make_job(tmp_path, network), tmp_path / f"{network}{stop}", Ear(stop))
        assert torch.equal(states[0], torch.get_rng_state())
        assert (states[1] == np.random.get_state()[1]).all()  # noqa: NPY002
        assert states[2] == random.getstate()


def test_memory_of_the_run_before_is_given_back_first(monkeypatch, tmp_path):
    given = []
    monkeypatch.setattr(run, "give_back", lambda: given.append(True))
    train(make_job(tmp_path), tmp_path / "run")
    assert given == [True]


# Every recipe

RECIPES = {
    "class weights": {"class_weights": "balanced"},
    "balanced sampler": {"sampler": "balanced"},
    "mixup": {"augmentation": {"mixup": 0.2}},
    "cutmix and crop": {"augmentation": {"cutmix": 1.0, "crop": 2}},
    "smoothing": {"label_smoothing": 0.1, "class_weights": "balanced", "augmentation": {"mixup": 0.2}},
    "muon": {"optimizer": {"name": "muon", "lr": 0.02, "weight_decay": 0.01}},
    "sgd": {"optimizer": {"name": "sgd", "lr": 0.05}, "clip_norm": 1.0},
    "adamw": {"optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.1}, "ema": 0.9},
    "one-cycle": {"schedule": "one-cycle"},
    "warmup of all": {"schedule": "cosine", "warmup": 1.0},
    "steps": {"steps": 5},
    "time": {"time": "0.1s"},
    "one large batch": {"batch_size": 1000},
    "batches of two": {"batch_size": 2, "epochs": 1.0},
    "scaled": {"normalize": "scale"},
    "early stop": {"early_stop": {"patience": 1}, "epochs": 3.0},
    "recalibrated": {"norm_statistics": "recalibrated", "ema": 0.9},
}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_and_makes_a_difference(name, precision, tmp_path):
    job = make_job(tmp_path, precision=precision, **RECIPES[name])
    record, folder = train(job, tmp_path / "run")
    assert (record.status, record.reason) == ("finished", None)
    assert record.precision["used"] == precision
    assert 0 <= record.metrics["test_accuracy"] <= 1
    start = build_classifier(
        job.candidate.model, classes=3, input_size=8, mean=job.mean, std=job.std, seed=0, base_dir=tmp_path
    ).state_dict()
    moved = [name for name, value in _weights(folder).items() if not torch.equal(value, start[name])]
    assert "network.4.weight" in moved
    assert not {"preprocess.mean", "preprocess.scale"} & set(moved)
    _, plain = train(make_job(tmp_path, precision=precision), tmp_path / "plain")
    assert not torch.equal(_weights(plain)["network.4.weight"], _weights(folder)["network.4.weight"])


@pytest.mark.parametrize(
    ("case", "settings"),
    [
        ("two classes", {"data": pictures(classes=2)}),
        ("six classes", {"data": pictures(classes=6, train=36)}),
        ("one validation image", {"data": pictures(validation=1)}),
        ("one test image", {"data": pictures(test=1)}),
        ("last batch of one image", {"data": pictures(train=25)}),
        ("larger input", {"input_size": 12}),
        ("smaller input", {"input_size": 5}),
        ("images that are not square", {"data": pictures(height=4), "input_size": 8}),
        ("registered network", {"network": "model1", "batch_size": 1, "epochs": 0.2}),
    ],
)
def test_every_shape_of_a_task_trains(case, settings, tmp_path):
    job = make_job(tmp_path, **settings)
    record, folder = train(job, tmp_path / "run")
    assert (record.status, record.reason) == ("finished", None)
    assert record.input_size == job.input_size
    assert len(folder.read_predictions("validation").label_N) == len(job.data.validation)
    assert folder.read_predictions().top_NT.shape == (len(job.data.test), min(5, len(job.data.class_ids)))


def test_batch_normalization_cannot_train_on_single_values_and_the_record_says_so(tmp_path):
    record, _ = train(make_job(tmp_path, "model4", batch_size=1, epochs=0.1), tmp_path / "run")
    assert record.status == "failed"
    assert record.reason.startswith("ValueError: Expected more than 1 value per channel when training")


def test_tied_weights_are_stored_under_both_names(tmp_path):
    record, folder = train(make_job(tmp_path, "tied"), tmp_path / "run")
    assert (record.status, record.reason) == ("finished", None)
    weights = _weights(folder)
    assert torch.equal(weights["network.2.weight"], weights["network.4.weight"])


def test_weights_of_five_axes_train(tmp_path):
    record, _ = train(make_job(tmp_path, "volume"), tmp_path / "run")
    assert (record.status, record.reason) == ("finished", None)


def test_a_compiled_step_is_made_for_each_size_of_batch(monkeypatch, tmp_path):
    """Code for any size is made at the second size met, which an interruption changes."""
    asked = []

    def compiled(module, **settings):
        asked.append(settings)
        return module

    monkeypatch.setattr(torch, "compile", compiled)
    _, one = train(make_job(tmp_path), tmp_path / "plain")
    _, two = train(make_job(tmp_path, compile=True), tmp_path / "compiled")
    assert asked == [{"dynamic": False}]
    assert _equal(_weights(one), _weights(two))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the compiler's own
@pytest.mark.parametrize("network", ["plain", "dropout"])
def test_a_compiled_run_stopped_at_any_step_ends_in_the_same_weights(network, tmp_path):
    job = make_job(tmp_path, network, compile=True)
    whole, folder = train(job, tmp_path / "whole")
    assert (whole.status, whole.reason) == ("finished", None)
    for stop in (3, 4, 5):
        torch.compiler.reset()
        with pytest.raises(Stopped):
            train(job, tmp_path / f"stop-{stop}", Ear({stop}))
        torch.compiler.reset()
        _, resumed = train(job, tmp_path / f"stop-{stop}")
        assert _equal(_weights(folder), _weights(resumed))
    eager, _ = train(make_job(tmp_path, network), tmp_path / "eager")
    if network == "plain":  # the compiler draws dropout's masks in another way
        assert whole.history[0]["train_loss"] == pytest.approx(eager.history[0]["train_loss"], rel=1e-3)


# A run that does not finish


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ("raising", "ZeroDivisionError: cannot divide"),
        ("odd", "OddError: unheard of"),
        ("missing.py:build", "model: no file {base}/missing.py"),
    ],
)
def test_a_network_that_fails_is_a_failed_run_with_its_reason_and_traceback(network, reason, tmp_path):
    record, folder = train(make_job(tmp_path, network), tmp_path / "run")
    assert (record.status, record.reason) == ("failed", reason.format(base=tmp_path))
    assert folder.read() == record
    assert record.metrics == {}
    assert record.test_readings == []
    text = (folder.path / "traceback.txt").read_text(encoding="utf-8")
    assert text.startswith("Traceback (most recent call last)")
    assert not folder.predictions_path.exists()
    assert not folder.checkpoint_path.exists()


def test_a_network_out_of_memory_is_a_failed_run_and_the_next_one_works(monkeypatch, tmp_path):
    def full(*_, **__):
        raise torch.OutOfMemoryError("Tried to allocate 9 GiB")

    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "backward", full)
        record, _ = train(make_job(tmp_path), tmp_path / "run")
    assert (record.status, record.reason) == ("failed", "OutOfMemoryError: Tried to allocate 9 GiB")
    assert record.parameters > 0
    assert train(make_job(tmp_path), tmp_path / "next")[0].status == "finished"


def test_a_loss_that_is_not_finite_is_a_diverged_run_without_predictions(tmp_path):
    job = make_job(tmp_path, optimizer={"name": "sgd", "lr": 1e30})
    record, folder = train(job, tmp_path / "run")
    assert record.status == "diverged"
    assert record.reason == "the loss was no longer finite by step 4 (epoch 1, learning rate 1e+30)"
    assert (record.metrics, record.test_readings, record.history) == ({}, [], [])
    assert (record.steps, record.epochs) == (4, 1)
    assert not folder.predictions_path.exists()
    assert not folder.weights_path.exists()
    assert folder.read() == record


def test_outputs_that_are_not_finite_after_training_are_a_diverged_run_too(tmp_path):
    record, folder = train(make_job(tmp_path, "overflowing"), tmp_path / "run")
    assert (record.status, record.reason) == ("diverged", "the trained network's outputs are not finite")
    assert record.metrics == {}
    assert len(record.test_readings) == 1  # they were read, and it says so
    assert not folder.predictions_path.exists()
    assert json.loads(folder.record_path.read_text(encoding="utf-8"))["history"][0]["validation_loss"] is None


@pytest.mark.parametrize(
    "error", [DataError("lost"), ResourceError("full"), StudyError("odd"), OSError(5, "io")]
)
def test_what_is_no_fault_of_a_candidate_ends_the_study_and_leaves_no_record(error, monkeypatch, tmp_path):
    def fail(*_):
        raise error

    monkeypatch.setattr(ImageStore, "take", fail)
    with pytest.raises(type(error)):
        train(make_job(tmp_path), tmp_path / "run")
    assert RunFolder(tmp_path / "run").read() is None


def test_a_stopped_run_has_a_checkpoint_and_no_record(tmp_path):
    with pytest.raises(Stopped):
        train(make_job(tmp_path), tmp_path / "run", Ear({2}))
    folder = RunFolder(tmp_path / "run")
    assert folder.checkpoint_path.exists()
    assert folder.read() is None
    assert folder.test_readings() == []


@pytest.mark.parametrize("file", ["checkpoint.pt", "weights.safetensors", "probabilities.npz"])
@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
def test_a_full_disk_is_told_and_the_run_continues_when_there_is_room(file, tmp_path):
    job = make_job(tmp_path)
    _, one = train(job, tmp_path / "whole")
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    partial = folder.path / f".{file}.{os.getpid()}.partial"
    partial.symlink_to("/dev/full")
    with pytest.raises(ResourceError) as caught:
        train_run(job, folder, Ear(), checkpoint_seconds=0.0)
    assert str(caught.value) == f"disk full: could not write {folder.path / file}; nothing partial is left"
    assert folder.read() is None
    record, _ = train(job, folder.path)
    assert record.status == "finished"
    assert _equal(_weights(one), _weights(folder))


def test_a_failed_run_can_be_tried_again_in_its_folder(tmp_path):
    job = make_job(tmp_path, "raising")
    train(job, tmp_path / "run")
    record, _ = train(make_job(tmp_path), tmp_path / "run")
    assert record.status == "finished"


def test_a_run_whose_evaluation_failed_goes_on_from_its_last_step(monkeypatch, tmp_path):
    def full(*_, **__):
        raise torch.OutOfMemoryError("Tried to allocate 9 GiB")

    _, whole = train(make_job(tmp_path), tmp_path / "whole")
    folder = RunFolder(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(run, "read_test", full)
        record = train_run(make_job(tmp_path), folder, Ear(), checkpoint_seconds=0.0)
    assert record.status == "failed"
    folder.reopen()
    assert (folder.read(), folder.traceback_path.exists()) == (None, False)
    record = train_run(make_job(tmp_path), folder, again := Ear())
    assert (record.status, record.resumed, again.steps) == ("finished", 1, [])
    assert _equal(_weights(whole), _weights(folder))
    assert not folder.checkpoint_path.exists()


def test_a_resumed_run_has_each_epoch_once_in_its_events(tmp_path):
    job = make_job(tmp_path, epochs=3.0)
    for stop in (3, 6, 9):
        with pytest.raises(Stopped):
            train(job, tmp_path / "run", Ear({stop}))
    record, folder = train(job, tmp_path / "run")
    events = EventAccumulator(str(folder.tensorboard_path))
    events.Reload()
    scalars = events.Scalars("loss/validation")
    assert [event.step for event in scalars] == [4, 8, 12]
    assert [event.value for event in scalars] == pytest.approx(
        [row["validation_loss"] for row in record.history], rel=1e-6
    )


def test_a_resumed_run_adds_up_its_time(tmp_path):
    job = make_job(tmp_path)
    with pytest.raises(Stopped):
        train(job, tmp_path / "run", first := Ear({6}))
    record, _ = train(job, tmp_path / "run", second := Ear())
    assert second.steps[0].seconds > first.steps[-1].seconds
    assert record.train_seconds >= second.steps[-1].seconds
    assert record.total_seconds > record.train_seconds
    assert record.history[0] == first.rows[0]
