"""Files below one root, whether they lie in a folder or in an archive.

Layouts are recognised on a `Tree`, so a packed dataset is read like an unpacked one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bakeoff.data.source import is_image_name
from bakeoff.errors import DataError

_LITTER = frozenset(["__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir"])


class Tree(Protocol):
    """Named files with stamps; names are relative and use '/'."""

    @property
    def place(self) -> str:
        """The absolute path, for identity and messages."""
        ...

    def stamps(self) -> dict[str, str]:
        """List every file with what is known of its content without reading it."""
        ...

    def read(self, key: str) -> bytes:
        """Return a file's bytes."""
        ...

    def below(self, folder: str) -> Tree:
        """Return the same files seen from one of the folders."""
        ...


def is_litter(name: str) -> bool:
    """Tell whether a file or folder was left by an operating system, not by a person."""
    return name.startswith(".") or name in _LITTER


@dataclass(frozen=True)
class FolderTree(Tree):
    """A folder of the file system; links are followed, but never in circles."""

    root: Path
    shown: str = ""  # what people know it as, where that is not its path: an archive unpacked here

    @property
    def place(self) -> str:
        """The absolute path, of the archive if this is one."""
        return self.shown or str(self.root)

    def stamps(self) -> dict[str, str]:
        """List every file with its size and times, and every link that leads to nothing."""
        return dict(self._walk(str(self.root), "", frozenset()))

    def _walk(self, folder: str, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[tuple[str, str]]:
        try:
            status = os.stat(folder)
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise DataError(f"data: cannot list {folder}: {error.strerror}") from None
        here = (status.st_dev, status.st_ino)
        if here in above:
            return
        for entry in entries:
            if is_litter(entry.name):
                continue
            try:
                found = entry.stat()
            except OSError as error:  # a link to nothing or to itself: listed, and reading it will say why
                yield prefix + entry.name, f"unreadable.{error.errno}"
                continue
            if stat.S_ISDIR(found.st_mode):
                yield from self._walk(entry.path, f"{prefix}{entry.name}/", above | {here})
            elif stat.S_ISREG(found.st_mode):
                # The time of the last change of the inode too: unpackers set the other one back.
                yield prefix + entry.name, f"{found.st_size}.{found.st_mtime_ns}.{found.st_ctime_ns}"

    def read(self, key: str) -> bytes:
        """Return a file's bytes."""
        with open(os.path.join(self.root, key), "rb") as file:  # without pathlib: a tenth of the decode pass
            return file.read()

    def below(self, folder: str) -> FolderTree:
        """Return the same files seen from one of the folders."""
        mark = "" if self.shown.endswith("/") else "!"
        return FolderTree(self.root / folder, self.shown and f"{self.shown}{mark}{folder}/")


def unwrapped(
    tree: Tree, is_known: Callable[[Mapping[str, str]], bool] = lambda _stamps: False
) -> tuple[Tree, dict[str, str]]:
    """Step through outer folders that hold but one folder, and no images beside it.

    An archive of a dataset usually has one such folder, often with a README beside it;
    a folder of class folders is not stepped into, even when there is only one class.

    Args:
        tree: The outermost folder or archive.
        is_known: Recognises a layout that has files of its own beside a folder.

    Returns:
        The inner tree, and its files.
    """
    stamps = tree.stamps()
    prefix = ""
    while True:
        tops = {key.split("/", 1)[0] for key in stamps if "/" in key}
        if len(tops) != 1 or _has_images(stamps) or is_known(stamps):
            break
        (top,) = tops
        inner = {key.removeprefix(f"{top}/"): stamp for key, stamp in stamps.items() if "/" in key}
        if _has_images(inner):
            break
        stamps, prefix = inner, f"{prefix}{top}/"
    return (tree.below(prefix.rstrip("/")) if prefix else tree), stamps


def _has_images(stamps: Mapping[str, str]) -> bool:
    """Tell whether an image lies directly on top."""
    return any("/" not in key and is_image_name(key) for key in stamps)
