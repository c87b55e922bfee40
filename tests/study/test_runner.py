"""A study at work: nothing is lost, nothing is repeated, and one candidate's fault is its own."""

import csv
import hashlib
import json
import subprocess
import sys
from collections import Counter

import layouts
import pytest
import small_study
import torch

from bakeoff.errors import BusyError, StudyError
from bakeoff.evidence.results import result_rows, results_csv
from bakeoff.records import StudyFolder
from bakeoff.study import Quiet, Selection, runner
from bakeoff.training import machine
from bakeoff.training import run as training_run
from bakeoff.training.loop import Stopped

CANDIDATES = small_study.study()["candidate"]
PLAIN = [CANDIDATES[0]]


class Ear(Quiet):
    """Keeps what it hears; stops at a step of a candidate when asked to."""

    def __init__(self, stop_at=None):
        self.started, self.ended, self.planned = [], [], []
        self.stop_at = stop_at

    def on_plan(self, runs):
        self.planned = [(run.job.name, run.record is not None) for run in runs]

    def on_run_start(self, job):
        self.started.append(job.name)

    def on_step(self, job, step):
        return (job.candidate.name, step.steps) == self.stop_at

    def on_run_end(self, job, record):
        self.ended.append((job.name, record.status))


def _record_times(folder):
    return {str(p): p.stat().st_mtime_ns for p in folder.path.rglob("record.json")}


def _rows(folder):
    return list(csv.DictReader(folder.csv_path.read_text().splitlines()))


# Once is enough


def test_a_second_run_trains_nothing_and_touches_no_record(ended, folder):
    before = small_study.contents(folder.path / "runs")
    ear = Ear()
    outcome = small_study.train(ended, listener=ear)
    assert outcome.trained == 0
    assert ear.started == []
    assert ear.planned == [("digits / plain / seed 0", True), ("digits / dropout / seed 0", True)]
    assert [record.candidate for record in outcome.records] == ["plain", "dropout"]
    assert small_study.contents(folder.path / "runs") == before


def test_a_run_leaves_all_that_it_should_and_nothing_half_done(folder):
    run = folder.run("digits", "plain", 0)
    assert sorted(path.name for path in run.path.iterdir()) == [
        "predictions.npz", "probabilities.npz", "record.json", "tensorboard", "test_readings.json",
        "weights.safetensors",
    ]  # fmt: skip
    record = run.read()
    assert record.status == "finished"
    assert record.steps == 2 * -(-389 // 32)  # two epochs of 80 % and of these 90 % of 537 images
    assert record.parameters == small_study.PARAMETERS[3]
    assert len(record.test_readings) == 1
    assert record.metrics["test_accuracy"] > 0.5


def test_what_is_asked_for_in_parts_is_trained_in_parts_and_the_rest_later(tmp_path):
    values = small_study.study(
        seeds=[0, 1],
        task=[
            *small_study.study()["task"],
            {"name": "four", "data": "digits", "classes": 4, "image_size": 8, "recipe": {"epochs": 1}},
        ],
    )
    parts = [
        ({"candidates": ("plain",), "tasks": ("digits",), "seed": 1}, [("digits", "plain", 1)]),
        ({"candidates": ("plain",), "tasks": ("digits",)}, [("digits", "plain", 0)]),
        ({"tasks": ("four",), "seeds": 1}, [("four", "plain", 0), ("four", "dropout", 0)]),
        (
            {},
            [
                ("digits", "dropout", 0),
                ("digits", "dropout", 1),
                ("four", "plain", 1),
                ("four", "dropout", 1),
            ],
        ),
    ]
    for asked, expected in parts:
        folder = StudyFolder(tmp_path / "out")
        before = _record_times(folder)
        ear = Ear()
        outcome = small_study.train(tmp_path, values, selection=Selection(**asked), listener=ear)
        assert ear.started == [f"{task} / {name} / seed {seed}" for task, name, seed in expected]
        assert outcome.trained == len(expected)
        after = _record_times(folder)
        assert {path: after[path] for path in before} == before
    assert len(_rows(folder)) == 8


def test_the_tables_are_written_after_each_run(tmp_path):
    seen = []

    class Reader(Quiet):
        def on_run_end(self, job, record):
            folder = StudyFolder(tmp_path / "out")
            seen.append([row["candidate"] for row in _rows(folder)])
            assert [run["candidate"] for run in json.loads(folder.json_path.read_text())["runs"]] == seen[-1]

    small_study.train(tmp_path, small_study.study(recipe={"epochs": 1}), listener=Reader())
    assert seen == [["plain"], ["plain", "dropout"]]
    folder = StudyFolder(tmp_path / "out")
    assert folder.csv_path.read_text() == results_csv(result_rows(folder))  # as the predictions prove them


def test_a_checkpoint_that_a_killed_process_left_beside_its_record_is_removed(ended, folder):
    run = folder.run("digits", "plain", 0)
    run.checkpoint_path.write_bytes(b"left")
    (run.path / ".record.json.123.partial").write_text("left")
    small_study.train(ended)
    assert not run.checkpoint_path.exists()
    assert not list(run.path.glob(".*.partial"))


# Faults of a candidate


def test_a_failed_candidate_is_recorded_and_the_others_go_on(tmp_path):
    values = small_study.study(candidate=[{"name": "broken", "model": "net.py:broken"}, *PLAIN])
    ear = Ear()
    outcome = small_study.train(tmp_path, values, listener=ear)
    assert ear.ended == [("digits / broken / seed 0", "failed"), ("digits / plain / seed 0", "finished")]
    broken = outcome.records[0]
    assert broken.reason.startswith("model: net.py:broken failed on one image of 3x8x8: raised RuntimeError")
    assert "\n" not in broken.reason
    traceback = outcome.folder.run("digits", "broken", 0).path / "traceback.txt"
    assert traceback.read_text().startswith("Traceback")
    assert [row["status"] for row in _rows(outcome.folder)] == ["failed", "finished"]


ODD = """
from torch import nn


class Odd(Exception):
    pass


class OnlyInTraining(nn.Flatten):
    def forward(self, x):
        if self.training:
            raise Odd("not with me")
        return super().forward(x)


def build(classes, image_size):
    return nn.Sequential(OnlyInTraining(), nn.Linear(3 * image_size**2, classes))
"""


def test_a_candidate_may_fail_in_the_midst_of_training_and_with_an_error_of_its_own_kind(tmp_path):
    small_study.write(tmp_path)
    (tmp_path / "odd.py").write_text(ODD)
    values = small_study.study(candidate=[{"name": "odd", "model": "odd.py:build"}, *PLAIN])
    odd, plain = small_study.train(tmp_path, values).records
    assert (odd.status, odd.reason) == ("failed", "Odd: not with me")
    assert plain.status == "finished"


def test_a_failed_run_is_tried_again_and_a_finished_one_is_not(tmp_path):
    values = small_study.study(candidate=[{"name": "broken", "model": "net.py:broken"}, *PLAIN])
    small_study.train(tmp_path, values)
    ear = Ear()
    outcome = small_study.train(tmp_path, values, listener=ear)
    assert ear.started == ["digits / broken / seed 0"]
    assert outcome.trained == 1


def test_a_run_that_failed_late_is_continued_and_not_begun_again(tmp_path, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("Tried to allocate 9 GiB")

    values = small_study.study(candidate=PLAIN)
    with monkeypatch.context() as patch:
        patch.setattr(training_run, "read_test", full)
        (record,) = small_study.train(tmp_path, values, checkpoint_seconds=0.0).records
    assert record.status == "failed"
    (record,) = small_study.train(tmp_path, values).records
    assert (record.status, record.resumed) == ("finished", 1)


def test_steps_that_are_given_up_are_told_beforehand(tmp_path):
    class Told(Ear):
        def on_plan(self, runs):
            self.given_up = [run.given_up for run in runs]

    values = small_study.study(candidate=PLAIN)
    same = Told(stop_at=("plain", 3))
    for _ in range(2):  # the second time there is a checkpoint, its own, behind that step
        with pytest.raises(Stopped):
            small_study.train(tmp_path, values, listener=same)
        same.stop_at = ("plain", 5)
    changed = small_study.study(candidate=PLAIN, recipe={"batch_size": 16})
    small_study.train(tmp_path, changed, listener=(other := Told()))
    assert (same.given_up, other.given_up) == ([0], [5])


def test_every_image_that_was_read_is_listed_with_its_class_part_and_digest(tmp_path):
    data = layouts.class_folders(tmp_path / "animals")
    task = {"name": "animals", "data": str(data), "image_size": 8}
    folder = small_study.train(tmp_path, small_study.study(task=[task], candidate=PLAIN)).folder
    rows = folder.read_manifest("animals")
    assert [row["file"] for row in rows] == sorted(str(p.relative_to(data)) for p in data.glob("*/*"))
    for row in rows:
        assert row["class"] == row["file"].partition("/")[0]
        assert row["sha256"] == hashlib.sha256((data / row["file"]).read_bytes()).hexdigest()
    record = folder.read_task("animals")
    assert Counter(row["part"] for row in rows) == record.counts
    assert [row["file"] for row in rows if row["part"] == "test"] == record.test_files


def test_a_mended_file_is_trained_anew_and_other_files_are_not(tmp_path):
    values = small_study.study(candidate=[{"name": "mine", "model": "mine.py:plain"}, *PLAIN])
    small_study.write(tmp_path)
    (tmp_path / "mine.py").write_text(small_study.NET)
    first = small_study.train(tmp_path, values)
    (tmp_path / "mine.py").write_text(small_study.NET.replace("nn.Conv2d(3, 4,", "nn.Conv2d(3, 4,  # four\n"))
    ear = Ear()
    second = small_study.train(tmp_path, values, listener=ear)
    assert ear.started == ["digits / mine / seed 0"]
    assert second.records[0].identity != first.records[0].identity
    assert second.records[1] == first.records[1]
    assert second.records[0].metrics == first.records[0].metrics  # a line break computes nothing else
    assert len(second.records[0].test_readings) == 1  # of this network


def test_a_diverged_run_is_a_result_and_is_not_tried_again(tmp_path):
    recipe = {"optimizer": {"name": "sgd", "lr": 1e30}}
    values = small_study.study(candidate=[PLAIN[0] | {"recipe": recipe}])
    (record,) = small_study.train(tmp_path, values).records
    assert record.status == "diverged"
    assert record.reason.startswith("the loss was no longer finite by step ")
    assert record.metrics == {}
    again = small_study.train(tmp_path, values)
    assert again.trained == 0
    assert [row["status"] for row in _rows(again.folder)] == ["diverged"]


@pytest.mark.parametrize("heard", ["on_step", "on_epoch", "on_evaluation"])
def test_a_listeners_own_error_is_not_the_candidates_failure(tmp_path, heard):
    def stumble(self, *arguments):
        raise KeyError("mine")

    listener = type("Stumbler", (Quiet,), {heard: stumble})()
    values = small_study.study(candidate=PLAIN, recipe={"epochs": 1})
    with pytest.raises(StudyError, match="listener: raised KeyError: 'mine'; the same command continues"):
        small_study.train(tmp_path, values, listener=listener)
    assert list(StudyFolder(tmp_path / "out").records()) == []
    (record,) = small_study.train(tmp_path, values).records
    assert record.status == "finished"


# Interruptions


@pytest.mark.parametrize("stop_at", [("plain", 1), ("plain", 13), ("dropout", 20)], ids=str)
def test_what_was_stopped_continues_to_the_same_bits(folder, tmp_path, stop_at):
    # 13 steps are an epoch: the second stop lies between two.
    assert folder.run("digits", "plain", 0).read().steps == 26
    own = tmp_path / "own"
    with pytest.raises(Stopped):
        small_study.train(own, listener=Ear(stop_at))
    stopped = StudyFolder(own / "out")
    run = stopped.run("digits", stop_at[0], 0)
    assert run.checkpoint_path.exists()
    assert run.read() is None
    done = _record_times(stopped)
    small_study.train(own)
    assert run.read().resumed == 1
    assert not run.checkpoint_path.exists()
    assert {path: _record_times(stopped)[path] for path in done} == done
    assert small_study.results(stopped) == small_study.results(folder)


def test_checkpoints_on_the_way_change_nothing(folder, tmp_path):
    own = tmp_path / "own"
    outcome = small_study.train(own, checkpoint_seconds=0.0)
    assert small_study.results(outcome.folder) == small_study.results(folder)


def test_a_stopped_run_whose_file_is_edited_starts_anew(tmp_path):
    values = small_study.study(candidate=PLAIN)
    with pytest.raises(Stopped):
        small_study.train(tmp_path, values, listener=Ear(("plain", 5)))
    (tmp_path / "net.py").write_text(small_study.NET + "# edited\n")
    (record,) = small_study.train(tmp_path, values).records
    assert (record.resumed, record.steps) == (0, 26)


# Two at once

HOLD = """
import sys
from pathlib import Path
from bakeoff.records import claim_folder
with claim_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_on_the_same_study_is_refused_and_the_first_undisturbed(ended, folder):
    command = [sys.executable, "-c", HOLD, str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "held\n"
        before = small_study.contents(folder.path)
        with pytest.raises(BusyError, match=f"is in use by process {first.pid}; wait for it to end"):
            small_study.train(ended, small_study.study(seeds=[0, 1]))
        assert small_study.contents(folder.path) == before
        first.communicate("")
    assert small_study.train(ended).trained == 0


def test_a_study_that_another_process_began_meanwhile_keeps_the_others_threads(ended, tmp_path, monkeypatch):
    own = tmp_path / "own"
    small_study.write(own)
    prepared = runner.prepare_tasks

    def while_another_began(*arguments):
        (own / "out").mkdir()
        (own / "out" / "study.lock").write_bytes((ended / "out" / "study.lock").read_bytes())
        return prepared(*arguments)

    monkeypatch.setattr(machine, "usable_cores", lambda: 2)
    monkeypatch.setattr(runner, "prepare_tasks", while_another_began)
    outcome = small_study.train(own, threads=None)
    assert outcome.folder.read_lock()["resolved"]["threads"] == 1
    assert {record.environment["threads"] for record in outcome.records} == {1}
