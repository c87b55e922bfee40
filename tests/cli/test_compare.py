from __future__ import annotations

import json
from pathlib import Path

import pytest
from studies import make_study
from typer.testing import CliRunner

from bakeoff.cli.main import app
from bakeoff.errors import ConfigError, UnknownNameError
from bakeoff.records import StudyFolder


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return make_study(tmp_path_factory.mktemp("compare") / "study")


def test_two_candidates_are_printed_and_their_page_is_named(study: StudyFolder, tmp_path: Path) -> None:
    page = tmp_path / "pair.html"
    flags = ["model4", "model1", "--task", "5 classes", "--out", str(page)]
    result = CliRunner().invoke(app, ["compare", str(study.path), *flags])
    assert result.exit_code == 0, result.output
    assert "model4 is better than model1, by more than luck" in " ".join(result.output.split())
    assert result.output.splitlines()[-1] == f"Page: {page}"
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_two_studies_are_printed(study: StudyFolder) -> None:
    result = CliRunner().invoke(app, ["compare", str(study.path), str(study.path)])
    assert "No difference beyond luck from first to second in 3 candidates." in result.output


def test_json_and_markdown_are_all_that_is_printed(study: StudyFolder) -> None:
    pair = ["compare", str(study.path), "model4", "model1", "--task", "5 classes", "--format"]
    assert json.loads(CliRunner().invoke(app, [*pair, "json"]).output)["task"] == "5 classes"
    assert CliRunner().invoke(app, [*pair, "markdown"]).output.startswith("## model4 and model1\n")


def test_a_wrong_name_is_refused_with_the_nearest_one(study: StudyFolder) -> None:
    result = CliRunner().invoke(app, ["compare", str(study.path), "modle4", "model1"])
    assert isinstance(result.exception, UnknownNameError)
    assert str(result.exception) == "compare: got 'modle4'; did you mean 'model4'?"


def test_a_report_as_markdown_goes_to_the_screen_or_to_a_file(study: StudyFolder, tmp_path: Path) -> None:
    before = sorted(study.path.iterdir())
    shown = CliRunner().invoke(app, ["report", str(study.path), "--markdown"]).output
    assert shown.startswith("# A study made for tests\n")
    file = tmp_path / "pull.md"
    assert CliRunner().invoke(app, ["report", str(study.path), "--markdown", str(file)]).output == ""
    assert file.read_text(encoding="utf-8") == shown
    assert sorted(study.path.iterdir()) == before


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["extra"], "report: got 'extra' beside the study, expected it only with --markdown"),
        (
            ["--markdown", "--open"],
            "--markdown: got it with --charts, --publish or --open, expected it alone",
        ),
    ],
)
def test_words_that_would_go_unheard_are_refused(study: StudyFolder, flags: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["report", str(study.path), *flags])
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception) == said
