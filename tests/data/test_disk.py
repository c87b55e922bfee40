from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from bakeoff.data.disk import disk_errors, sweep
from bakeoff.errors import ResourceError


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "disk full: could not write /x"),
        (errno.EDQUOT, "disk full: could not write /x"),
        (errno.EROFS, "cannot write /x"),
    ],
)
def test_what_the_disk_refuses_is_one_line(number: int, message: str) -> None:
    with pytest.raises(ResourceError, match=message), disk_errors(Path("/x")):
        raise OSError(number, "refused")


def test_other_errors_pass_through() -> None:
    with pytest.raises(OSError, match="input/output"), disk_errors(Path("/x")):
        raise OSError(errno.EIO, "input/output")


def test_sweeping_takes_what_is_partial_and_older_than_a_day(tmp_path: Path) -> None:
    for name in (".old.partial", ".young.partial", "old.kept"):
        (tmp_path / name / "below").mkdir(parents=True)
        (tmp_path / name / "below" / "file").touch()
    for name in (".old.partial", "old.kept"):
        os.utime(tmp_path / name, (0, time.time() - 25 * 3600))
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".young.partial", "old.kept"]
