"""Official files from the network: resumed after a cut, and checked before they are used.

A file grows under the name `<target>.part`; a later call continues there. Only a
complete file with the right checksum ever appears under its own name.
"""

from __future__ import annotations

import hashlib
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO

from bakeoff.data.disk import FULL, REFUSED, disk_errors
from bakeoff.data.source import Progress
from bakeoff.errors import DataError, ResourceError

_BLOCK = 1 << 20  # bytes
_TRIES = 5  # cuts in a row without a single new byte
_TIMEOUT = 30.0  # seconds without a byte


@dataclass(frozen=True)
class Official:
    """A file as its publisher offers it."""

    url: str
    md5: str  # the publisher's own checksum, against damage rather than malice
    file: str  # its name in the data folder


def fetch(official: Official, target: Path, progress: Progress, pause: float = 1.0) -> Path:
    """Download a file, or finish a download that was cut.

    Args:
        official: What to fetch.
        target: Where the complete file goes.
        progress: Told the bytes so far and in all.
        pause: Seconds before the first retry; each further one waits twice as long.

    Returns:
        The target.

    Raises:
        DataError: What arrived is not the official file; it is removed.
        ResourceError: The network or the disk does not let it through.
    """
    part = target.with_name(target.name + ".part")
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _claimed(part) as file:
            if target.is_file():  # another process fetched it while this one waited
                return target
            if not part.is_file():  # it got a wrong file, and removed it
                raise ResourceError(f"another process failed to download {official.url}, try again")
            _complete(official, target, file, progress, pause)
            if _md5(part) != official.md5:
                part.unlink()
                raise DataError(
                    f"{official.url}: the file that arrived has another checksum than {official.md5}; "
                    "it was removed, try again"
                )
            part.replace(target)
    return target


@contextmanager
def _claimed(part: Path) -> Iterator[IO[bytes]]:
    """Open a partial file for appending, one process at a time where the system can tell."""
    with part.open("ab") as file:
        with suppress(ImportError, OSError):  # Windows has no fcntl, some network disks no locks
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield file
        except OSError as error:
            if error.errno in FULL:  # what there is of it takes the room that others need
                part.unlink(missing_ok=True)
            raise
        finally:
            if part.is_file() and part.stat().st_size == 0:
                part.unlink()


def _complete(official: Official, target: Path, file: IO[bytes], progress: Progress, pause: float) -> None:
    """Append until everything is there."""
    failures = 0
    while True:
        before = file.tell()
        try:
            if _append(official, file, progress):
                return
            reason = "the connection was cut"
        except urllib.error.HTTPError as error:
            error.close()
            raise _unreachable(official, target, f"HTTP {error.code} {error.reason}") from None
        except (HTTPException, OSError) as error:
            if getattr(error, "errno", None) in (*FULL, *REFUSED):  # the disk's, not the network's
                raise
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        failures = failures + 1 if file.tell() == before else 1
        if failures >= _TRIES or not file.tell():
            raise _unreachable(official, target, reason)
        time.sleep(pause * 2 ** (failures - 1))


def _append(official: Official, file: IO[bytes], progress: Progress) -> bool:
    """Ask for the missing bytes and append them; tell whether the server says that is all."""
    have = file.tell()
    request = urllib.request.Request(official.url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is missing: the checksum will tell
            error.close()
            return True
        raise
    with response:
        if have and response.status != 206:  # a server without ranges starts over
            file.truncate(0)
            file.seek(0)
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else 0
        _copy(response, file, official.file, total, progress)
    return file.tell() >= total


def _copy(response: HTTPResponse, file: IO[bytes], name: str, total: int, progress: Progress) -> None:
    try:
        while block := response.read1(_BLOCK):
            file.write(block)
            progress(f"downloading {name}", file.tell(), max(total, file.tell()))
    finally:
        file.flush()


def _unreachable(official: Official, target: Path, reason: str) -> ResourceError:
    return ResourceError(
        f"cannot download {official.url} ({reason}); fetch it by hand and put it at {target}, "
        "or say where it is with --data NAME=PATH"
    )


def _md5(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
