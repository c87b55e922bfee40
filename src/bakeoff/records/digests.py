"""What a lock knows of the files beside it: the SHA-256 of each, noted when it was written.

A file's digest is noted by the process that holds the study's folder, right after the run
or the task that wrote it. Of a run that ended before its folder's lock noted any, the digests
are noted by the next command, and the lock says so: they prove only what happened since.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.errors import StudyError
from bakeoff.spec.digest import sha256

if TYPE_CHECKING:
    from bakeoff.records.run import RunFolder
    from bakeoff.records.study import StudyFolder

FILES = "files"  # of a lock: from a file's path in the folder to its SHA-256
LATE = "noted_late"  # of a lock: folders of runs whose digests a later command has noted
DIGEST = "digest"  # of a lock: of everything else in it

_BLOCK = 1 << 20  # bytes


def file_sha256(path: Path) -> str | None:
    """Hash a file's contents.

    Args:
        path: The file.

    Returns:
        64 hexadecimal digits, or None when there is no such file.

    Raises:
        StudyError: The file is there and cannot be read.
    """
    hasher = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                hasher.update(block)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StudyError(f"cannot read {path}: {error.strerror}") from None
    return hasher.hexdigest()


def lock_digest(values: Mapping[str, Any]) -> str:
    """Hash a lock's values, but for the digest itself; equal values give equal digests.

    >>> lock_digest({"schema": 1, "digest": "x"}) == lock_digest({"schema": 1})
    True
    """
    rest = {key: value for key, value in values.items() if key != DIGEST}
    return sha256(rest)


def run_digests(folder: StudyFolder, run: RunFolder) -> dict[str, str]:
    """Hash the files of a run that has ended.

    Args:
        folder: The study's.
        run: The run's.

    Returns:
        By a file's path in the study's folder its SHA-256.

    Raises:
        StudyError: A file cannot be read.
    """
    return _digests(folder, run.files())


def note_runs(folder: StudyFolder, runs: Iterable[RunFolder], *, late: bool = False) -> None:
    """Hash runs' files and note their digests; see `note_digests`."""
    note_digests(folder, ((run, run_digests(folder, run)) for run in runs), late=late)


def note_digests(
    folder: StudyFolder, runs: Iterable[tuple[RunFolder, Mapping[str, str]]], *, late: bool = False
) -> None:
    """Note the digests of runs' files in their study's lock, in place of what was known of them.

    Args:
        folder: The study's, held by this process; its lock is written once.
        runs: Of runs that have ended, each with its `run_digests`.
        late: Whether a later command notes them than the one that wrote the files.
    """
    lock = folder.read_lock() or {}
    late_runs = set(lock.get(LATE, ()))
    for run, digests in runs:
        place = _place(folder, run.path)
        late_runs = late_runs - {place} | ({place} if late else set())
        lock = {**lock, FILES: _without(lock, place) | dict(digests)}
    folder.write_lock({**lock, **({LATE: sorted(late_runs)} if late_runs or LATE in lock else {})})


def noted_runs(folder: StudyFolder) -> set[str]:
    """List the folders of which a study's lock knows files, relative to the study's."""
    return {place.rpartition("/")[0] for place in (folder.read_lock() or {}).get(FILES, {})}


def forget_run(folder: StudyFolder, run: RunFolder) -> None:
    """Take back what the lock knows of a run that is about to be trained again."""
    lock = folder.read_lock() or {}
    place = _place(folder, run.path)
    kept = _without(lock, place)
    if kept != lock.get(FILES, {}):
        late = [name for name in lock.get(LATE, ()) if name != place]
        folder.write_lock({**lock, FILES: kept, **({LATE: late} if LATE in lock else {})})


def note_files(folder: StudyFolder, paths: Iterable[Path], *, forget: bool = False) -> None:
    """Note the digests of a study's other files, as far as they are there.

    Args:
        folder: The study's, held by this process.
        paths: Files in it.
        forget: Whether those that are not there have been taken away on purpose.
    """
    lock, paths = folder.read_lock() or {}, list(paths)
    gone = {_place(folder, path) for path in paths} if forget else set()
    others = {place: digest for place, digest in lock.get(FILES, {}).items() if place not in gone}
    files = others | _digests(folder, paths)
    if files != lock.get(FILES):
        folder.write_lock({**lock, FILES: files})


def _digests(folder: StudyFolder, paths: Iterable[Path]) -> dict[str, str]:
    found = {_place(folder, path): file_sha256(path) for path in paths}
    return {place: digest for place, digest in found.items() if digest is not None}


def _without(lock: Mapping[str, Any], place: str) -> dict[str, str]:
    return {name: value for name, value in lock.get(FILES, {}).items() if not name.startswith(f"{place}/")}


def _place(folder: StudyFolder, path: Path) -> str:
    return path.relative_to(folder.path).as_posix()
