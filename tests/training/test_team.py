"""A run that two processes share: the curve of a single one, one set of files, and no process left."""

import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import jobs
import numpy as np
import pytest
import torch

from bakeoff.data.batches import Batch
from bakeoff.errors import ConfigError
from bakeoff.training import assembly
from bakeoff.training.loop import Stopped
from bakeoff.training.machine import Machine
from bakeoff.training.team import ALONE, Member, check_team


def _shared(job, processes=2):
    return replace(job, machine=Machine("cpu", 1, processes))


@pytest.mark.parametrize(("rows", "size"), [(8, 2), (7, 2), (7, 3), (3, 3)])
def test_the_parts_of_a_batch_are_all_of_it_in_order(rows, size):
    images, labels = torch.arange(rows * 12).reshape(rows, 2, 2, 3), torch.arange(rows)
    batch = Batch(images, labels, labels.flip(0), 0.3)
    members = [Member(rank, size, torch.device("cpu"), None) for rank in range(size)]
    parts = [member.part(batch) for member in members]
    for name in ("images_BHWC", "labels_B", "partner_labels_B"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(batch, name))
    assert {part.kept for part in parts} == {0.3}
    assert all(len(part.labels_B) for part in parts)


def test_the_mean_of_weighed_losses_is_the_whole_batchs_loss():
    losses = torch.rand(7)
    members = [Member(rank, 3, torch.device("cpu"), None) for rank in range(3)]
    parts = [member.part(Batch(losses, losses)).labels_B for member in members]
    weighed = [m.weigh(part.mean(), len(part), 7) for m, part in zip(members, parts, strict=True)]
    torch.testing.assert_close(torch.stack(weighed).mean(), losses.mean())


def test_processes_draw_different_dropout_and_the_first_draws_that_of_a_single_one():
    keys = [Member(rank, 3, torch.device("cpu"), None).stream(123) for rank in range(3)]
    assert keys[0] == ALONE.stream(123) == 123
    assert len(set(keys)) == 3


def test_more_processes_than_a_batch_has_images_are_refused(tmp_path):
    job = _shared(jobs.make_job(tmp_path), 3)  # of 26 images the last batch has 2
    with pytest.raises(
        ConfigError, match=r"--processes: got 3, but a batch has 2 images; expected at most that"
    ):
        check_team(job)


def test_compiled_steps_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="--processes: got 2 with compile = true, which puts batch norm"):
        check_team(_shared(jobs.make_job(tmp_path, compile=True)))


def test_gpus_that_are_not_there_are_refused(tmp_path):
    job = replace(jobs.make_job(tmp_path), machine=Machine("cuda:1", 1, 2))
    with pytest.raises(
        ConfigError, match=r"--processes: got 2 on cuda:1, of \d+ GPUs here; expected --device cpu"
    ):
        check_team(job)


SGD = {"optimizer": {"name": "sgd", "lr": 0.02, "momentum": 0.9}}


def _losses(ear):
    return [float(step.loss) for step in ear.steps]


def _children():
    """List the processes that this one has started and that still run."""
    stats = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # ended meanwhile
            stats[file.parent.name] = file.read_text()
    own = Path("/proc/self/stat").read_text().split()[0]
    fields = {pid: stat.rpartition(")")[2].split() for pid, stat in stats.items()}
    return {pid for pid, (state, parent, *_) in fields.items() if parent == own and state != "Z"}


@pytest.mark.parametrize(
    ("network", "recipe"),
    [
        ("model1", {}),
        ("plain", {}),  # with batch normalization
        ("pooled", {"augmentation": {"flip": "random", "crop": 1, "mixup": 0.4}, "ema": 0.9}),
    ],
)
def test_two_processes_follow_the_loss_curve_of_one_and_leave_the_same_files(tmp_path, network, recipe):
    others = _children()
    side = 32 if network == "model1" else 8
    data = jobs.pictures(height=side, width=side)
    job = jobs.make_job(tmp_path, network, data=data, **SGD, **recipe)
    one, one_folder = jobs.train(job, tmp_path / "one", alone := jobs.Ear())
    two, two_folder = jobs.train(_shared(job), tmp_path / "two", shared := jobs.Ear())
    assert (one.status, two.status, two.reason) == ("finished", "finished", None)
    assert two.steps == one.steps == len(alone.steps) == len(shared.steps)
    np.testing.assert_allclose(_losses(shared), _losses(alone), rtol=1e-4)
    for name in ("train_loss", "train_accuracy", "validation_loss", "epoch", "step", "lr"):
        found, expected = ([row[name] for row in record.history] for record in (two, one))
        np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert two.metrics["test_loss"] == pytest.approx(one.metrics["test_loss"], rel=1e-3)
    assert {path.name for path in two_folder.path.iterdir()} == {p.name for p in one_folder.path.iterdir()}
    assert two.environment["processes"] == 2
    assert len(two.test_readings) == 1
    assert _children() <= others  # of other tests there may be some


@pytest.mark.slow
def test_a_shared_run_that_is_stopped_continues_to_the_same_bits(tmp_path):
    job = _shared(jobs.make_job(tmp_path, "dropout"))
    _, whole = jobs.train(job, tmp_path / "whole")
    with pytest.raises(Stopped):
        jobs.train(job, tmp_path / "stopped", jobs.Ear(stop_at=[5]))
    record, stopped = jobs.train(job, tmp_path / "stopped")
    assert record.resumed == 1
    assert stopped.weights_path.read_bytes() == whole.weights_path.read_bytes()


def test_a_network_that_fails_in_training_fails_its_run_with_its_own_reason(tmp_path):
    others = _children()
    record, _ = jobs.train(_shared(jobs.make_job(tmp_path, "raising")), tmp_path / "run")
    assert (record.status, record.reason) == ("failed", "ZeroDivisionError: cannot divide")
    assert _children() <= others  # of other tests there may be some


def test_a_process_that_ends_before_it_has_met_the_others_is_not_waited_for(tmp_path, monkeypatch):
    others = _children()
    ends = [sys.executable, "-c", "raise SystemExit('no room for me')"]
    monkeypatch.setattr(assembly, "command", lambda module, call: ends)
    record, _ = jobs.train(_shared(jobs.make_job(tmp_path, "plain")), tmp_path / "run")
    assert (record.status, record.reason) == ("failed", "RuntimeError: process 2 of 2 ended: no room for me")
    assert _children() <= others


@pytest.mark.slow
def test_a_run_by_the_clock_is_shared_to_its_end(tmp_path):
    recipe = {"epochs": None, "time": "3s", "sizes": [[4, 0.5], [8, 0.5]], "schedule": "linear"}
    record, _ = jobs.train(_shared(jobs.make_job(tmp_path, "pooled", **recipe)), tmp_path / "run")
    assert (record.status, record.reason) == ("finished", None)
    assert len(record.history) > 2
