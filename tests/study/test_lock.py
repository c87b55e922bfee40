"""What a study's folder holds constant, what may be added to it, and what is refused."""

import json
from dataclasses import replace

import layouts
import pytest
import small_study

from bakeoff.errors import ConfigError, ResourceError, StudyError
from bakeoff.records import StudyFolder
from bakeoff.study.lock import open_lock
from bakeoff.study.selection import Selection
from bakeoff.training import machine

CANDIDATES = small_study.study()["candidate"]
TASK = small_study.study()["task"][0]


def _open(folder, device="auto", threads=None, **changes):
    return open_lock(folder, small_study.spec(**changes), device=device, threads=threads)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"name": "other"}, ["name"]),
        ({"recipe": {"epochs": 3}}, ["recipe.epochs"]),
        ({"recipe": {"optimizer": {"lr": 0.1}}}, ["recipe.optimizer"]),
        ({"recipe": {"epochs": 9, "batch_size": 8}}, ["recipe.batch_size", "recipe.epochs"]),
        ({"seeds": [1]}, ["seeds"]),
        ({"seeds": [1, 0], "task": [{**TASK, "seeds": 1}]}, ["task 'digits'.seeds"]),
        ({"task": [{**TASK, "image_size": 16}]}, ["task 'digits'.image_size"]),
        ({"task": [{**TASK, "recipe": {"epochs": 1}}]}, ["task 'digits'.recipe"]),
        ({"task": [{**TASK, "name": "numbers"}]}, ["task 'digits'"]),
        ({"candidate": CANDIDATES[:1]}, ["candidate 'dropout'"]),
        ({"candidate": [CANDIDATES[0], {**CANDIDATES[1], "task": "digits"}]}, ["candidate 'dropout'"]),
        (
            {"candidate": [CANDIDATES[0], {**CANDIDATES[1], "model": "net.py:plain", "input_size": 16}]},
            ["candidate 'dropout'.input_size", "candidate 'dropout'.model"],
        ),
    ],
    ids=str,
)
def test_another_study_in_the_folder_is_refused_with_the_names_of_what_differs(folder, changes, named):
    before = small_study.contents(folder.path)
    with pytest.raises(StudyError) as caught:
        small_study.train(folder.path.parent, small_study.study(**changes))
    assert str(caught.value) == (
        f"--out: {folder.path} holds another study, differing in {', '.join(named)}; use another folder"
    )
    assert small_study.contents(folder.path) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": [0, 1]},
        {"seeds": [0, 1], "task": [{**TASK, "seeds": 1}]},
        {"task": [{**TASK, "seeds": 1}]},
        {"seeds": [5, 0]},
        {"candidate": [{"name": "new", "model": "net.py:plain"}, *CANDIDATES]},
        {"task": [{"name": "more", "data": "digits", "classes": 4, "image_size": 8}, TASK]},
        {"title": "T", "description": "D"},
        {"candidate": [{**CANDIDATES[0], "note": "n", "published": {"accuracy": 0.5}}, CANDIDATES[1]]},
    ],
    ids=str,
)
def test_more_of_a_study_and_other_words_are_welcome(folder, changes):
    assert _open(folder, **changes).machine.threads == 1


def test_what_has_no_result_yet_may_change_or_go(folder):
    second = {"name": "four", "data": "digits", "classes": 4, "image_size": 8}
    values = small_study.study(task=[TASK, second])
    small_study.train(folder.path.parent, values, selection=Selection(tasks=("digits",)))
    changed = small_study.study(task=[TASK, {**second, "classes": 5, "recipe": {"epochs": 1}}])
    open_lock(folder, small_study.study_from_dict(changed, "changed"), device="auto", threads=None)
    _open(folder)  # and gone altogether
    with pytest.raises(StudyError, match=r"differing in task 'digits'\.image_size"):
        _open(folder, task=[{**TASK, "image_size": 16}, second])


def test_what_failed_may_be_changed_unless_it_has_read_test_images(folder):
    changed = [CANDIDATES[0], {**CANDIDATES[1], "input_size": 16}]
    (record,) = (one for one in folder.records() if one.candidate == "dropout")
    run = folder.run(record.task, record.candidate, record.seed)
    run.write(replace(record, status="failed", reason="too small", test_readings=[]))
    _open(folder, candidate=changed)
    run.write(replace(record, status="failed", reason="too small"))
    with pytest.raises(StudyError, match=r"candidate 'dropout'\.input_size"):
        _open(folder, candidate=changed)


def test_an_added_candidate_task_and_seed_are_all_that_is_trained(folder):
    more = small_study.study(
        seeds=[0, 1],
        task=[TASK, {"name": "four", "data": "digits", "classes": 4, "image_size": 8}],
        candidate=[*CANDIDATES, {"name": "third", "model": "net.py:plain", "task": "four"}],
    )
    old = {record.identity: record.ended for record in folder.records()}
    outcome = small_study.train(folder.path.parent, more)
    assert (len(outcome.records), outcome.trained) == (2 * 2 + 3 * 2, 8)
    assert {r.identity: r.ended for r in outcome.records if r.identity in old} == old
    lock = folder.read_lock()
    assert list(lock["tasks"]) == ["digits", "four"]
    assert folder.spec() == small_study.study_from_dict(more, "more")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"threads": 2},
            "--threads: got 2, but this study was started with 1 ({lock}); "
            "another number gives other sums: leave it out, or use another --out",
        ),
        (
            {"device": "cuda"},
            "--device: got 'cuda', but this study was started on 'cpu' ({lock}); use another --out",
        ),
    ],
)
def test_other_threads_or_another_device_are_refused(folder, asked, message):
    with pytest.raises(ConfigError) as caught:
        _open(folder, **asked)
    assert str(caught.value) == message.format(lock=folder.lock_path)


def test_the_locks_machine_and_precision_hold_whatever_this_machine_would_choose(folder, monkeypatch):
    monkeypatch.setattr(machine, "usable_cores", lambda: 64)
    lock = folder.read_lock()
    lock["resolved"]["precision"]["auto"] = {"used": "bf16", "reason": "there"}
    folder.write_lock(lock)
    resolved = _open(folder)
    assert (resolved.machine.device, resolved.machine.threads) == ("cpu", 1)
    assert resolved.precision["auto"] == ("bf16", "there")
    assert _open(folder, device="cpu", threads=1) == resolved


def test_a_study_that_was_started_on_a_gpu_is_not_continued_without_one(folder, monkeypatch):
    monkeypatch.setattr(machine.torch.cuda, "is_available", lambda: False)
    lock = folder.read_lock()
    lock["resolved"]["device"] = "cuda"
    folder.write_lock(lock)
    with pytest.raises(ResourceError, match="got 'cuda', but PyTorch sees 0 CUDA devices here"):
        _open(folder)


def test_images_that_changed_since_are_refused_and_nothing_is_written(tmp_path):
    data = layouts.class_folders(tmp_path / "animals")
    values = small_study.study(
        task=[{"name": "animals", "data": str(data), "image_size": 8}], candidate=CANDIDATES[:1]
    )
    small_study.train(tmp_path, values)
    before = small_study.contents(tmp_path / "out")
    (data / "bee" / "0.png").write_bytes((data / "bee" / "1.png").read_bytes())
    (data / "ant" / "0.png").rename(data / "ant" / "new.png")
    refusal = (
        r"the images of task 'animals' are not those of its earlier runs \(fingerprint \w+, before \w+; "
        r"1 new, such as ant/new\.png; 1 gone, such as ant/0\.png; 1 changed, such as bee/0\.png\)"
    )
    with pytest.raises(StudyError, match=refusal):
        small_study.train(tmp_path, values)
    assert small_study.contents(tmp_path / "out") | {".claim": ()} == before | {".claim": ()}


def test_a_folder_of_somebody_else_is_refused_and_left_untouched(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(StudyError) as caught:
        small_study.train(tmp_path)
    assert str(caught.value) == (
        f"--out: {tmp_path / 'out'} is not empty and holds no study; expected a new or a study's folder"
    )
    assert list(small_study.contents(tmp_path / "out")) == ["thesis.tex"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(
        ConfigError, match=r"--out: .*out: Not a directory; expected a new or a study's folder"
    ):
        small_study.train(tmp_path)
    assert (tmp_path / "out").read_text() == "a file"


def test_what_a_process_leaves_that_was_killed_in_its_first_moment_is_no_stranger(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".claim").write_text("123")
    (tmp_path / "out" / ".study.lock.123.partial").write_text('{"half')
    assert _open(StudyFolder(tmp_path / "out"), threads=1).machine.threads == 1


def test_a_folder_of_another_record_schema_is_refused(folder):
    folder.write_lock(folder.read_lock() | {"schema": 0})
    with pytest.raises(
        StudyError, match="written with record schema 0, this version has 1; use another --out"
    ):
        _open(folder)


def test_a_damaged_lock_is_named(folder):
    folder.lock_path.write_text("{")
    with pytest.raises(StudyError, match=f"{folder.lock_path} is not a study's lock"):
        _open(folder)
    folder.lock_path.write_text(json.dumps({"schema": 1, "study": small_study.spec().as_dict()}))
    with pytest.raises(StudyError, match=f"{folder.lock_path} is not a study's lock: it names no machine"):
        _open(folder)


def test_the_lock_keeps_the_environment_in_which_the_study_began(folder):
    lock = folder.read_lock()
    lock["environment"]["torch"] = "1.0"
    folder.write_lock(lock)
    small_study.train(folder.path.parent)
    assert folder.read_lock()["environment"]["torch"] == "1.0"
