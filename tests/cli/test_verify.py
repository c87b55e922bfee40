from __future__ import annotations

import json
from pathlib import Path

import pytest
from studies import make_study
from typer.testing import CliRunner

from bakeoff.cli.main import app
from bakeoff.errors import StudyError
from bakeoff.records import StudyFolder


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    return make_study(tmp_path / "study", seeds=[0])


def _verify(study: StudyFolder, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, str]:
    # The sketch was never trained: its control digests are made up, and only its files are looked at.
    code = app(["verify", str(study.path), "--no-images", *flags], standalone_mode=False)
    return code, capsys.readouterr().out


def test_every_check_is_a_line_and_a_difference_is_exit_code_1(
    study: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    code, output = _verify(study, capsys)
    assert code == 1
    assert "+ metrics against predictions: recorded metrics that agree: 60" in output
    assert "x controls: control digests that differ: 6 of 6" in output
    unknown = "not recorded in the lock, which is older: the files of 5 classes/model1/0,"
    assert f"    not checked: {unknown}" in output
    assert "'sketch' is not what it says it is: " in output


def test_the_json_holds_every_check_and_the_verdict(
    study: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    code, output = _verify(study, capsys, "--format", "json")
    values = json.loads(output)
    assert code == 1
    assert values["agrees"] is False
    assert {check["outcome"] for check in values["checks"]} == {"agrees", "differs", "not checked"}
    controls = next(check for check in values["checks"] if check["title"] == "controls")
    assert len(controls["differing"]) == 6


def test_what_agrees_is_exit_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    published = StudyFolder(Path(__file__).parents[2] / "docs" / "studies" / "classic")
    code, output = _verify(published, capsys)
    assert code == 0
    assert "All that could be checked of 'classic' agrees." in output


def test_a_folder_without_a_study_is_refused_in_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["verify", str(tmp_path)])
    assert isinstance(result.exception, StudyError)
