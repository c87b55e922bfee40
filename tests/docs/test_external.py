"""The page on external programs: its study is accepted, and its program does what the page says."""

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from jobs import make_job, pictures
from programs import candidate

from bakeoff.models.architecture import External
from bakeoff.records import RunFolder
from bakeoff.records.exchange import SCHEMA, Exchange
from bakeoff.spec import Recipe, study_from_dict
from bakeoff.training import external
from bakeoff.training.external import HOW_TO_INSTALL, run_program

PAGE = (Path(__file__).parents[2] / "docs" / "external.md").read_text(encoding="utf-8")


def _block(language):
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return text


def test_its_study_is_accepted():
    spec = study_from_dict({"name": "page", **tomllib.loads(_block("toml"))}, "external.md")
    assert [one.name for one in spec.candidates] == ["theirs", "forest", "autokeras"]


@pytest.fixture
def job(tmp_path):
    (tmp_path / "theirs.py").write_text(_block("python"))
    command = ("python", "theirs.py")
    return replace(
        make_job(tmp_path, data=pictures()), candidate=candidate(command),
        architecture=External(command=command), recipe=Recipe(time="20s"),
    )  # fmt: skip


def test_its_program_is_a_whole_one(job, tmp_path):
    record = run_program(job, RunFolder(tmp_path / "run"), lambda *_: None)
    assert (record.status, record.reason) == ("finished", None)


def test_it_names_every_key_of_the_request(job, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(Exchange, "hand_over", lambda _, images, told, seed: asked.append(told) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        external.run_program(job, RunFolder(tmp_path / "run"), lambda *_: None)
    known = {*asked[0], "schema", "class_ids", "class_names", "parts", "list", "answer"}
    told = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (.*?) \|", PAGE, re.MULTILINE))))
    assert known == told - {"cost", "probabilities", "npz", "json"}
    assert f"| `schema` | {SCHEMA}:" in PAGE


def test_it_installs_autokeras_as_a_failed_row_says():
    made, filled = (line.split("#")[0] for line in _block("sh").splitlines())
    said = HOW_TO_INSTALL["autokeras"].replace("DIR", "/opt/autokeras")
    assert said == f"{made} and {filled}"
