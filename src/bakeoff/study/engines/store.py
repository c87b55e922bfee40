"""A place outside of a cluster's machines for what runs leave: a bucket, or any folder that fsspec knows."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bakeoff.errors import ConfigError, ResourceError, to_install

# What an interrupted run goes on from
BEGUN = ("checkpoint.pt", "test_readings.json", "trials.jsonl", "trials.clock.json", "trial/checkpoint.pt")
RECORD = "record.json"  # written last


@dataclass(frozen=True, slots=True)
class Store:
    """The files of one run at a URL; the same from every machine that may reach it."""

    url: str  # of the run's folder, such as s3://bucket/study/runs/task/candidate/seed-0

    def put(self, name: str, content: bytes) -> None:
        """Write a file, which appears whole.

        Args:
            name: Relative to the run's folder.
            content: All of it.

        Raises:
            ResourceError: The store does not take it.
        """
        target = posixpath.join(self.url, name)
        try:
            system, path = open_store(target)
            system.makedirs(posixpath.dirname(path), exist_ok=True)
            system.pipe_file(f"{path}.partial", content)
            system.mv(f"{path}.partial", path)
        except Exception as error:  # of as many kinds as there are stores
            raise ResourceError(f"--store: cannot write {target}: {_words(error)}") from error

    def get(self, name: str) -> bytes:
        """Read a file back.

        Args:
            name: Relative to the run's folder.

        Returns:
            All of it.

        Raises:
            ResourceError: It is not there, or cannot be read.
        """
        source = posixpath.join(self.url, name)
        try:
            system, path = open_store(source)
            content: bytes = system.cat_file(path)
        except Exception as error:  # as above
            raise ResourceError(f"--store: cannot read {source}: {_words(error)}") from error
        return content

    def begun(self, names: Iterable[str] = BEGUN) -> dict[str, bytes]:
        """Read what an interrupted run has left here to go on from.

        Args:
            names: Files to look for beside the usual ones.

        Returns:
            The contents of those that are there.
        """
        found = {}
        for name in sorted({*BEGUN, *names}):
            system, path = open_store(posixpath.join(self.url, name))
            if system.exists(path):
                found[name] = self.get(name)
        return found

    def ended(self, identity: str) -> list[str]:
        """List what a run has left that has ended here and was not fetched, because the study was killed.

        Args:
            identity: Of the run that is looked for.

        Returns:
            The names of its files; none when it has not ended, is another run, or has failed.

        Raises:
            ResourceError: The store cannot be read.
        """
        try:
            system, path = open_store(self.url)
            found = system.find(path) if system.exists(posixpath.join(path, RECORD)) else []
        except (OSError, ValueError) as error:
            raise ResourceError(f"--store: cannot read {self.url}: {_words(error)}") from error
        if not found:
            return []
        record = json.loads(self.get(RECORD))
        if record.get("identity") != identity or record.get("status") == "failed":
            return []
        names = [posixpath.relpath(file, path) for file in found]
        return [name for name in names if not name.endswith(".partial")]

    def forget(self, name: str) -> None:
        """Remove a file, if it is there."""
        system, path = open_store(posixpath.join(self.url, name))
        if system.exists(path):
            system.rm_file(path)


def open_store(url: str) -> tuple[Any, str]:
    """Find the file system of a URL.

    Args:
        url: As fsspec writes them; a path is a folder that all machines share.

    Returns:
        The file system, and the path in it.

    Raises:
        ConfigError: There is no such kind, or its package is not installed.
    """
    try:
        import fsspec
    except ImportError:
        raise ConfigError(f"--store: needs fsspec; {to_install('ray')}") from None
    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"--store: got '{url}': {_words(error)}") from None
    return system, str(path)


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
