"""A search as a candidate of a study: its lock, its row, its page, and its network used without searching."""

from __future__ import annotations

import csv
import multiprocessing
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_study

import bakeoff
from bakeoff.api import verify
from bakeoff.evidence.summarise import gather
from bakeoff.models.macro import code
from bakeoff.models.written import read_architecture
from bakeoff.records import StudyFolder
from bakeoff.records.trials import TrialsFile
from bakeoff.report.write import write_report
from bakeoff.study import estimate_study
from bakeoff.study.trained import load

SPACE = {"width": [16, 24], "stages": 2, "depth": [0, 1], "kernel": 3, "flip": "none"}
SEARCH = {"name": "search", "search": {"budget": "24ep", "space": SPACE}}
PLAIN = {"name": "plain", "model": "net.py:plain", "recipe": {"epochs": 24}}


def study(**changes: Any) -> dict[str, Any]:
    return small_study.study(candidate=[SEARCH, PLAIN], **changes)


@pytest.fixture(scope="module")
def _whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searched")
    small_study.write(folder, candidate=[SEARCH, PLAIN])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE", str(folder / "cache"))
        outcome = small_study.train(folder, study())
    write_report(outcome.folder)
    return folder


@pytest.fixture
def home(_whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_whole, tmp_path / "home"))


@pytest.fixture
def searched(home: Path) -> StudyFolder:
    return StudyFolder(home / "out")


def test_its_row_has_the_network_and_the_cost_of_all_trials(searched):
    rows = {row["candidate"]: row for row in csv.DictReader(searched.csv_path.read_text().splitlines())}
    row = rows["search"]
    record = searched.run("digits", "search", 0).read()
    assert row["status"] == "finished"
    assert row["model"].startswith("found: ")
    assert float(row["train_seconds_with_source"]) == pytest.approx(
        record.train_seconds + record.search["seconds"], abs=1e-5
    )
    (task,) = gather(searched).summary.tasks
    one = next(one for one in task.candidates if one.name == "search")
    assert one.searched.startswith(f"{record.search['trials']} trials in ")
    assert one.differences["training"] == ["the recipe's", "found by a search"]


def test_a_second_command_searches_no_more(home, searched):
    before = small_study.contents(searched.path / "runs")
    assert small_study.train(home, study()).trained == 0
    assert small_study.contents(searched.path / "runs") == before


def test_its_network_is_built_again_without_a_search(searched):
    folder = searched.run("digits", "search", 0)
    folder.trials_path.unlink()
    trained = load(folder.path)
    assert trained.class_names


def test_the_handed_over_network_predicts_what_was_recorded(home):
    found = verify(home / "out", base_dir=home, images=False, reevaluate=True)
    assert [check.differing for check in found.checks if check.differing] == []
    by_title = {check.title: check for check in found.checks}
    assert by_title["predictions of the weights, computed again"].agreed == 2
    assert by_title["identities"].unchecked == ()


def test_it_is_asked_where_it_looked(searched):
    kept = searched.read_attributions("digits")
    assert {one.candidate for one in kept.candidates} == {"search", "plain"}
    assert set(kept.maps) == {"search", "plain"}


def test_its_network_is_exported_and_held_to_its_record(home, searched):
    folder = searched.run("digits", "search", 0).path
    bakeoff.export(folder, out=home / "found.onnx", base_dir=home, card=False)
    assert (home / "found.onnx").stat().st_size > 1000


def test_what_a_search_will_cost_is_said_before_it_begins(home):
    values = small_study.study(candidate=[
        {"name": "by epochs", "search": {"budget": "24ep", "space": SPACE}},
        {"name": "by trials", "search": {"trials": 3, "space": SPACE}},
        {"name": "by the clock", "search": {"budget": "10m", "space": SPACE}},
    ])  # fmt: skip
    spec = small_study.study_from_dict(values, "small.toml")
    rows = {
        row.candidate: row
        for row in estimate_study(spec, home / "new", base_dir=home, device="cpu", threads=1).rows
    }
    assert not any(row.problem for row in rows.values())
    assert rows["by the clock"].seconds == 600
    assert rows["by the clock"].searched
    assert rows["by epochs"].seconds > rows["by trials"].seconds > 0


def test_a_changed_trial_is_found_by_verify(home, searched):
    path = searched.run("digits", "search", 0).trials_path
    path.write_bytes(path.read_bytes().replace(b'"start"', b'"local"'))
    found = verify(home / "out", base_dir=home, images=False)
    told = [words for check in found.checks for words in check.differing]
    assert any("trials.jsonl" in words for words in told)


def test_the_winner_can_be_pasted_as_a_candidate(home, searched):
    record = searched.run("digits", "search", 0).read()
    (home / "net.py").write_text(code(read_architecture(record.architecture)))
    pasted = small_study.study(candidate=[{"name": "pasted", "model": "net.py:build"}], name="pasted")
    (again,) = small_study.run_study(
        small_study.study_from_dict(pasted, "pasted"), home / "pasted", base_dir=home, device="cpu", threads=1
    ).records
    assert (again.status, again.parameters) == ("finished", record.parameters)


def test_under_an_equal_budget_all_of_a_search_is_counted(tmp_path, monkeypatch):
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))
    values = small_study.study(
        recipe={"time": "6s"},
        task=[{**small_study.study()["task"][0], "control": "budget"}],
        candidate=[{"name": "search", "search": {"budget": "6s", "space": SPACE}},
                   {"name": "plain", "model": "net.py:plain"}],
    )  # fmt: skip
    del values["recipe"]["epochs"]
    found = {record.candidate: record for record in small_study.train(tmp_path, values).records}
    assert found["search"].status == "finished"
    assert "training" not in found["search"].differences
    if "time" not in found["search"].differences:  # a machine that stalls is said, and ranked alone
        assert found["search"].control_digest == found["plain"].control_digest


def start(file: Path, out: Path) -> Any:
    """Run a study in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bakeoff.study", "small_study"])
    process = context.Process(target=small_study.run_file, args=(str(file), str(out)))
    process.start()
    return process


def test_killed_at_work_it_continues_to_the_same_trials_and_weights(tmp_path, searched, monkeypatch):
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))
    file = small_study.write(tmp_path / "own", candidate=[SEARCH, PLAIN])
    out = tmp_path / "out"
    trials = StudyFolder(out).run("digits", "search", 0).trials_path
    process = start(file, out)
    while process.exitcode is None and len(TrialsFile(trials).read().trials) < 3:
        time.sleep(0.005)
    process.kill()
    process.join()
    again = start(file, out)
    again.join()
    assert again.exitcode == 0
    ours, theirs = StudyFolder(out), searched
    points = [
        [(t.number, t.rung, t.point, t.accuracy) for t in TrialsFile(
            one.run("digits", "search", 0).trials_path
        ).read().trials]
        for one in (ours, theirs)
    ]  # fmt: skip
    assert points[0] == points[1]
    found = small_study.results(ours)["digits/search/0"]
    expected = small_study.results(theirs)["digits/search/0"]
    assert found["metrics"] == expected["metrics"]
    assert np.array_equal(found["weights"][1], expected["weights"][1])
