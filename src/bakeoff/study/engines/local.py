"""Several runs at once on this machine, each in a process of its own.

A process does one run after the other, so that libraries are imported once. One that crashes takes
its run with it and nothing else: another is started in its place.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

import torch

from bakeoff.errors import ResourceError, StudyError
from bakeoff.records import RunRecord
from bakeoff.study.engines.engine import Ears, Ended, Order
from bakeoff.study.engines.relay import pass_on
from bakeoff.study.engines.worker import Said
from bakeoff.training.child import command, environment
from bakeoff.training.loop import Stopped
from bakeoff.training.machine import Machine
from bakeoff.training.parcel import DataKey, key_of, pack_data, pack_job
from bakeoff.training.run import record_failure

CRASH_SECONDS = 10.0  # from the end of a process's socket to its own, when it dumps its memory


class Local:
    """Runs in child processes.

    Args:
        workers: Processes at most.
        machine: As every run has it.
    """

    def __init__(self, workers: int, machine: Machine) -> None:
        self._workers = workers
        self._machine = machine
        self._children: list[_Child] = []
        self._started: deque[Order] = deque()  # of which nobody has heard yet
        self._ended: deque[Ended] = deque()
        self._stopping = False

    def __enter__(self) -> Local:
        if not sys.executable:
            raise ResourceError("--workers: this Python does not know its own program, expected 1")
        return self

    def __exit__(self, *error: object) -> None:
        for child in self._children:
            child.end()
        self._children.clear()

    @property
    def running(self) -> int:
        """Orders whose end was not told yet."""
        return sum(child.order is not None for child in self._children) + len(self._ended)

    @property
    def has_room(self) -> bool:
        """Whether a process is idle, or may be started."""
        return sum(child.order is not None for child in self._children) < self._workers

    def submit(self, order: Order) -> None:
        """Hand an order to an idle process."""
        child = next((one for one in self._children if one.order is None), None)
        if child is None:
            free = set(range(self._workers)) - {one.number for one in self._children}
            child = _Child(min(free), self._machine)
            self._children.append(child)
        child.give(order)
        if self._stopping:  # asked for before this run was there to hear it
            child.ask("stop")
        self._started.append(order)

    def wait(self, ears: Ears) -> Ended:
        """Pass on what the runs tell until one has ended."""
        while self._started:
            try:
                ears.on_start(self._started.popleft().job)
            except Stopped:
                self.stop()
        while not self._ended:
            by_socket: dict[Any, _Child] = {child.connection: child for child in self._children}
            by_print: dict[Any, _Child] = {
                child.printed: child for child in self._children if not child.printed.closed
            }
            for ready in wait([*by_socket, *by_print]):
                if ready in by_socket:
                    self._hear(by_socket[ready], ears)
                else:
                    by_print[ready].pass_on_prints(ears)
        return self._ended.popleft()

    def stop(self) -> None:
        """Ask every run to stop after its step."""
        if not self._stopping:
            self._stopping = True
            for child in self._children:
                child.ask("stop")

    def _hear(self, child: _Child, ears: Ears) -> None:
        """Take one message of a process, or its end."""
        try:
            said: Said = pickle.loads(child.connection.recv_bytes())
        except (EOFError, OSError):
            self._bury(child, ears)
            return
        order = child.order
        if order is None:
            return
        if said.kind in ("ended", "error"):
            child.order = None
            outcome = order.folder.read() if said.kind == "ended" else said.values
            if outcome is None:
                outcome = StudyError(f"{order.folder.path}: its record is gone; the same command continues")
            self._ended.append(Ended(order, outcome))
        else:
            self._pass_on(said, child, order, ears)

    def _pass_on(self, said: Said, child: _Child, order: Order, ears: Ears) -> None:
        """Tell the study's listener, and the process what he answers."""
        try:
            if pass_on(said, order, ears):
                self.stop()
        except Stopped:
            self.stop()
            child.ask("leave")

    def _bury(self, child: _Child, ears: Ears) -> None:
        """Record that a process has ended, which it does not do by itself."""
        self._children.remove(child)
        child.pass_on_prints(ears)
        code = child.end(patience=CRASH_SECONDS)
        if child.order is not None:
            self._ended.append(Ended(child.order, _left_by(child.order, how_it_ended(code))))


def _left_by(order: Order, reason: str) -> RunRecord:
    """Return the record of a run whose process is gone: its own if it had ended before, else of a failure."""
    record = order.folder.read()
    if record is not None and record.identity == order.job.identity:
        order.folder.clear_unfinished(checkpoint=record.status != "failed")
        return record
    return record_failure(order.job, order.folder, reason)


def how_it_ended(code: int) -> str:
    """Say in words how a process ended that should have gone on.

    >>> how_it_ended(-9)
    'its process was ended by SIGKILL; is memory short?'
    >>> how_it_ended(3)
    'its process ended itself with exit code 3'
    """
    if code >= 0:
        return f"its process ended itself with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"its process was ended by {name}" + ("; is memory short?" if name == "SIGKILL" else "")


class _Child:
    """One process, what it does, and what it knows."""

    def __init__(self, number: int, machine: Machine) -> None:
        self.number = number
        self.order: Order | None = None
        self._known: set[DataKey] = set()
        self._line = b""
        self.connection, its_end = Pipe()
        with its_end:
            self._process = _start(its_end, _environment(number, machine))
        if self._process.stdout is None:
            raise ResourceError("a worker has no pipe")
        self.printed = self._process.stdout
        os.set_blocking(self.printed.fileno(), False)

    def give(self, order: Order) -> None:
        """Send an order, with the task's images when they are new to the process."""
        self.order = order
        key = key_of(order.job.data)
        parcel = None if key in self._known else pack_data(order.job.data)
        self._known.add(key)
        self._send(("order", pack_job(order.job), key, parcel, order.folder, order.checkpoint_seconds))

    def ask(self, wish: str) -> None:
        """Ask the run to ``"stop"`` or to ``"leave"`` its evaluation."""
        if self.order is not None:
            self._send((wish,))

    def _send(self, message: tuple[Any, ...]) -> None:
        with suppress(OSError):  # it died; reading from it will say so
            self.connection.send_bytes(pickle.dumps(message))

    def pass_on_prints(self, ears: Ears) -> None:
        """Tell whole lines that the process has printed."""
        chunk: bytes | None = None
        while not self.printed.closed and (chunk := self.printed.read(65536)):
            self._line += chunk
        if chunk == b"":  # its end
            self.printed.close()
        *lines, self._line = self._line.replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            text = line.decode("utf-8", "replace").rstrip()
            if text:
                ears.on_remark(f"{self.order.job.name}: {text}" if self.order is not None else text)

    def end(self, patience: float = 0.0) -> int:
        """End the process.

        Args:
            patience: Seconds in which it may end by itself, which it has begun to.

        Returns:
            Its exit code.
        """
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        self._process.kill()
        code = self._process.wait()
        self.connection.close()
        self.printed.close()
        return code


def _start(its_end: Connection, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a worker, which has its end of the socket."""
    return subprocess.Popen(
        command("bakeoff.study.engines.worker", f"serve({its_end.fileno()})"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=variables,
        pass_fds=[its_end.fileno()], start_new_session=True, bufsize=0,
    )  # fmt: skip


def _environment(number: int, machine: Machine) -> Mapping[str, str]:
    """Give a worker a GPU of its own on a machine with several."""
    count = torch.cuda.device_count() if machine.device == "cuda" and machine.processes == 1 else 0
    if count < 2:
        return environment()
    cards = (os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))).split(",")
    return environment(CUDA_VISIBLE_DEVICES=cards[number % len(cards)])
