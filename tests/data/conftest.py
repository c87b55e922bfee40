"""What the tests of data share: where our own folders are while a source lists itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakeoff.data.source import Opening, silent


@pytest.fixture
def opening(tmp_path: Path) -> Opening:
    return Opening(tmp_path / "opening-cache", tmp_path / "opening-data", False, silent)
