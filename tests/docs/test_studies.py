"""The studies under docs/ are what their own records say, byte for byte."""

from __future__ import annotations

import re
import shutil
from importlib import metadata
from pathlib import Path

import pytest

import bakeoff
from bakeoff.records import StudyFolder
from bakeoff.report.publish import LARGEST_BYTES
from bakeoff.report.write import write_report

ROOT = Path(__file__).parents[2]
STUDIES = sorted(lock.parent for lock in (ROOT / "docs" / "studies").glob("*/study.lock"))
LARGEST = 3_000_000  # bytes of a study's per-image predictions
PINNED = re.search(r"^vl-convert-python==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)


def test_the_classic_study_is_published() -> None:
    assert "classic" in [study.name for study in STUDIES]


def first_difference(published: str, again: str) -> str | None:
    """Where two texts part, in two lines; pytest's own comparison of a page takes most of an hour."""
    if published == again:
        return None
    pairs = enumerate(zip(published, again, strict=False))
    at = next((at for at, (old, new) in pairs if old != new), min(len(published), len(again)))
    line = published.count("\n", 0, at) + 1
    start = max(0, at - 60)
    return f"line {line}:\n  {published[start : at + 60]!r}\n  {again[start : at + 60]!r}"


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_a_published_study_is_reproduced_from_its_records(study: Path, tmp_path: Path) -> None:
    copy = tmp_path / study.name
    shutil.copytree(study, copy)
    (copy / "results.csv").unlink()
    (copy / "report.html").unlink()
    write_report(StudyFolder(copy))
    names = ["results.csv", "results.json"]
    # The page holds the scripts of vl-convert, which another version of it writes otherwise.
    if PINNED is not None and metadata.version("vl-convert-python") == PINNED[1]:
        names.append("report.html")
    cure = f"copy {study.name} and renew it: bakeoff report COPY --publish docs/studies/{study.name}"
    for name in names:
        differing = first_difference((study / name).read_text(), (copy / name).read_text())
        assert differing is None, f"{name}, {differing}\n{cure}"


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_a_published_study_is_small_and_holds_no_weights(study: Path) -> None:
    files = [file for file in study.rglob("*") if file.is_file() and file.name != ".claim"]
    assert sum(file.stat().st_size for file in files) < LARGEST_BYTES
    assert sum(file.stat().st_size for file in files if file.suffix == ".npz") < LARGEST
    assert [
        f.name for f in files if f.suffix in (".safetensors", ".pt") or f.name == "probabilities.npz"
    ] == []


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_a_published_study_is_what_its_lock_says(study: Path) -> None:
    found = bakeoff.verify(study, images=False)
    assert [check.differing for check in found.checks if check.differing] == []
    by_title = {check.title: check for check in found.checks}
    for title in ("the records", "metrics against predictions", "the split", "the tables", "identities"):
        assert by_title[title].outcome == "agrees"
    assert "no probabilities.npz here" in by_title["predictions against probabilities"].unchecked[0]
