"""From what a task calls its data to an opened source.

A named source is looked for at the path that the user gave, in its environment
variable, in the data folder, and at last on the network. Anything else is a path:
a folder, an archive or a CSV file, whose layout is recognised by what it holds.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from bakeoff.data.archive import is_archive_name, open_tree
from bakeoff.data.catalog import SOURCES, SourceEntry
from bakeoff.data.cifar10 import is_cifar10, list_cifar10
from bakeoff.data.download import fetch
from bakeoff.data.folders import list_folders
from bakeoff.data.source import Listing, Opening
from bakeoff.data.table import open_table
from bakeoff.data.tiny_imagenet import is_tiny_imagenet, list_tiny_imagenet
from bakeoff.data.torchvision_sets import PREFIX, open_torchvision
from bakeoff.data.tree import unwrapped
from bakeoff.errors import ConfigError, ResourceError, UnknownNameError, nearest


def open_source(data: str, locations: Mapping[str, Path], base_dir: Path, opening: Opening) -> Listing:
    """Find and list what a task calls its data.

    Args:
        data: A source's name, ``torchvision:NAME``, or a path.
        locations: Paths that the user gave, by such a name.
        base_dir: What relative paths refer to.
        opening: Where our folders are, and whether downloads are allowed.

    Returns:
        All images of the source, unread.

    Raises:
        ConfigError: There is no such path, or (UnknownNameError) no such name.
        DataError: What is there cannot be listed.
        ResourceError: The source is missing and cannot be downloaded.
    """
    given = locations.get(data)
    if given is not None:
        given = _existing(Path(os.path.expanduser(given)), f"--data {data}")
    if data.startswith(PREFIX):
        return open_torchvision(data.removeprefix(PREFIX), given, opening)
    if data in SOURCES:
        return _open_named(data, SOURCES[data], given, opening)
    return open_path(given if given is not None else _path(data, base_dir), opening)


def open_path(path: Path, opening: Opening) -> Listing:
    """List a folder, an archive or a CSV file, by the layout that it has.

    Args:
        path: What exists already.
        opening: Where our folders are.

    Returns:
        All its images, unread.

    Raises:
        ConfigError: The file is of another kind.
        DataError: What is there cannot be listed.
    """
    if path.is_file() and path.suffix.lower() == ".csv":
        return open_table(path, opening)
    if path.is_file() and not is_archive_name(path.name):
        raise ConfigError(f"data: got {path}, expected a folder, .zip, .tar (.gz, .bz2, .xz) or .csv")
    tree, stamps = unwrapped(
        open_tree(path, opening), lambda stamps: is_tiny_imagenet(stamps) or is_cifar10(stamps)
    )
    if is_tiny_imagenet(stamps):
        return list_tiny_imagenet(tree, stamps, str(path))
    if is_cifar10(stamps):
        return list_cifar10(tree, stamps, str(path))
    return list_folders(tree, stamps, f"class folders in {path}")


def variable_of(name: str) -> str:
    """Name the environment variable that says where a source lies.

    >>> variable_of("tiny-imagenet")
    'BAKEOFF_TINY_IMAGENET'
    """
    return "BAKEOFF_" + name.upper().replace("-", "_")


def _open_named(name: str, entry: SourceEntry, given: Path | None, opening: Opening) -> Listing:
    """Look for a named source where it may lie, the user's word first."""
    if not entry.names:
        if given is not None:
            raise ConfigError(
                f"--data {name}: got {given}, but {name} comes with a package and is not read from a path"
            )
        return entry.open(opening.data_dir, opening)
    if given is not None:
        return entry.open(given, opening)
    variable = variable_of(name)
    if os.environ.get(variable):
        return entry.open(_existing(Path(os.path.expanduser(os.environ[variable])), variable), opening)
    for candidate in entry.names:
        if (opening.data_dir / candidate).exists():
            return entry.open(opening.data_dir / candidate, opening)
    return entry.open(_download(name, entry, opening), opening)


def _download(name: str, entry: SourceEntry, opening: Opening) -> Path:
    """Fetch a source's official file into the data folder."""
    official = entry.official
    if official is None:
        raise ResourceError(f"data: no {name} in {opening.data_dir}; put it there, or use --data {name}=PATH")
    target = opening.data_dir / official.file
    if not opening.download:
        raise ResourceError(
            f"data: {name} is not on this machine and downloads are off; fetch {official.url} and put it at "
            f"{target}, or use --data {name}=PATH"
        )
    return fetch(official, target, opening.progress)


def _existing(path: Path, setting: str) -> Path:
    if not path.exists():
        raise ConfigError(f"{setting}: no file or folder {path}")
    return path


def _path(data: str, base_dir: Path) -> Path:
    """Take a task's data for a path; a plain word that is none was meant as a name."""
    path = base_dir / Path(os.path.expanduser(data))
    if path.exists():
        return path
    if any(mark in data for mark in "/\\.~"):
        raise ConfigError(f"data: no file or folder {path}")
    raise UnknownNameError(
        f"data: no source named '{data}' and no such path{nearest(data, [*SOURCES, PREFIX + 'NAME'])}"
    )
