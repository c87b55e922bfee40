"""The plainest engine: one run after the other, in this process."""

from __future__ import annotations

from collections import deque

from bakeoff.errors import StudyError
from bakeoff.records import RunRecord
from bakeoff.study.engines.engine import Ears, Ended, Order
from bakeoff.training.external import run_program
from bakeoff.training.run import RunListener, train_run
from bakeoff.training.search import run_search


class Here:
    """Does an order while it is waited for."""

    def __init__(self) -> None:
        self._orders: deque[Order] = deque()

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *error: object) -> None:
        self._orders.clear()

    @property
    def running(self) -> int:
        """Orders that wait for `wait`."""
        return len(self._orders)

    @property
    def has_room(self) -> bool:
        """Whether there is no order yet."""
        return not self._orders

    def submit(self, order: Order) -> None:
        """Take an order."""
        self._orders.append(order)

    def wait(self, ears: Ears) -> Ended:
        """Do the order; what it raises, that is no candidate's failure, is its outcome."""
        order = self._orders.popleft()
        try:
            ears.on_start(order.job)
            return Ended(order, carry_out(order, ears.of(order.job)))
        except Exception as error:
            return Ended(order, error)

    def stop(self) -> None:
        """Nothing runs beside who says this."""
        self._orders.clear()


def carry_out(order: Order, listener: RunListener) -> RunRecord:
    """Do a run in this process.

    Args:
        order: Which.
        listener: Hears of it, and may stop it.

    Returns:
        Its record, which is written.

    Raises:
        Stopped: The listener asked for it; the checkpoint is written.
        BakeoffError: Something that is no candidate's fault: lost images, a full disk.
    """
    job, folder = order.job, order.folder
    try:
        if job.is_external:
            return run_program(job, folder, listener.on_evaluation)
        if job.is_search:
            return run_search(job, folder, listener, checkpoint_seconds=order.checkpoint_seconds)
        return train_run(job, folder, listener, checkpoint_seconds=order.checkpoint_seconds)
    except OSError as error:
        raise StudyError(f"{folder.path}: {error.strerror or error}; the same command continues") from error
