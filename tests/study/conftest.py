"""What the tests of studies share: prepared digits, and a study that has ended."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import small_study

from bakeoff.data.prepare import TaskData, prepare
from bakeoff.records import StudyFolder


@pytest.fixture(scope="session")
def digits() -> TaskData:
    """Three classes of digits, 8 pixels."""
    return prepare(small_study.spec().tasks[0], base_dir=Path())


@pytest.fixture(scope="session")
def _ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ended")
    small_study.train(folder)
    return folder


@pytest.fixture
def ended(_ended: Path, tmp_path: Path) -> Path:
    """A folder of one's own with `net.py`, and the study that it has ended in `out`."""
    return Path(shutil.copytree(_ended, tmp_path / "ended"))


@pytest.fixture
def folder(ended: Path) -> StudyFolder:
    """The ended study."""
    return StudyFolder(ended / "out")
