"""What to say when the disk refuses, and what killed processes left on it."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bakeoff.errors import ResourceError

# Also in `records.atomic`, which keeps them to itself: it looks for them behind torch's errors too.
FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)

_STALE = 24 * 3600  # seconds after which what a killed process left is removed


@contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Say in one line when a file or folder of our own cannot be written.

    Args:
        target: The file or folder, for the message.

    Raises:
        ResourceError: The disk is full, or the place may not be written to.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise ResourceError(f"disk full: could not write {target}; nothing partial is left") from error
        if error.errno in REFUSED:
            raise ResourceError(f"cannot write {target}: {error.strerror}") from error
        raise


def sweep(folder: Path) -> None:
    """Remove the files and folders ``.*.partial`` that killed processes left long ago.

    Age tells, not a process's number: a cache may be shared by several machines.
    """
    for left in folder.glob(".*.partial"):
        with suppress(OSError):
            if time.time() - left.lstat().st_mtime <= _STALE:
                continue
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()
