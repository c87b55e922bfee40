"""What happens on a node of a cluster: look at it, bring images to it, do one run on it.

Nothing is assumed of the node but the same packages. A run works in a folder of its own there; whatever
must outlive the node leaves it at once, for the study's folder or for a store.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Protocol

import torch

from bakeoff.data.disk import disk_errors
from bakeoff.errors import DataError
from bakeoff.homes import cache_home
from bakeoff.models.architecture import Architecture, External, OnBackbone, OnSource, user_files
from bakeoff.records import RunFolder
from bakeoff.records.atomic import writing
from bakeoff.records.run import RunName
from bakeoff.study.engines.engine import Order
from bakeoff.study.engines.here import carry_out
from bakeoff.study.engines.store import Store
from bakeoff.study.engines.worker import Said, Teller, that_can_travel
from bakeoff.training.job import Job
from bakeoff.training.parcel import DataParcel, Mapped, pack_job, unpack_job

SCRATCH = "bakeoff-run-"  # begins the name of a folder in which a run works, before the process's number

Files = dict[str, bytes]  # from a path relative to a run's folder to contents


class Post(Protocol):
    """Takes what a run says to the study's process, which may be on another machine."""

    def tell(self, said: Said) -> str:
        """Deliver it; return what is wished: nothing, ``"stop"`` or ``"leave"``."""


@dataclass(frozen=True, slots=True)
class Freight:
    """A run on its way to a node, with the files that it needs and that are no images."""

    packed: bytes  # the job
    name: RunName
    identity: str  # of the run
    fingerprint: str  # of its images, which travel apart from it, once for a task
    files: Files  # the user's own, relative to the study file's folder
    source: Files  # the weights that it starts from, and the record of the run that has left them
    begun: Files  # of the run's folder: all that an interrupted run has left to go on from
    checkpoint_seconds: float
    store: Store | None


def load_freight(order: Order, store: Store | None) -> Freight:
    """Pack a run for a node.

    Args:
        order: The run.
        store: Where its files go instead of the study's folder until it has ended; None is the folder.

    Returns:
        All of it but the images.
    """
    job, folder = order.job, order.folder
    return Freight(
        pack_job(job), job.key, job.identity, job.data.fingerprint, _own_files(job),
        _source_files(job.architecture), _begun(folder), order.checkpoint_seconds, store,
    )  # fmt: skip


def _begun(folder: RunFolder) -> Files:
    """Read what a run has left that has not ended.

    What an external program was given is not among it: it starts from its images again.
    """
    left_out = {folder.record_path, folder.weights_path, folder.predictions_path, folder.probabilities_path}
    found = [
        path
        for path in sorted(folder.path.rglob("*"))
        if path.is_file() and path not in left_out and not path.name.endswith(".partial")
        and not {folder.tensorboard_path, folder.exchange_path} & {*path.parents}
    ]  # fmt: skip
    return {path.relative_to(folder.path).as_posix(): path.read_bytes() for path in found}


def _own_files(job: Job) -> Files:
    """Read the files beside the study's that a candidate needs and that lie in its folder."""
    names = [name.rpartition(":")[0] for name in user_files(job.architecture)]
    if isinstance(job.architecture, External):
        names += job.architecture.files(job.base_dir)
    inside = [name for name in names if _is_inside(name)]
    return {name: (job.base_dir / name).read_bytes() for name in inside}


def _is_inside(name: str) -> bool:
    """Tell whether a path stays in the folder that it starts from."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and not name.startswith("~")


def _source_files(architecture: Architecture) -> Files:
    """Read the weights that a candidate starts from, where they are the study's or the user's own file."""
    weights = architecture.weights if isinstance(architecture, OnSource | OnBackbone) else None
    if weights is None:
        return {}
    record = RunFolder(weights.parent).record_path
    paths = [weights, record] if isinstance(architecture, OnSource) else [weights]
    # What is missing is missing there, too: the run will say so in the same words.
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


def bring_images(data: DataParcel, fingerprint: str, chunks: Iterable[bytes] | None) -> str:
    """See that a task's decoded images lie on this node, in its cache.

    Args:
        data: The images, described.
        fingerprint: Theirs.
        chunks: Their pixels, in order; None when nobody has sent them yet.

    Returns:
        How: ``"there"`` when the file is seen from here, ``"cached"`` when an earlier run has brought them,
        ``"brought"`` when they were written now, ``"missing"`` when they would have to be.

    Raises:
        ResourceError: The node's cache cannot be written to.
        DataError: What came is of another size.
    """
    if not isinstance(data.images, Mapped) or _seen(data.images):
        return "there"
    target = _cached(fingerprint)
    if _seen(Mapped(target, _shape(data))):
        return "cached"
    if chunks is None:
        return "missing"
    with disk_errors(target), writing(target) as partial_file, partial_file.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)
    if not _seen(Mapped(target, _shape(data))):
        raise DataError(f"data: {target} holds other images than were sent")
    return "brought"


def _cached(fingerprint: str) -> Path:
    return cache_home() / "images" / f"{fingerprint}.u8"


def _shape(data: DataParcel) -> tuple[int, ...]:
    return data.images.shape


def _seen(images: Mapped) -> bool:
    """Tell whether an array's file can be mapped from here."""
    try:
        return len(images.open()) > 0
    except DataError:
        return False


class SentFolder(RunFolder):
    """A run's folder on a node: what must not be lost with the node is sent away.

    Args:
        path: On the node.
        name: Of the run; None takes any.
        send: Takes a file's name in the folder and its contents, and returns when they are safe.
    """

    def __init__(self, path: Path, name: RunName | None, send: Callable[[str, bytes], None]) -> None:
        super().__init__(path, name)
        self._send = send

    def keep(self, path: Path) -> None:
        """Send a file away."""
        self._send(path.relative_to(self.path).as_posix(), path.read_bytes())

    def within(self, name: str) -> RunFolder:
        """Return a folder inside whose files are sent away, too."""
        return SentFolder(self.path / name, None, lambda file, content: self._send(f"{name}/{file}", content))


def do_run(freight: Freight, data: DataParcel, post: Post) -> Said:
    """Do a run on this node.

    Args:
        freight: The run.
        data: Its task's images, described.
        post: Hears how it goes, and says when to stop.

    Returns:
        ``"ended"`` with all files of the run's folder (their names alone where they went to a store),
        or ``"error"`` with what is no fault of the run's.
    """
    teller = _NodeTeller(post)
    try:
        _remove_left_behind()
        with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}{os.getpid()}-") as scratch, _heard(teller):
            return Said("ended", _do(freight, data, Path(scratch), teller))
    except Exception as error:
        return Said("error", that_can_travel(error))


def _do(freight: Freight, data: DataParcel, scratch: Path, teller: _NodeTeller) -> Files:
    """Unpack a run, carry it out, and return the files that it leaves."""
    store = freight.store

    def send(name: str, content: bytes) -> None:
        teller.tell(Said("file", (name, content)))

    folder = SentFolder(scratch / "run", freight.name, send if store is None else store.put)
    _write(folder.path, freight.begun)
    if store is not None:
        further = {
            name: content
            for name, content in store.begun(freight.begun).items()
            if _how_far(name, content, freight) >= _how_far(name, freight.begun.get(name), freight)
        }
        _write(folder.path, further)
    job = _unpacked(freight, data, scratch)
    carry_out(Order(job, folder, freight.checkpoint_seconds), teller)
    left = [path for path in sorted(folder.path.rglob("*")) if path.is_file()]
    files = {path.relative_to(folder.path).as_posix(): path.read_bytes() for path in left}
    if store is None:
        return files
    for name, content in files.items():
        store.put(name, content)
    return dict.fromkeys(files, b"")


def _how_far(name: str, content: bytes | None, freight: Freight) -> float:
    """Tell how far a file of an interrupted run has come: by that the later of two is found.

    What is written line by line, a journal or a list of readings, only grows.
    """
    if content is None:
        return -1.0
    try:
        if name == "checkpoint.pt":
            saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            return float(saved["plain"]["steps"]) if saved["identity"] == freight.identity else 0.0
        if name == "trials.clock.json":
            return float(json.loads(content)["seconds"])
    except Exception:  # damaged; torch raises many kinds
        return 0.0
    return float(len(content))


def _remove_left_behind() -> None:
    """Remove the folders of runs whose process was killed on this machine."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        process = folder.name.removeprefix(SCRATCH).partition("-")[0]
        if process.isdigit() and not _lives(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def _write(folder: Path, files: Files) -> None:
    for name, content in files.items():
        with writing(folder / name) as partial_file:
            partial_file.write_bytes(content)


def _unpacked(freight: Freight, data: DataParcel, scratch: Path) -> Job:
    """Have a job find everything on this node: images, the user's files, the weights that it starts from."""
    mapped = None
    if isinstance(data.images, Mapped) and not _seen(data.images):
        mapped = Mapped(_cached(freight.fingerprint), _shape(data))
    job = unpack_job(freight.packed, data.open(mapped))
    _write(scratch / "base", freight.files)
    base_dir = scratch / "base" if freight.files else job.base_dir
    architecture = job.architecture
    if isinstance(architecture, OnSource | OnBackbone) and architecture.weights is not None:
        _write(scratch / "source", freight.source)
        architecture = replace(architecture, weights=scratch / "source" / architecture.weights.name)
    return replace(job, base_dir=base_dir, architecture=architecture, cache_dir=None)


class _NodeTeller(Teller):
    """Tells a run's news to the study's process, and hears in return whether to stop."""

    def __init__(self, post: Post) -> None:
        self._post = post
        super().__init__(self.tell_and_hear)

    def tell_and_hear(self, said: Said) -> None:
        """Deliver news, and take the answer to heart."""
        wish = self._post.tell(said)
        if wish:
            self.stop.set()
        if wish == "leave":
            self.leave.set()


@contextmanager
def _heard(teller: _NodeTeller) -> Iterator[None]:
    """Tell what a run prints, line by line."""
    lines = _Lines(partial(_tell_line, teller))
    with redirect_stdout(lines), redirect_stderr(lines):
        yield


def _tell_line(teller: _NodeTeller, line: str) -> None:
    if line.strip():
        teller.tell(Said("line", line.rstrip()))


class _Lines(io.TextIOBase):
    """A stream that hands on whole lines."""

    def __init__(self, hand_on: Callable[[str], None]) -> None:
        self._hand_on = hand_on
        self._line = ""

    def write(self, text: str) -> int:
        """Keep what is no whole line yet."""
        *lines, self._line = (self._line + text.replace("\r", "\n")).split("\n")
        for line in lines:
            self._hand_on(line)
        return len(text)
