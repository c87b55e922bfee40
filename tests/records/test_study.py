"""The folder of a study: its lock, its tasks, its runs."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bakeoff.errors import ConfigError, StudyError
from bakeoff.records import RunRecord, StudyFolder, TaskRecord
from bakeoff.spec import study_from_dict

STUDY: dict[str, Any] = {
    "name": "mine",
    "seeds": [1, 0],
    "recipe": {"time": "10m", "optimizer": {"name": "sgd", "lr": 0.1}},
    "task": [{"name": "Five Classes", "data": "digits", "classes": 5}, {"name": "all", "data": "digits"}],
    "candidate": [
        {"name": "Big (v2)", "model": "model4", "task": "Five Classes"},
        {"name": "small", "model": "model1"},
    ],
}
TASK = TaskRecord(
    name="Five Classes",
    source="digits of scikit-learn",
    class_ids=["0", "1"],
    class_names=["zero", "猫"],
    counts={"train": 80, "validation": 9, "test": 20},
    data_fingerprint="0123456789abcdef",
    split_digest="fedcba9876543210",
    image_size=32,
    prepare_seconds=0.25,
    excluded=[{"file": "a.png", "reason": "cannot be decoded"}],
    details={"modes": {"L": 109}},
    test_files=["digit-1", "digit-7"],
)


def record(task: str, candidate: str, seed: int) -> RunRecord:
    return RunRecord(identity="x", study="mine", task=task, candidate=candidate, seed=seed, status="finished")


@pytest.fixture
def spec():
    return study_from_dict(STUDY, "mine.toml")


@pytest.fixture
def folder(tmp_path, spec):
    study = StudyFolder(tmp_path / "mine")
    study.write_lock({"study": spec.as_dict(), "versions": {"python": "3.11"}})
    return study


# The lock


def test_the_study_comes_back_equal_from_its_lock(folder, spec):
    assert folder.spec() == spec
    assert folder.read_lock()["versions"] == {"python": "3.11"}


def test_a_folder_without_a_lock_holds_no_study(tmp_path):
    empty = StudyFolder(tmp_path / "nowhere")
    assert empty.read_lock() is None
    with pytest.raises(StudyError) as caught:
        empty.spec()
    assert str(caught.value) == f"{empty.path} holds no study: expected a file study.lock in it"


def test_a_file_in_place_of_the_folder_holds_no_study(tmp_path):
    (tmp_path / "mine.toml").write_text("name = 'mine'")
    with pytest.raises(StudyError, match="holds no study"):
        StudyFolder(tmp_path / "mine.toml").spec()


@pytest.mark.parametrize("content", ["", "not json", "[]", "{}", '{"name": "mine"}'])
def test_a_damaged_lock_is_told_in_one_line(folder, content):
    folder.lock_path.write_text(content)
    with pytest.raises(StudyError) as caught:
        folder.read_lock()
    assert str(caught.value).startswith(f"{folder.lock_path} is not a study's lock: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("study", [{"name": "mine"}, {**STUDY, "mood": "good"}, {**STUDY, "task": [5]}])
def test_a_lock_with_a_study_that_is_refused_names_the_lock(folder, study):
    folder.write_lock({"study": study})
    with pytest.raises(StudyError, match=r"\(study\.lock\)$") as caught:
        folder.spec()
    assert str(caught.value).startswith(f"{folder.path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["study", "command", "tasks", "resolved", "environment"])
@pytest.mark.parametrize(("value", "came"), [([], "list"), (5, "int"), ("x", "str")])
def test_a_lock_whose_tables_are_none_is_told_in_one_line(folder, key, value, came):
    folder.write_lock({**folder.read_lock(), key: value})
    for read in (folder.read_lock, folder.spec):
        with pytest.raises(StudyError) as caught:
            read()
        assert str(caught.value) == (
            f"{folder.lock_path} is not a study's lock: {key}: got a {came}, expected a table"
        )


def test_a_study_that_came_from_python_has_no_command(folder, spec):
    folder.write_lock({**folder.read_lock(), "command": None})
    assert folder.spec() == spec


# The tasks


def test_a_tasks_record_comes_back_equal(folder):
    folder.write_task(TASK)
    assert folder.read_task("Five Classes") == TASK


def test_a_task_that_was_never_prepared_has_no_record(folder):
    assert folder.read_task("all") is None


def test_fields_of_a_newer_tasks_record_are_passed_over(folder):
    folder.write_task(TASK)
    path = folder.path / "tasks" / "five-classes" / "task.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "mood": "good"}))
    assert folder.read_task("Five Classes") == TASK


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("class_names", None, "class_names: got None, expected a list"),
        ("counts", {"test": "20"}, "counts.test: got '20', expected a whole number"),
        ("excluded", ["a.png"], "excluded[1]: got 'a.png', expected a table"),
    ],
)
def test_a_field_of_a_tasks_record_of_a_wrong_type_is_told(folder, field, value, said):
    folder.write_task(replace(TASK, **{field: value}))
    path = folder.path / "tasks" / "five-classes" / "task.json"
    with pytest.raises(StudyError) as caught:
        folder.read_task("Five Classes")
    assert str(caught.value) == f"{path} is not a task's record: {said}"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"name": "Five Classes"}'])
def test_a_damaged_tasks_record_is_told_in_one_line(folder, content):
    folder.write_task(TASK)
    path = folder.path / "tasks" / "five-classes" / "task.json"
    path.write_text(content)
    with pytest.raises(StudyError) as caught:
        folder.read_task("Five Classes")
    assert str(caught.value).startswith(f"{path} is not a task's record: ")
    assert "\n" not in str(caught.value)


def test_examples_come_back_under_their_index(folder):
    images_NHWC = np.arange(3 * 4 * 8 * 3, dtype=np.uint8).reshape(3, 4, 8, 3)
    folder.write_examples("Five Classes", np.array([40, 7, 12]), images_NHWC)
    examples = folder.read_examples("Five Classes")
    assert list(examples) == [40, 7, 12]
    np.testing.assert_array_equal(examples[7], images_NHWC[1])
    assert examples[7].dtype == np.uint8


def test_a_task_without_examples_has_none(folder):
    assert folder.read_examples("all") == {}


def test_a_damaged_file_of_examples_is_told_in_one_line(folder):
    folder.write_examples("all", np.array([1]), np.zeros((1, 4, 8, 3), np.uint8))
    path = folder.path / "tasks" / "all" / "examples.npz"
    for content in (b"", path.read_bytes()[:-20]):
        path.write_bytes(content)
        with pytest.raises(StudyError) as caught:
            folder.read_examples("all")
        assert str(caught.value).startswith(f"{path} does not hold images: ")


def test_examples_with_fewer_images_than_names_are_damaged(folder):
    folder.write_examples("all", np.array([1, 2]), np.zeros((1, 4, 8, 3), np.uint8))
    with pytest.raises(StudyError, match="does not hold images"):
        folder.read_examples("all")


# The runs


def test_a_run_has_its_folder_under_its_task_and_candidate(folder):
    run = folder.run("Five Classes", "Big (v2)", 3)
    assert run.path.relative_to(folder.path).as_posix() == "runs/five-classes/big-v2/seed-3"


def test_records_come_in_the_order_of_the_study_and_only_those_that_ended(folder):
    written = [("all", "small", 0), ("Five Classes", "small", 1), ("Five Classes", "Big (v2)", 0)]
    for who in [*written, ("Five Classes", "Big (v2)", 1)]:
        folder.run(*who).write(record(*who))
    folder.run("all", "small", 1).path.mkdir(parents=True)
    assert [(r.task, r.candidate, r.seed) for r in folder.records()] == [
        ("Five Classes", "Big (v2)", 1),  # the study's seeds are 1, 0
        ("Five Classes", "Big (v2)", 0),
        ("Five Classes", "small", 1),
        ("all", "small", 0),
    ]


def test_records_of_runs_that_left_the_plan_are_not_among_them(folder, spec):
    folder.run("all", "small", 0).write(record("all", "small", 0))
    folder.run("all", "small", 9).write(record("all", "small", 9))
    folder.run("all", "gone", 0).write(record("all", "gone", 0))
    assert [(r.candidate, r.seed) for r in folder.records(spec)] == [("small", 0)]


def test_a_damaged_record_is_told_and_not_left_out(folder):
    run = folder.run("all", "small", 0)
    run.write(replace(record("all", "small", 0), metrics={"test_accuracy": 0.5}))
    run.record_path.write_text("{")
    with pytest.raises(StudyError, match=r"record\.json is not a run's record"):
        list(folder.records())


def test_the_tables_are_written_whole_with_null_for_what_json_cannot_hold(folder):
    folder.write_results("task,seed\nall,0\n", {"runs": [{"test_loss": float("nan")}]})
    assert folder.csv_path.read_bytes() == b"task,seed\nall,0\n"
    assert json.loads(folder.json_path.read_text()) == {"runs": [{"test_loss": None}]}
    assert [path.name for path in folder.path.iterdir() if path.name.startswith(".")] == []


def test_a_runs_folder_leads_back_to_its_study(tmp_path):
    study = StudyFolder(tmp_path / "out")
    run = study.run("10 classes", "a b", 3)
    assert StudyFolder.of_run(run.path).path == study.path


@pytest.mark.parametrize(
    "path",
    ["seed-0", "out/runs/task/candidate", "out/other/task/candidate/seed-0", "out/runs/task/candidate/0"],
)
def test_another_path_is_not_taken_for_a_runs(path, tmp_path):
    with pytest.raises(ConfigError, match=r"expected <study>/runs/<task>/<candidate>/seed-<k>"):
        StudyFolder.of_run(tmp_path / path)
