from __future__ import annotations

from pathlib import Path

import pytest

from bakeoff.report.vega import vega_script


def test_the_scripts_come_from_the_cache_and_a_damaged_one_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path))
    made = vega_script()
    (kept,) = tmp_path.iterdir()
    assert kept.read_text(encoding="utf-8") == made
    assert "</script" not in made
    kept.write_text(made[:1000], encoding="utf-8")
    assert vega_script() == made
    assert kept.read_text(encoding="utf-8") == made


def test_a_cache_that_cannot_be_written_to_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder", encoding="utf-8")
    monkeypatch.setenv("BAKEOFF_CACHE", str(blocked))
    assert vega_script().rstrip().endswith("window.vegaLite=__default1;")
