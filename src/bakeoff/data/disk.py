"""Where bakeoff keeps data of its own, and what to say when the disk refuses."""

from __future__ import annotations

import errno
import os
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


def cache_home() -> Path:
    """Return the folder of what can be made again: ``$BAKEOFF_CACHE``, or the XDG cache home's."""
    own = os.environ.get("BAKEOFF_CACHE")
    return Path(own).expanduser() if own else _xdg("XDG_CACHE_HOME", ".cache")


def data_home() -> Path:
    """Return the folder of datasets: ``$BAKEOFF_DATA``, or the XDG data home's."""
    own = os.environ.get("BAKEOFF_DATA")
    return Path(own).expanduser() if own else _xdg("XDG_DATA_HOME", ".local/share")


def _xdg(variable: str, default: str) -> Path:
    base = os.environ.get(variable)
    return (Path(base) if base else Path.home() / default) / "bakeoff"


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
