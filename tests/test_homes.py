from __future__ import annotations

from pathlib import Path

import pytest

from bakeoff.homes import cache_home, data_home


def test_own_variables_win_over_xdg_and_xdg_over_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in ("BAKEOFF_CACHE", "BAKEOFF_DATA", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (cache_home(), data_home()) == (tmp_path / ".cache/bakeoff", tmp_path / ".local/share/bakeoff")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xc")
    monkeypatch.setenv("XDG_DATA_HOME", "/xd")
    assert (cache_home(), data_home()) == (Path("/xc/bakeoff"), Path("/xd/bakeoff"))
    monkeypatch.setenv("BAKEOFF_CACHE", "/c")
    monkeypatch.setenv("BAKEOFF_DATA", "~/d")
    assert (cache_home(), data_home()) == (Path("/c"), tmp_path / "d")
