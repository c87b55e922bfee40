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

from bakeoff.errors import BusyError


@contextmanager
def claim_folder(folder: Path) -> Iterator[None]:
    """Hold a folder for this process.

    Raises:
        BusyError: Another process holds it; the message names its process id.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".claim"
    with path.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise BusyError(
                f"{folder} is in use by process {holder}; wait for it to end, or use another --out"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
