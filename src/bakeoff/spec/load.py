"""From a TOML file, a shipped name or a dict to a checked `StudySpec`."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bakeoff.errors import ConfigError, UnknownNameError, nearest
from bakeoff.spec.base import one_line
from bakeoff.spec.study import StudySpec

STUDY_FILE = "study.toml"  # that `bakeoff train`, `search` and `run pick` leave in a study's folder
WRITTEN = "# Written by bakeoff"  # so it begins, until somebody takes the line away


def shipped_studies() -> tuple[str, ...]:
    """List the names of the studies that come with the package."""
    folder = resources.files("bakeoff.spec") / "shipped"
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))


def study_from_dict(values: Mapping[str, Any], where: str) -> StudySpec:
    """Check plain values, as read from TOML, and return the study.

    Args:
        values: The file's tables.
        where: The file's name, for messages.

    Returns:
        The study.

    Raises:
        ConfigError: A key is unknown, missing or refused.
    """
    try:
        return StudySpec.model_validate(values)
    except ValidationError as error:
        raise one_line(error, StudySpec, where) from None
    except ConfigError as error:  # from an override: it names the task or candidate, not yet the file
        raise ConfigError(f"{str(error).removesuffix(')')}, {where})") from None


def load_study(name_or_path: str | Path) -> tuple[StudySpec, Path | None]:
    """Read a study.

    Args:
        name_or_path: A file, a folder with a `study.toml`, or the name of a shipped study; a file of that
            name comes first.

    Returns:
        The study, and the folder that relative paths in it refer to; None for a
        shipped study.

    Raises:
        ConfigError: The file is not TOML, or its content is refused.
        UnknownNameError: There is neither such a file nor such a shipped study.
    """
    text, path = str(name_or_path), study_file(name_or_path)
    if path is not None:
        return _parse(_read(path), path.name), path.resolve().parent
    if text in shipped_studies():
        file = resources.files("bakeoff.spec") / "shipped" / f"{text}.toml"
        return _parse(file.read_text(encoding="utf-8"), f"{text}.toml"), None
    raise UnknownNameError(
        f"study: got {text!r}, expected a TOML file, a folder with a {STUDY_FILE} or a shipped study"
        f"{nearest(text, shipped_studies())}"
    )


def study_file(name_or_path: str | Path) -> Path | None:
    """Find the file that people mean by a file's path, or by that of a folder with a `study.toml`.

    Args:
        name_or_path: As for `load_study`.

    Returns:
        The file, which is there unless it was named by its ending; None for all else, shipped studies too.
    """
    path = Path(os.path.expanduser(str(name_or_path)))  # Path.expanduser raises for an unknown user
    if path.suffix == ".toml" or os.path.isfile(path):  # Path.is_file raises for a name too long
        return path
    if str(name_or_path) in shipped_studies() or not os.path.isfile(path / STUDY_FILE):
        return None
    return path / STUDY_FILE


def is_written_by_us(file: Path) -> bool:
    """Tell whether a file begins as those that `bakeoff train`, `search` and `run pick` leave behind.

    Args:
        file: Any path.

    Returns:
        False also where there is no such file, or one that is no text.
    """
    try:
        return os.path.isfile(file) and file.read_text(encoding="utf-8-sig").startswith(WRITTEN)
    except (OSError, UnicodeDecodeError):
        return False


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # Windows' Notepad puts a mark in front
    except FileNotFoundError:
        raise ConfigError(f"study: no file {path}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"study: {path} is not a text file in UTF-8") from None
    except OSError as error:
        raise ConfigError(f"study: cannot read {path}: {error.strerror}") from None


def _parse(text: str, where: str) -> StudySpec:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not valid TOML: {error}") from None
    return study_from_dict(values, where)
