"""Where bakeoff keeps data of its own, and what to say when the disk refuses."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bakeoff.errors import ResourceError

FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


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
