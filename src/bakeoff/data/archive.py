"""Archives as trees of files: zip members are read in place, tar archives are unpacked once.

A tar archive has no table of contents and a packed one no random access, so it is
unpacked into the cache, below a name made of its path, size and time. Whatever
tries to leave the folder (``../``, absolute paths, drive letters) is refused before
anything is written; links and devices are left out.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import lzma
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

from bakeoff.data.disk import disk_errors, sweep
from bakeoff.data.source import Opening
from bakeoff.data.tree import FolderTree, Tree, is_litter
from bakeoff.errors import DataError

_TAR_NAME = re.compile(r"\.(tar|tgz|tbz2?|txz|tar\.(gz|bz2|xz))$", re.IGNORECASE)

# What a file system says of a name, not of its own state: the member is to blame.
_BAD_NAME = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EINVAL, errno.EILSEQ)


def is_archive_name(name: str) -> bool:
    """Tell by its name whether a file is an archive that can be read.

    >>> is_archive_name("a.zip"), is_archive_name("a.tar.gz"), is_archive_name("a.csv")
    (True, True, False)
    """
    return name.lower().endswith(".zip") or bool(_TAR_NAME.search(name))


def open_tree(path: Path, opening: Opening) -> Tree:
    """See a folder, a zip or a tar archive as a tree of files.

    Args:
        path: Where it lies.
        opening: Where a tar archive may be unpacked.

    Returns:
        Its files, unread.

    Raises:
        DataError: The archive is broken, locked, or holds a path that leaves it.
        ResourceError: There is no room to unpack a tar archive.
    """
    if path.is_dir():
        return FolderTree(path.resolve())
    if path.name.lower().endswith(".zip"):
        return ZipTree(path.resolve())
    if _TAR_NAME.search(path.name):
        return FolderTree(_unpacked(path.resolve(), opening), shown=str(path.resolve()))
    raise DataError(f"data: got {path}, expected a folder, .zip, .tar (.gz, .bz2, .xz) or .csv")


def refuse_escape(archive: Path, member: str) -> None:
    """Refuse a member's name that points outside its archive.

    Args:
        archive: The archive, for the message.
        member: The name as it is stored.

    Raises:
        DataError: The name is absolute, has a drive letter or climbs up.
    """
    parts = re.split(r"[/\\]", member)
    if member.startswith(("/", "\\")) or ".." in parts or re.match(r"[A-Za-z]:", member):
        raise DataError(f"{archive.name}: member '{member}' leaves the archive, expected relative paths")


def stamp_of(path: Path) -> str:
    """Write down what tells one version of a file from the next, without reading it."""
    found = path.stat()
    return f"{found.st_size}.{found.st_mtime_ns}.{found.st_ctime_ns}"


class ZipTree(Tree):
    """A zip archive, read in place; may be pickled, each process opens it for itself."""

    def __init__(self, path: Path, prefix: str = "") -> None:
        self.path = path
        self.prefix = prefix
        self._file: zipfile.ZipFile | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "prefix": self.prefix, "_file": None}

    @property
    def place(self) -> str:
        """The archive and the folder in it."""
        return f"{self.path}!{self.prefix}" if self.prefix else str(self.path)

    def _open(self) -> zipfile.ZipFile:
        if self._file is None:
            try:
                self._file = zipfile.ZipFile(self.path)
            except (zipfile.BadZipFile, OSError) as error:
                raise DataError(f"{self.path}: cannot be read as a zip archive ({error})") from None
        return self._file

    def stamps(self) -> dict[str, str]:
        """List every file with its checksum and the archive's own stamp."""
        archive = stamp_of(self.path)
        found = {}
        for info in self._open().infolist():
            refuse_escape(self.path, info.filename)
            if info.flag_bits & 1:
                raise DataError(f"{self.path.name}: member '{info.filename}' is encrypted, expected none")
            name = info.filename
            if info.is_dir() or not name.startswith(self.prefix) or any(map(is_litter, name.split("/"))):
                continue
            found[name.removeprefix(self.prefix)] = f"{info.file_size}.{info.CRC:08x}.{archive}"
        return found

    def read(self, key: str) -> bytes:
        """Return a member's bytes."""
        try:
            return self._open().read(self.prefix + key)
        except KeyError:
            raise FileNotFoundError(key) from None
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise OSError(str(error)) from None

    def below(self, folder: str) -> ZipTree:
        """Return the same members seen from one of the folders."""
        return ZipTree(self.path, f"{self.prefix}{folder}/")


def _unpacked(path: Path, opening: Opening) -> Path:
    """Unpack a tar archive below the cache, unless that was done before."""
    name = hashlib.sha256(f"{path}\n{stamp_of(path)}".encode()).hexdigest()[:16]
    target = opening.cache_dir / "unpacked" / name
    if target.is_dir():
        return target
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent)
        partial = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".partial", dir=target.parent))
    try:
        with _opened(path) as packed, disk_errors(target):
            _unpack(path, packed, partial, opening)
            _settle(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _settle(partial: Path, target: Path) -> None:
    try:
        partial.rename(target)
    except OSError:
        if not target.is_dir():  # another process was faster: its files are the same
            raise


def _opened(path: Path) -> IO[bytes]:
    """Open the user's archive; what goes wrong here is not about our cache."""
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def _unpack(path: Path, packed: IO[bytes], folder: Path, opening: Opening) -> None:
    """Write a tar archive's plain files below a folder."""
    size = path.stat().st_size
    try:
        with tarfile.open(fileobj=packed) as archive:
            for member in archive:
                refuse_escape(path, member.name)
                opening.progress("unpacking", packed.tell(), size)
                content = archive.extractfile(member) if member.isreg() else None
                if content is None:
                    continue
                with content, _created(path, member.name, folder) as file:
                    shutil.copyfileobj(content, file)
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: cannot be read as a tar archive ({error})") from None


def _created(path: Path, member: str, folder: Path) -> IO[bytes]:
    """Create a member's file; blame the archive where its name is one that no file can have."""
    target = folder / member
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return target.open("wb")
    except (OSError, ValueError) as error:  # a ValueError of a name with a NUL
        if isinstance(error, OSError) and error.errno not in _BAD_NAME:
            raise
        shown = ascii(member)[1:-1]
        shown = shown if len(shown) <= 80 else f"{shown[:40]}...{shown[-40:]}"
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path}: member '{shown}' cannot be unpacked ({reason})") from None
