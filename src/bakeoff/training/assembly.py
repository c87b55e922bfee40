"""Starts the processes that share a run with this one, and ends them with it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

import torch
from torch import distributed

from bakeoff.training.child import command, end_with_parent, environment
from bakeoff.training.job import Job
from bakeoff.training.loop import Stopped
from bakeoff.training.parcel import pack_data, pack_job, unpack_job
from bakeoff.training.team import ALONE, Team, check_team, joined

LAST_WORDS_SECONDS = 5.0  # for a process that others miss, to end and say why
READY_SECONDS = 0.02  # between two looks at whether all are there


@contextmanager
def assembled(job: Job) -> Iterator[Team]:
    """Have as many processes share a run as its machine says.

    Args:
        job: The run's; this process leads.

    Yields:
        What takes steps together. A linear probe takes none, and is done alone.

    Raises:
        ConfigError: The run cannot be shared by so many.
        RuntimeError: One of the processes has ended before the run has.
    """
    size = job.machine.processes
    if size == 1 or job.candidate.probe:
        yield ALONE
        return
    check_team(job)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bakeoff-team-")))
        others = [stack.enter_context(_helper(job, rank, folder)) for rank in range(1, size)]
        _wait_until_ready(others, folder)
        try:
            with _on_this_machine(), joined(0, size, job.machine.torch_device, folder / "meeting") as team:
                yield team
        except RuntimeError as error:
            is_about_others = isinstance(error, distributed.DistError) or "gloo" in str(error)
            for rank, other in enumerate(others if is_about_others else (), start=1):
                said = _last_words(other, folder / f"{rank}.log")
                if said is not None:
                    raise RuntimeError(f"process {rank + 1} of {size} ended: {said}") from error
            raise


def _wait_until_ready(others: Sequence[subprocess.Popen[bytes]], folder: Path) -> None:
    """Wait until all processes are about to meet: who waits for one that has ended, waits for ever."""
    waiting = dict(enumerate(others, start=1))
    while waiting:
        for rank, other in list(waiting.items()):
            if _ready(folder, rank).exists():
                del waiting[rank]
            elif (code := other.poll()) is not None:
                said = _last_words(other, folder / f"{rank}.log") or f"exit code {code}"
                raise RuntimeError(f"process {rank + 1} of {len(others) + 1} ended: {said}")
        time.sleep(READY_SECONDS)


def _ready(folder: Path, rank: int) -> Path:
    return folder / f"{rank}.ready"


@contextmanager
def _helper(job: Job, rank: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that follows; what it prints goes to a file."""
    device = job.machine.device if job.machine.device == "cpu" else f"cuda:{rank}"
    own = replace(job, machine=replace(job.machine, device=device), timed=False)
    order = pack_job(own), pack_data(job.data), rank, folder / "meeting"
    with (folder / f"{rank}.log").open("wb") as log:
        process = subprocess.Popen(
            command(__name__, "serve()"), stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment(),
            start_new_session=True,
        )  # fmt: skip
    try:
        if process.stdin is not None:
            with suppress(BrokenPipeError):  # it died; the others will miss it
                pickle.dump(order, process.stdin)
                process.stdin.flush()
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdin is not None:
            with suppress(BrokenPipeError):
                process.stdin.close()


def _last_words(process: subprocess.Popen[bytes], log: Path) -> str | None:
    """Return the last line of a process that has ended by itself with an error; None for one that goes on."""
    try:
        code = process.wait(LAST_WORDS_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    if code == 0 or (code > 0 and not lines):
        return None
    return f"signal {-code}; is memory short?" if code < 0 else lines[-1].strip()[:300]


@contextmanager
def _on_this_machine() -> Iterator[None]:
    """Have gloo speak over the loopback interface: it asks for the machine's own name otherwise."""
    if "GLOO_SOCKET_IFNAME" in os.environ or sys.platform != "linux":
        yield
        return
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    try:
        yield
    finally:
        del os.environ["GLOO_SOCKET_IFNAME"]


def serve() -> None:
    """Follow a run that another process leads; the main function of a process that shares one."""
    from bakeoff.training.run import follow_run

    end_with_parent()
    packed, parcel, rank, meeting = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with, args=(sys.stdin.buffer,), daemon=True).start()
    job = unpack_job(packed, parcel.open())
    device = job.machine.torch_device
    if device.type == "cuda":
        torch.cuda.set_device(device)
    _ready(meeting.parent, rank).touch()
    with _on_this_machine(), joined(rank, job.machine.processes, device, meeting) as team, suppress(Stopped):
        follow_run(job, team)


def _end_with(pipe: IO[bytes]) -> None:
    """End this process when the other end of a pipe is gone."""
    pipe.read()
    os._exit(1)
