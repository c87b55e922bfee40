"""A process beside the study's own: it takes orders, does them, and tells how they go.

It is a plain child that speaks pickle over a socket, for the reasons in `data.workers`. It ends when the
socket does, so that a study killed in any way leaves none behind; what it prints, the study shows.
"""

from __future__ import annotations

import os
import pickle
import queue
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from bakeoff.data.prepare import TaskData
from bakeoff.errors import BakeoffError, StudyError
from bakeoff.study.engines.engine import Order
from bakeoff.study.engines.here import carry_out
from bakeoff.training.child import end_with_parent
from bakeoff.training.loop import Step, Stopped
from bakeoff.training.parcel import DataKey, unpack_job

STEP_SECONDS = 0.25  # between two steps that are told


@dataclass(frozen=True, slots=True)
class Said:
    """What a run tells: a step, an epoch's row, an evaluation."""

    kind: str
    values: Any


@dataclass
class Teller:
    """Hears a run in its own process, tells it elsewhere, and stops it when that is asked for.

    Args:
        tell: Sends what was heard.
        stop: Set when the run is to stop after its step.
        leave: Set when it is to stop in an evaluation, too.
    """

    tell: Callable[[Said], None]
    stop: threading.Event = field(default_factory=threading.Event)
    leave: threading.Event = field(default_factory=threading.Event)
    _step_told: float = 0.0
    _evaluation_told: float = 0.0  # apart: epochs may be so short that each would silence the other

    def on_step(self, step: Step) -> bool:
        """Tell some of the steps."""
        now = time.monotonic()
        if now - self._step_told >= STEP_SECONDS:
            self._step_told = now
            plain = (step.epoch, step.steps, step.steps_total, float(step.loss), step.images_seen,
                     step.seconds, step.progress)  # fmt: skip
            self.tell(Said("step", plain))
        return self.stop.is_set()

    def on_epoch(self, row: dict[str, float]) -> None:
        """Tell every epoch."""
        self.tell(Said("epoch", row))

    def on_evaluation(self, split: str, done: int, total: int) -> None:
        """Tell some of an evaluation, its end among it."""
        now = time.monotonic()
        if now - self._evaluation_told >= STEP_SECONDS or done >= total:
            self._evaluation_told = now
            self.tell(Said("evaluation", (split, done, total)))
        if self.leave.is_set():
            raise Stopped


def serve(descriptor: int) -> None:
    """Do orders from a socket until it ends; the main function of a worker."""
    end_with_parent()
    connection = Connection(descriptor)
    sending = threading.Lock()

    def send(message: object) -> None:
        with sending:
            connection.send_bytes(pickle.dumps(message))

    teller = Teller(send)
    orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
    known: dict[DataKey, TaskData] = {}
    threading.Thread(target=_listen, args=(connection, orders, teller), daemon=True).start()
    while True:
        send(_outcome(orders.get(), known, teller))


def _outcome(order: Any, known: dict[DataKey, TaskData], teller: Teller) -> Said:
    """Do an order; the record is in its folder, and what is nobody's fault is told."""
    packed, key, parcel, folder, checkpoint_seconds = order
    try:
        if parcel is not None:
            known[key] = parcel.open()
        carry_out(Order(unpack_job(packed, known[key]), folder, checkpoint_seconds), teller)
    except Exception as error:
        return Said("error", that_can_travel(error))
    return Said("ended", None)


def that_can_travel(error: Exception) -> Exception:
    """Return an error as it is, or what it says when it is of a kind that another process may not know."""
    if isinstance(error, BakeoffError | Stopped):
        return error
    traceback.print_exception(error)
    return StudyError(f"{type(error).__name__}: {error}; the same command continues")


def _listen(connection: Connection, orders: queue.SimpleQueue[Any], teller: Teller) -> None:
    """Take orders and wishes; end the process when there will be no more."""
    try:
        while True:
            kind, *values = pickle.loads(connection.recv_bytes())
            if kind == "order":  # wishes that come behind it are about it
                teller.stop.clear()
                teller.leave.clear()
                orders.put(tuple(values))
            else:
                (teller.leave if kind == "leave" else teller.stop).set()
    except (EOFError, OSError):
        os._exit(1)  # whoever asked is gone, and so is the claim on the folder
