"""External programs as candidates of a study: compared, proved and published like any other."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import programs
import pytest
import small_study

import bakeoff
from bakeoff.errors import ConfigError
from bakeoff.evidence.comparison import find_comparison
from bakeoff.evidence.summarise import gather
from bakeoff.records import StudyFolder
from bakeoff.report.publish import publish
from bakeoff.report.write import write_report
from bakeoff.study.estimate import estimate_study

SECONDS = "6s"  # scikit-learn alone takes one to start
PLAIN = {"name": "plain", "model": "net.py:plain"}
THEIRS = {"name": "theirs", "external": ["python", "program.py"]}
BASELINE = {"name": "forest", "external": ["python", "-m", "bakeoff.external.sklearn", "--model", "forest"]}
CRASHING = {"name": "crashing", "external": ["python", "crash.py"]}


def study(*candidates: dict[str, Any], **changes: Any) -> dict[str, Any]:
    values = small_study.study(candidate=list(candidates), **changes)
    values["recipe"] = {"time": SECONDS, "batch_size": 32, "precision": "fp32"}
    return values


def write(folder: Path) -> None:
    small_study.write(folder)
    programs.write(folder)
    programs.write(folder, "sys.exit('no such luck')", name="crash.py")


@pytest.fixture(scope="module")
def _mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two programs and a network under equal seconds, and a program that crashes between them."""
    folder = tmp_path_factory.mktemp("mixed")
    write(folder)
    task = {**small_study.study()["task"][0], "control": "budget"}
    outcome = small_study.train(folder, study(CRASHING, THEIRS, BASELINE, PLAIN, task=[task]))
    write_report(outcome.folder)
    return folder


@pytest.fixture
def home(_mixed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_mixed, tmp_path / "home"))


@pytest.fixture
def mixed(home: Path) -> StudyFolder:
    return StudyFolder(home / "out")


def _rows(folder: StudyFolder) -> dict[str, dict[str, str]]:
    return {row["candidate"]: row for row in csv.DictReader(folder.csv_path.read_text().splitlines())}


def test_a_program_that_crashes_is_a_failed_row_and_the_study_goes_on(mixed):
    rows = _rows(mixed)
    assert {name: row["status"] for name, row in rows.items()} == {
        "crashing": "failed", "theirs": "finished", "forest": "finished", "plain": "finished",
    }  # fmt: skip
    assert rows["crashing"]["reason"] == "external: exit code 1, expected 0; its log ends: no such luck"


def test_rows_say_which_program_and_version_and_nothing_that_nobody_knows(mixed):
    row = _rows(mixed)["theirs"]
    assert row["model"] == "external: python program.py (nearest 1.2)"
    assert (row["parameters"], row["precision"]) == ("9", "its own")
    assert [row[name] for name in ("trainable", "epochs", "images_per_second", "multiplications")] == [""] * 4
    assert "scikit-learn" in _rows(mixed)["forest"]["model"]
    assert 0.5 < float(_rows(mixed)["forest"]["test_accuracy"]) <= 1


def test_under_equal_seconds_programs_and_networks_are_ranked_together(mixed):
    (task,) = gather(mixed).summary.tasks
    group = next(group for group in task.groups if "theirs" in group.ranking)
    assert set(group.ranking) == {"theirs", "forest", "plain"}
    assert find_comparison(task.comparisons, "theirs", "plain") is not None
    row = task.candidate("theirs")
    assert row.external.startswith("the same split and budget (6.0 s); its recipe is its own")
    assert row.accuracy is not None
    assert row.accuracy.low is not None
    assert row.calibration is not None
    page = mixed.report_path.read_text()
    assert "external: python program.py (nearest 1.2); the same split and budget (6.0 s)" in page


def test_under_an_equal_recipe_programs_are_ranked_apart_and_the_difference_is_named(tmp_path):
    write(tmp_path)
    values = small_study.study(candidate=[PLAIN, THEIRS | {"recipe": {"time": "2s"}}])
    (task,) = gather(small_study.train(tmp_path, values).folder).summary.tasks
    assert [group.ranking for group in task.groups] == [("plain",), ("theirs",)]
    differences = task.candidate("theirs").differences
    assert differences["training"] == ["the recipe's", "an external program's own"]
    assert differences["time"] == [None, "2s"]


def test_a_second_command_asks_only_the_program_that_failed(home, mixed):
    before = small_study.contents(mixed.path / "runs" / "digits" / "theirs")
    programs.write(home, name="crash.py")
    spec = mixed.spec().as_dict()
    outcome = small_study.train(home, spec)
    assert outcome.trained == 1
    assert _rows(mixed)["crashing"]["status"] == "finished"
    assert small_study.contents(mixed.path / "runs" / "digits" / "theirs") == before


def test_a_program_whose_file_has_changed_is_asked_again(home, mixed):
    programs.write(home, "cost['version'] = 'nearest 1.3'")
    outcome = small_study.train(home, mixed.spec().as_dict())
    assert outcome.trained == 2  # with the one that fails
    assert _rows(mixed)["theirs"]["model"].endswith("(nearest 1.3)")


def test_another_recipe_is_nothing_to_a_program(tmp_path):
    write(tmp_path)
    jobs = []
    for batch in (32, 16):
        values = study(THEIRS)
        values["recipe"]["batch_size"] = batch
        small_study.train(tmp_path / str(batch), values, base_dir=tmp_path)
        jobs.append(StudyFolder(tmp_path / str(batch) / "out").run("digits", "theirs", 0).read().identity)
    assert jobs[0] == jobs[1]


def test_a_study_with_programs_is_proved(home, mixed):
    found = bakeoff.verify(mixed.path, base_dir=home)
    assert found.agrees, found.as_dict()
    assert not any(check.outcome == "not checked" for check in found.checks)
    assert [line for check in found.checks for line in check.unchecked] == []


def test_a_changed_log_and_a_changed_answer_are_found(home, mixed):
    run = mixed.run("digits", "theirs", 0)
    run.log_path.write_text("all undone\n")
    found = bakeoff.verify(mixed.path, base_dir=home, images=False)
    assert next(line for check in found.checks for line in check.differing).startswith(
        "runs/digits/theirs/seed-0/log.txt: its SHA-256 is"
    )


def test_what_needs_weights_is_not_checked_and_says_why(home, mixed):
    found = bakeoff.verify(mixed.path, base_dir=home, images=False, retrain="theirs/0")
    said = [line for check in found.checks for line in check.unchecked]
    assert "digits/theirs/0 is of an external program: it has no weights to compare with" in said
    assert found.agrees


def test_a_published_copy_has_the_same_table_and_no_path_of_this_machine(home, mixed, tmp_path):
    published = StudyFolder(publish(mixed, tmp_path / "published").path)
    assert published.csv_path.read_bytes() == mixed.csv_path.read_bytes()
    assert not published.run("digits", "theirs", 0).log_path.exists()
    assert bakeoff.verify(published.path, base_dir=home, images=False).agrees


def test_a_program_is_estimated_at_its_seconds_and_not_started(tmp_path):
    write(tmp_path)
    programs.write(tmp_path, f"open({str(tmp_path / 'started')!r}, 'w')")
    values = study(PLAIN, THEIRS, seeds=[0, 1])
    spec = bakeoff.spec.study_from_dict(values, "small.toml")
    found = estimate_study(spec, tmp_path / "out", base_dir=tmp_path, device="cpu", threads=1)
    plain, theirs = found.rows
    assert (theirs.external, theirs.runs, theirs.seconds, theirs.problem) == (True, 2, 12.0, "")
    assert not plain.external
    assert not (tmp_path / "started").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("use", [bakeoff.load, bakeoff.export], ids=["predict", "export"])
def test_a_program_cannot_be_used_and_one_line_says_why(use, mixed):
    with pytest.raises(ConfigError, match="'theirs', of which only predictions are kept; name another"):
        use(mixed.path, candidate="theirs")


def test_a_program_cannot_be_explained_nor_built_on(home, mixed, tmp_path):
    maps = mixed.read_attributions("digits")
    notes = {one.candidate: one.note for one in maps.candidates}
    assert notes["theirs"] == "it is an external program, of which only predictions are kept"
    values = small_study.study(candidate=[
        {"name": "on it", "from": str(mixed.path / "runs" / "digits" / "theirs")}
    ])  # fmt: skip
    with pytest.raises(ConfigError, match="is of an external program, 'theirs', of which only predictions"):
        small_study.train(tmp_path / "other", values)
