from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from studies import CANDIDATES, TASKS, make_study

from bakeoff.records import StudyFolder
from bakeoff.records.digests import (
    FILES,
    LATE,
    file_sha256,
    forget_run,
    lock_digest,
    note_files,
    note_runs,
    noted_runs,
)


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    return make_study(tmp_path / "study", tasks=TASKS[:1], candidates=CANDIDATES[:1], seeds=[0, 1, 10])


def test_a_file_has_the_digest_of_hashlib_and_a_missing_one_has_none(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000  # more than one block
    (tmp_path / "file").write_bytes(content)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()
    assert file_sha256(tmp_path / "none") is None


def test_a_lock_carries_a_digest_of_all_else_that_it_says(study: StudyFolder) -> None:
    lock = json.loads(study.lock_path.read_text())
    assert lock["digest"] == lock_digest(lock)
    assert lock_digest({**lock, "extra": 1}) != lock["digest"]
    before = study.lock_path.read_bytes()
    study.write_lock(study.read_lock() or {})
    assert study.lock_path.read_bytes() == before


def test_a_runs_files_are_noted_forgotten_and_noted_late(study: StudyFolder) -> None:
    first, second = study.run("5 classes", "model1", 0), study.run("5 classes", "model1", 1)
    note_runs(study, [first])
    assert noted_runs(study) == {"runs/5-classes/model1/seed-0"}
    note_runs(study, [second], late=True)
    assert noted_runs(study) == {f"runs/5-classes/model1/seed-{seed}" for seed in (0, 1)}
    lock = study.read_lock() or {}
    assert lock[FILES]["runs/5-classes/model1/seed-0/record.json"] == file_sha256(first.record_path)
    runs = [f"runs/5-classes/model1/seed-{seed}" for seed in (0, 1)]
    names = ("predictions.npz", "record.json")
    assert sorted(lock[FILES]) == [f"{run}/{name}" for run in runs for name in names]
    assert lock[LATE] == ["runs/5-classes/model1/seed-1"]
    forget_run(study, second)
    lock = study.read_lock() or {}
    assert [name for name in lock[FILES] if "seed-1" in name] == []
    assert lock[LATE] == []
    note_runs(study, [second])
    assert (study.read_lock() or {})[LATE] == []


def test_several_runs_noted_at_once_are_noted_as_one_by_one(study: StudyFolder) -> None:
    runs = [study.run("5 classes", "model1", seed) for seed in (0, 1, 10)]
    for run in runs:
        note_runs(study, [run])
    one_by_one = study.read_lock()
    for run in runs:
        forget_run(study, run)
    note_runs(study, runs)
    assert study.read_lock() == one_by_one


def test_a_run_whose_folder_begins_alike_is_another_one(study: StudyFolder) -> None:
    for seed in (1, 10):
        note_runs(study, [study.run("5 classes", "model1", seed)])
    forget_run(study, study.run("5 classes", "model1", 1))
    assert {name.split("/")[3] for name in (study.read_lock() or {})[FILES]} == {"seed-10"}


def test_other_files_are_noted_as_far_as_they_are_there(study: StudyFolder) -> None:
    note_files(study, [*study.task_files("5 classes"), study.path / "none"])
    assert sorted((study.read_lock() or {})[FILES]) == [
        "tasks/5-classes/examples.npz", "tasks/5-classes/task.json",
    ]  # fmt: skip
    before = study.lock_path.stat().st_mtime_ns
    note_files(study, study.task_files("5 classes"))
    assert study.lock_path.stat().st_mtime_ns == before


def test_a_file_that_is_kept_no_longer_is_forgotten_and_no_other_one(study: StudyFolder) -> None:
    note_runs(study, [study.run("5 classes", CANDIDATES[0].name, 0)])
    note_files(study, study.task_files("5 classes"))
    before = (study.read_lock() or {})[FILES]
    (study.path / "tasks/5-classes/examples.npz").unlink()
    note_files(study, study.task_files("5 classes"))  # as where a study is copied without it
    assert (study.read_lock() or {})[FILES] == before
    note_files(study, study.task_files("5 classes"), forget=True)
    assert (study.read_lock() or {})[FILES] == {
        place: digest for place, digest in before.items() if not place.endswith("examples.npz")
    }
