from __future__ import annotations

import os
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest
from studies import make_study
from typer.testing import CliRunner

from bakeoff.cli.main import app
from bakeoff.errors import StudyError
from bakeoff.evidence import results, runs, summarise
from bakeoff.records import StudyFolder

# Reports on the study that is its argument, then says which heavy libraries that imported.
PROGRAM = """
import sys
from itertools import groupby
from pathlib import Path
from bakeoff.cli.report import report
report(Path(sys.argv[1]))
HEAVY = {"torch", "torchvision", "timm", "altair", "sklearn", "scipy.optimize"}
print("IMPORTED", sorted(HEAVY & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return make_study(tmp_path_factory.mktemp("report") / "study")


def test_the_page_is_written_and_named_after_the_verdicts(study: StudyFolder) -> None:
    result = CliRunner().invoke(app, ["report", str(study.path)])
    assert result.exit_code == 0, result.output
    assert "model4" in result.output
    assert result.output.splitlines()[-1] == f"Report: {study.report_path}"
    assert study.report_path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_images_can_be_left_out(study: StudyFolder) -> None:
    CliRunner().invoke(app, ["report", str(study.path)])
    with_images = study.report_path.read_text(encoding="utf-8").count("data:image/png")
    CliRunner().invoke(app, ["report", str(study.path), "--no-images"])
    assert with_images > 0
    assert "data:image/png" not in study.report_path.read_text(encoding="utf-8")


def test_charts_and_a_publication_are_written_where_asked(study: StudyFolder, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["report", str(study.path), "--charts", str(tmp_path / "c"), "--publish", str(tmp_path / "p")]
    )
    assert result.exit_code == 0, result.output
    assert "Charts: 24 files" in result.output
    assert f"Published: {tmp_path / 'p'} (" in result.output
    assert len(list((tmp_path / "c").iterdir())) == 24
    assert (tmp_path / "p" / "README.md").exists()


def test_a_report_needs_no_torch(study: StudyFolder) -> None:
    command = [sys.executable, "-c", PROGRAM, str(study.path)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ})  # fills the cache of scripts
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ})
    assert done.stdout.splitlines()[-1] == "IMPORTED []"


def test_a_folder_without_a_study_is_refused_in_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert isinstance(result.exception, StudyError)
    assert str(result.exception) == f"{tmp_path} holds no study: expected a file study.lock in it"


def test_everything_that_is_written_is_made_of_one_summary(
    study: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page, tables, charts and terminal share one, and those of a publication another."""
    asked, read = [], []
    real, load = summarise.summarise_task, runs.load_runs
    monkeypatch.setattr(summarise, "summarise_task", lambda *a: asked.append(a[0].path) or real(*a))
    for module in (summarise, results):
        monkeypatch.setattr(module, "load_runs", lambda *a: read.append(a[0].path) or load(*a))
    flags = ["--charts", str(tmp_path / "charts"), "--publish", str(tmp_path / "public")]
    assert CliRunner().invoke(app, ["report", str(study.path), *flags]).exit_code == 0
    tasks = len(study.spec().tasks)
    assert [len(list(same)) for _, same in groupby(asked)] == [tasks, tasks]
    assert len(read) == 2
