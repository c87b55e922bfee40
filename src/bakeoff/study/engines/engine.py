"""What every engine does: it takes runs, tells how they go, and says when one has ended.

An engine does not know the study. It is handed orders that may start at once, and leaves what a
run makes in the run's folder; which run comes next, what is noted and written of its end is the
runner's business, so that every engine leaves the same study behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from bakeoff.errors import StudyError
from bakeoff.records import RunFolder, RunRecord
from bakeoff.study.progress import StudyListener
from bakeoff.training.job import Job
from bakeoff.training.loop import Step, Stopped


@dataclass(frozen=True, slots=True)
class Order:
    """One run to be done: from its checkpoint if there is one, to its record."""

    job: Job
    folder: RunFolder
    checkpoint_seconds: float  # of training that an interruption may cost


@dataclass(frozen=True, slots=True)
class Ended:
    """How an order has ended: with a record, whatever it says, or with what ends the whole study."""

    order: Order
    outcome: RunRecord | BaseException  # `Stopped` when it was asked to stop, its checkpoint written


class Engine(Protocol):
    """Does runs, as many at once as it has room for; a context that leaves no process behind."""

    def __enter__(self) -> Engine:
        """Make ready; nothing of the study is written before."""

    def __exit__(self, *error: object) -> None:
        """End whatever still runs, at once; it continues from its last checkpoint another time."""

    @property
    def running(self) -> int:
        """Orders that were submitted and of which `wait` has not told the end."""

    @property
    def has_room(self) -> bool:
        """Whether another order could start at once."""

    def submit(self, order: Order) -> None:
        """Take an order whose source, if it stands on one, has ended."""

    def wait(self, ears: Ears) -> Ended:
        """Wait for an order to end.

        Args:
            ears: Hear meanwhile of all orders that run: every step of them, or some where they
                are told from another process. Asked by them, the engine stops.

        Returns:
            How one of them has ended, in the order in which they do.
        """

    def stop(self) -> None:
        """Have all that runs stop after its step, with a checkpoint; `wait` tells of each."""


class Ears:
    """A study's listener as engines use it: its own errors are told as its own."""

    def __init__(self, listener: StudyListener) -> None:
        self.listener = listener

    @property
    def wants_stop(self) -> bool:
        """Whether the study is to stop, also while no run takes a step that could be answered."""
        return bool(getattr(self.listener, "wants_stop", False))

    def on_remark(self, text: str) -> None:
        """Pass on what a run has printed."""
        self.listener.on_remark(text)

    def on_start(self, job: Job) -> None:
        """Pass on that a run starts."""
        self.listener.on_run_start(job)

    def of(self, job: Job) -> RunEar:
        """Return what one run talks to."""
        return RunEar(job, self.listener)


@dataclass(frozen=True, slots=True)
class RunEar:
    """Passes on what one run tells, with its job."""

    job: Job
    listener: StudyListener

    def on_step(self, step: Step) -> bool:
        """Pass on a step."""
        with _listening():
            return self.listener.on_step(self.job, step)

    def on_epoch(self, row: dict[str, float]) -> None:
        """Pass on an epoch."""
        with _listening():
            self.listener.on_epoch(self.job, row)

    def on_evaluation(self, split: str, done: int, total: int) -> None:
        """Pass on an evaluation."""
        with _listening():
            self.listener.on_evaluation(self.job, split, done, total)


@contextmanager
def _listening() -> Iterator[None]:
    """Keep a listener's own error from being recorded as the failure of a candidate."""
    try:
        yield
    except (Stopped, OSError):
        raise
    except Exception as error:
        raise StudyError(
            f"listener: raised {type(error).__name__}: {error}; the same command continues"
        ) from error
