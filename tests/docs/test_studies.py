"""The studies under docs/ are what their own records say, byte for byte."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bakeoff.records import StudyFolder
from bakeoff.report.write import write_report

ROOT = Path(__file__).parents[2]
STUDIES = sorted(lock.parent for lock in (ROOT / "docs" / "studies").glob("*/study.lock"))
LARGEST = 3_000_000  # bytes of a published study


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_a_published_study_is_reproduced_from_its_records(study: Path, tmp_path: Path) -> None:
    copy = tmp_path / study.name
    shutil.copytree(study, copy)
    (copy / "results.csv").unlink()
    (copy / "report.html").unlink()
    write_report(StudyFolder(copy))
    for name in ("results.csv", "results.json", "report.html"):
        assert (copy / name).read_bytes() == (study / name).read_bytes(), name


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_a_published_study_is_small_and_holds_no_weights(study: Path) -> None:
    files = [file for file in study.rglob("*") if file.is_file() and file.name != ".claim"]
    assert sum(file.stat().st_size for file in files) < LARGEST
    assert [
        f.name for f in files if f.suffix in (".safetensors", ".pt") or f.name == "probabilities.npz"
    ] == []
