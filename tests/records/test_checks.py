from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bakeoff.errors import StudyError
from bakeoff.records import StudyFolder
from bakeoff.records.checks import CheckedImage, CheckedPair, FlaggedImage, TaskChecks

ONE = CheckedImage(index=3, file="val/é.png", part="test", label="ant")
CHECKS = TaskChecks(
    data_fingerprint="d", split_digest="s", images=4, alike=0.9, counts={"leaks": 1, "dark": 0},
    leaks=[CheckedPair(first=ONE, second=ONE, exact=True, likeness=1.0)], test_exact=[3], test_near=[1],
    flagged={"dark": [FlaggedImage(image=ONE, value=3.5)]},
)  # fmt: skip


def test_checks_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    assert folder.read_checks("a task") is None
    folder.write_checks("a task", CHECKS)
    assert folder.read_checks("a task") == CHECKS
    assert CHECKS.test_twins == {1, 3}
    assert CHECKS.found(["dark", "leaks", "blank"]) == {"leaks": 1}


def test_a_wrong_field_is_named_and_an_unknown_one_passed_over(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    folder.write_checks("t", CHECKS)
    file = tmp_path / "tasks" / "t" / "checks.json"
    values = json.loads(file.read_text())
    file.write_text(json.dumps({**values, "of a later version": 1}))
    assert folder.read_checks("t") == CHECKS
    values["leaks"][0]["first"]["part"] = "tset"
    file.write_text(json.dumps(values))
    with pytest.raises(StudyError, match=r"is not checks of images: leaks\[1\]\.first\.part"):
        folder.read_checks("t")


def test_small_copies_are_read_back_by_their_index(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    assert folder.read_check_images("t") == {}
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    folder.write_check_images("t", np.array([7, 3]), images)
    found = folder.read_check_images("t")
    assert sorted(found) == [3, 7]
    np.testing.assert_array_equal(found[3], images[1])
