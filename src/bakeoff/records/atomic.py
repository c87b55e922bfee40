"""Whole files or none: write beside the target, flush to the disk, then rename.

Reading back is here too, so that one place says what a damaged file is.
"""

from __future__ import annotations

import errno
import json
import math
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from bakeoff.errors import ResourceError, StudyError
from bakeoff.spec.base import what_is_wrong

T = TypeVar("T")

_FULL = (errno.ENOSPC, errno.EDQUOT)
_DAMAGED: tuple[type[Exception], ...] = (
    ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
with suppress(ImportError):  # some builds of Python lack it; for LZMA, zipfile then raises a RuntimeError
    from lzma import LZMAError

    _DAMAGED += (LZMAError,)


@contextmanager
def writing(target: Path) -> Iterator[Path]:
    """Yield a path to write to; on success it becomes `target`, on failure it is removed.

    Args:
        target: The file to be; its folder is made if need be.

    Yields:
        A path in the same folder, where nothing is yet.

    Raises:
        ResourceError: The disk is full, or the folder cannot be written to.
    """
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(target)
        _flush_folder(target.parent)
    except Exception as error:
        if _is_disk_full(error):
            raise ResourceError(f"disk full: could not write {target}; nothing partial is left") from error
        if isinstance(error, OSError) and _is_about(error, target, partial):
            raise ResourceError(f"cannot write {target}: {error.strerror}") from error
        raise
    finally:
        # What cannot be removed was mostly never made; the first error is the one to tell.
        with suppress(OSError):
            partial.unlink()


def _flush_folder(folder: Path) -> None:
    """Put a rename on the disk, so that no later file (the record) outlives an earlier one."""
    with suppress(OSError):  # some network file systems cannot
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is_disk_full(error: BaseException | None) -> bool:
    """Tell a full disk, also behind the RuntimeError of torch.save and the text of safetensors."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if any(f"(os error {number})" in str(error) for number in _FULL):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_about(error: OSError, target: Path, partial: Path) -> bool:
    """Tell whether an error concerns the file being written, not one that was read meanwhile."""
    if error.filename is None:
        return error.errno in (errno.EIO, errno.EFBIG, errno.EROFS)
    missing = isinstance(error, FileNotFoundError)  # the caller wrote nothing: a mistake of ours
    return not missing and Path(os.fsdecode(error.filename)) in (partial, target, *target.parents)


def write_text(target: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with writing(target) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def write_json(target: Path, value: Any) -> None:
    """Write plain values as readable JSON with sorted keys, whole or not at all."""
    write_text(target, json_text(value))


def json_text(value: Any) -> str:
    """Return plain values as readable JSON with sorted keys.

    Numbers that JSON cannot hold (NaN, infinities: a diverged run has them) become null.
    """
    return json.dumps(_storable(value), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path, what: str, kind: type[T]) -> T | None:
    """Read back plain values.

    Args:
        path: The file.
        what: What it should hold, for messages, such as ``"a run's record"``.
        kind: The type of the outermost value, `dict` or `list`.

    Returns:
        The values, or None when there is no such file.

    Raises:
        StudyError: The file holds something else, or cannot be read.
    """
    try:
        text = _read(path)
        values = None if text is None else json.loads(text)
    except (ValueError, RecursionError) as error:  # not JSON, nested without end
        raise StudyError(f"{path} is not {what}: {error}") from None
    if text is None:
        return None
    if not isinstance(values, kind):
        raise StudyError(f"{path} is not {what}: got a {type(values).__name__}, expected a {kind.__name__}")
    return values


def read_checked(path: Path, what: str, adapter: TypeAdapter[T]) -> T | None:
    """Read back plain values as an object whose fields have their types; unknown fields are passed over.

    Args:
        path: The file.
        what: What it should hold, for messages, such as ``"a run's record"``.
        adapter: Checks the values and makes the object; none is turned into another type.

    Returns:
        The object, or None when there is no such file.

    Raises:
        StudyError: The file holds something else, or cannot be read; the first wrong field is named.
    """
    text = _read(path)
    try:
        return None if text is None else adapter.validate_json(text, strict=True)
    except ValidationError as error:
        raise StudyError(f"{path} is not {what}: {what_is_wrong(error)}") from None


def _read(path: Path) -> bytes | None:
    """Read a file; None when there is none."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StudyError(f"cannot read {path}: {error.strerror}") from None


def write_arrays(target: Path, arrays: Mapping[str, np.ndarray], *, smallest: bool = False) -> None:
    """Write an archive of named arrays that `numpy.load` opens, whole or not at all.

    Args:
        target: The file, a ``.npz``.
        arrays: What it is to hold.
        smallest: Compress with LZMA: slower, and a quarter smaller for predictions.

    Raises:
        ResourceError: The disk is full, or the folder cannot be written to.
    """
    method = zipfile.ZIP_LZMA if smallest else zipfile.ZIP_DEFLATED
    with writing(target) as partial, zipfile.ZipFile(partial, "w", method) as archive:
        for name, array in arrays.items():
            # Without a date of its own, so that equal arrays are equal files.
            member = zipfile.ZipInfo(f"{name}.npy")
            member.compress_type = method
            with archive.open(member, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)


def read_arrays(path: Path, what: str, prefix: str = "") -> dict[str, np.ndarray] | None:
    """Read back an archive of named arrays.

    Args:
        path: The file.
        what: What it should hold, for messages, such as ``"predictions"``.
        prefix: Of the names that are wanted; others are not read.

    Returns:
        Those arrays, or None when there is no such file.

    Raises:
        StudyError: The file is no whole archive of arrays, or cannot be read.
    """
    try:
        # Opened here: of a damaged archive numpy.load leaves the file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays if name.startswith(prefix)}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except _DAMAGED as error:
        raise StudyError(f"{path} does not hold {what}: {error}") from None
    except OSError as error:
        raise StudyError(f"cannot read {path}: {error.strerror}") from None


def _storable(value: Any) -> Any:
    """Copy plain values with NumPy's numbers as Python's, and None for what JSON cannot hold."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value
