"""One process at a time in a study's folder.

The claim is an advisory lock on a file, so the system takes it back when the process
ends in any way, `kill -9` included.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bakeoff.errors import BusyError, ResourceError


@contextmanager
def claim_folder(folder: Path) -> Iterator[None]:
    """Hold a folder for this process.

    Args:
        folder: The study's folder; made if need be.

    Yields:
        Nothing; the folder is held until the block ends.

    Raises:
        BusyError: Another process holds it; the message names its process id.
        ResourceError: The folder cannot be made, written to or locked.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".claim").open("a+", encoding="ascii", errors="replace")
    except OSError as error:
        raise ResourceError(f"cannot use the folder {folder}: {error.strerror}") from error
    with file:
        _lock(file, folder)
        yield


def _lock(file: IO[str], folder: Path) -> None:
    """Lock the file and leave this process's id in it, for the message to others."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
    except BlockingIOError:
        file.seek(0)
        holder = file.read(20).strip() or "unknown"
        raise BusyError(
            f"{folder} is in use by process {holder}; wait for it to end, or use another --out"
        ) from None
    except OSError as error:  # a full disk, or a network file system without locks
        raise ResourceError(f"cannot lock the folder {folder}: {error.strerror}") from error
