"""Decoding many images at once: one pass that reads, hashes, draws and writes rows.

The workers are plain child processes that speak pickle over their pipes. A
`multiprocessing` pool would either fork a process that holds threads and a GPU, or
import the user's script again, which an unguarded script or notebook does not survive.

Not here: what the rows are for, and where the file goes in the end.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from PIL import Image

from bakeoff.data.decode import Fit, is_dark_16_bit, open_image, square
from bakeoff.data.source import InMemory, Reader
from bakeoff.errors import ResourceError

CHUNK = 256  # images per message, at most: some tenths of a second for small ones
_CHUNK_BYTES = 32_000_000  # of pixels per message, so that large images do not fill the memory
WORTHWHILE = 2000  # images; below, starting a process costs more than it gives

Chunk = tuple[int, Sequence[str]]  # the first row, and the keys of the rows from there


@dataclass(frozen=True)
class Job:
    """What every worker must know: how to read, how to draw, where rows go."""

    reader: Reader
    size: int
    fit: Fit
    rows_file: Path  # exists already; row i begins at byte i * size * size * 3


@dataclass(frozen=True, slots=True)
class Seen:
    """What the pass found out about one image."""

    digest: str  # SHA-256 of the file's bytes, or of the pixels of an image without a file
    width: int = 0
    height: int = 0
    mode: str = ""
    reason: str = ""  # why it cannot be read; empty when it can
    dark: bool = False  # 16 bits of which 12 are used: almost black


def decode_rows(job: Job, start: int, keys: Sequence[str]) -> list[Seen]:
    """Draw consecutive images and write them as rows ``start``, ``start + 1``, ...

    Args:
        job: How to read, draw and write.
        start: The first row.
        keys: One per row.

    Returns:
        What was found out, per image; a row whose image cannot be read stays black.

    Raises:
        OSError: The rows cannot be written.
    """
    rows_BHWC = np.zeros((len(keys), job.size, job.size, 3), dtype=np.uint8)
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # broken EXIF and odd palettes; the pixels are sound
        for row_HWC, key in zip(rows_BHWC, keys, strict=True):
            seen.append(_decode_one(job, key, row_HWC))
    with job.rows_file.open("r+b") as file:
        file.seek(start * job.size * job.size * 3)
        file.write(rows_BHWC.data)
    return seen


def content_digest(content: bytes | Image.Image) -> str:
    """Hash a file's bytes, or the pixels of an image that never was a file; SHA-256, hexadecimal."""
    if isinstance(content, Image.Image):
        content = f"{content.mode}{content.size}".encode() + content.tobytes()
    return hashlib.sha256(content).hexdigest()


def _decode_one(job: Job, key: str, row_HWC: np.ndarray[Any, np.dtype[np.uint8]]) -> Seen:
    digest = ""
    try:
        content = job.reader.read(key)
        digest = content_digest(content)
        image = content if isinstance(content, Image.Image) else open_image(content)
        row_HWC[:] = square(image, job.size, job.fit)
    except OSError as error:
        return Seen(digest, reason=f"unreadable ({error.strerror or error})")
    except ValueError as error:
        return Seen(digest, reason=str(error))
    return Seen(digest, image.width, image.height, image.mode, dark=is_dark_16_bit(image))


def decode_all(job: Job, keys: Sequence[str], workers: int, on_rows: Callable[[int], None]) -> list[Seen]:
    """Draw all images into the rows file.

    Args:
        job: How to read, draw and write.
        keys: One per row, in the order of the rows.
        workers: Processes at most; few images, or images without files, need only this one.
        on_rows: Told how many rows were finished, each time some are.

    Returns:
        What was found out, in the order of the keys.

    Raises:
        OSError: The rows cannot be written.
        ResourceError: A worker process died.
    """
    step = max(1, min(CHUNK, _CHUNK_BYTES // (3 * job.size**2)))
    chunks = [(start, keys[start : start + step]) for start in range(0, len(keys), step)]
    alone = workers <= 1 or len(keys) < WORTHWHILE or not sys.executable
    seen: list[Seen] = []
    with ExitStack() as stack:
        if alone or isinstance(job.reader, InMemory):
            results: Iterable[list[Seen]] = (decode_rows(job, *chunk) for chunk in chunks)
        else:
            results = stack.enter_context(_processes(job, min(workers, len(chunks))))(chunks)
        for part in results:
            seen.extend(part)
            on_rows(len(part))
    return seen


@contextmanager
def _processes(job: Job, count: int) -> Iterator[Callable[[Sequence[Chunk]], Iterable[list[Seen]]]]:
    """Start child processes; a thread of ours waits on each, and all are ended at the end."""
    children: list[subprocess.Popen[bytes]] = []
    idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
    threads = ThreadPoolExecutor(count)

    def ask(chunk: Chunk) -> list[Seen]:
        child = idle.get()
        try:
            return _ask(child, chunk)
        finally:
            idle.put(child)

    try:
        for _ in range(count):
            children.append(_child())
            _send(children[-1], job)
            idle.put(children[-1])
        yield lambda chunks: threads.map(ask, chunks)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        for child in children:
            child.kill()
        threads.shutdown(wait=True)
        for child in children:
            _close(child)


def _close(child: subprocess.Popen[bytes]) -> None:
    """Close an ended worker's pipes and take its exit code, so that nothing of it stays."""
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):  # what was still to be sent to it
                pipe.close()
    child.wait()


def _child() -> subprocess.Popen[bytes]:
    """Start a worker that sees the same packages as this process."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    # -P: otherwise a queue.py or types.py of the user's, in the working folder, would come first
    command = [sys.executable, "-P", "-c", "from bakeoff.data.workers import serve; serve()"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


def _send(child: subprocess.Popen[bytes], message: Any) -> None:
    if child.stdin is None:
        raise ResourceError("a decode worker has no pipe")
    with suppress(BrokenPipeError):  # it died; reading its answer will say so
        pickle.dump(message, child.stdin)
        child.stdin.flush()


def _ask(child: subprocess.Popen[bytes], chunk: Chunk) -> list[Seen]:
    """Have a chunk decoded; raise what the worker met, or ResourceError when it died."""
    _send(child, chunk)
    try:
        answer: list[Seen] | Exception = pickle.load(child.stdout)  # type: ignore[arg-type]  # it is a pipe
    except (EOFError, pickle.UnpicklingError):
        code = child.wait()
        raise ResourceError(f"a decode worker died (exit code {code}); is memory short?") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def serve() -> None:
    """Answer chunks from standard input until it ends; the main function of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us when the user stops it
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a decoder prints may get between the answers
    try:
        job: Job = pickle.load(questions)
        while True:
            chunk: Chunk = pickle.load(questions)
            pickle.dump(_answer(job, chunk), answers)
            answers.flush()
    except (EOFError, BrokenPipeError):
        return


def _answer(job: Job, chunk: Chunk) -> list[Seen] | Exception:
    try:
        return decode_rows(job, *chunk)
    except Exception as error:  # whatever it is, the parent raises it
        return error
