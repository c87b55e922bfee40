"""One thread that computes, and requests that share its batches.

Whoever has images waits for their probabilities. The thread takes the images of as many
requests as are there and fit; while it knows that more are being decoded it waits for them, two
milliseconds at most. What is promised is that every answer belongs to its request.

Shape letters: N images, H rows, W columns, K classes.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bakeoff.deploy.serving.refusals import Refusal

LARGEST = 64  # images of a batch; more were not faster, and cost memory
PATIENCE = 0.002  # seconds in which a batch may still grow
_MEMORY = 0.9  # of earlier batches in the rate that a refused client's wait is computed from

Images = NDArray[np.uint8]
Rows = NDArray[np.float32]
Compute = Callable[[Images], Rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCost:
    """What one batch took."""

    images: int
    requests: int
    seconds: float  # on the clock
    cpu_seconds: float  # of the computing thread itself, without the threads that help it


@dataclass(slots=True)
class Admission:
    """The room that a request has in the queue."""

    coming: int  # of its images, those that are not here yet


@dataclass(slots=True)
class _Job:
    """Images of one request, all for the same model."""

    work: str
    images_NHWC: Images
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Rows]
    since: float = field(default_factory=time.monotonic)


class Batcher:
    """Gathers images into batches and computes them in one thread."""

    def __init__(
        self,
        works: Mapping[str, Compute],
        *,
        max_queue: int,
        largest: int = LARGEST,
        patience: float = PATIENCE,
        listener: Callable[[BatchCost], None] = lambda cost: None,
    ) -> None:
        """Start the thread.

        Args:
            works: What can be computed, by name: a model's probabilities, another's.
            max_queue: Images that may be admitted at once.
            largest: Images of a batch.
            patience: Seconds for which a batch that could still grow waits.
            listener: Hears of every batch, in the computing thread.
        """
        self._works = dict(works)
        self._max_queue = max_queue
        self._largest = largest
        self._patience = patience
        self._listener = listener
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._admitted = 0  # images between admission and answer
        self._coming = 0  # ... of which so many are still being decoded
        self._rate = 0.0  # images a second, of late
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="bakeoff-compute", daemon=True)
        self._thread.start()

    @property
    def admitted(self) -> int:
        """Images that are being decoded, wait or are computed."""
        return self._admitted

    @contextmanager
    def admission(self, images: int) -> Iterator[Admission]:
        """Keep room for a request's images, from before they are decoded until they are answered.

        Args:
            images: How many.

        Yields:
            What `compute` takes them from; leaving gives the room back.

        Raises:
            Refusal: Too many images are there already.
        """
        with self._changed:
            if self._admitted + images > self._max_queue:
                raise Refusal(
                    "overload",
                    f"got {images} more with {self._admitted} images waiting, "
                    f"expected at most {self._max_queue} together (--max-queue)",
                    retry_after=self._seconds_until_room(),
                )
            self._admitted += images
            self._coming += images
        admission = Admission(images)
        try:
            yield admission
        finally:
            with self._changed:
                self._admitted -= images
                self._coming -= admission.coming
                self._changed.notify()  # a batch that waited for these waits no longer

    async def compute(self, work: str, images_NHWC: Images, admission: Admission) -> Rows:
        """Compute a row for each image.

        Args:
            work: What is to be computed, by its name.
            images_NHWC: All of one size; at most a batch is computed at once.
            admission: Of the request that they belong to.

        Returns:
            Of shape (N, ...), in the order of the images.
        """
        loop = asyncio.get_running_loop()
        jobs = [
            _Job(work, images_NHWC[start : start + self._largest], loop, loop.create_future())
            for start in range(0, len(images_NHWC), self._largest)
        ]
        arrived = min(admission.coming, len(images_NHWC))
        with self._changed:
            self._jobs.extend(jobs)
            self._coming -= arrived
            admission.coming -= arrived
            self._changed.notify()
        if len(jobs) == 1:
            return await jobs[0].answer
        return np.concatenate(await asyncio.gather(*(job.answer for job in jobs)))

    def close(self) -> None:
        """Compute what is waiting, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _seconds_until_room(self) -> int:
        """Guess when what waits now will be done: whole seconds, at least one, at most a minute."""
        return min(60, max(1, math.ceil(self._admitted / self._rate))) if self._rate else 1

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._jobs and not self._closed:
                    self._changed.wait()
                if not self._jobs:
                    return
                self._let_it_grow()
                batch = self._take()
            self._answer(batch)

    def _let_it_grow(self) -> None:
        """Wait while images are on their way that would fit, and patience lasts."""
        until = self._jobs[0].since + self._patience
        while self._coming and not self._closed:
            left = until - time.monotonic()
            if left <= 0 or sum(len(job.images_NHWC) for job in self._jobs) >= self._largest:
                return
            self._changed.wait(left)

    def _take(self) -> list[_Job]:
        """Take the oldest job, and those that can share its batch, the others keeping their order."""
        first = self._jobs[0]
        batch: list[_Job] = []
        left: list[_Job] = []
        room = self._largest
        for job in self._jobs:
            fits = job.work == first.work and len(job.images_NHWC) <= room
            if fits and job.images_NHWC.shape[1:] == first.images_NHWC.shape[1:]:
                batch.append(job)
                room -= len(job.images_NHWC)
            else:
                left.append(job)
        self._jobs = deque(left)
        return batch

    def _answer(self, batch: list[_Job]) -> None:
        """Compute a batch, and give every job its own rows, or all of them the error."""
        images = sum(len(job.images_NHWC) for job in batch)
        started, cpu_started = time.perf_counter(), time.thread_time()
        rows: Rows | None = None
        error: Exception | None = None
        try:
            parts = [job.images_NHWC for job in batch]
            rows = self._works[batch[0].work](parts[0] if len(parts) == 1 else np.concatenate(parts))
        except Exception as found:  # whatever it is, the thread lives on and the requests hear of it
            error = found
        cost = BatchCost(
            images=images, requests=len(batch), seconds=time.perf_counter() - started,
            cpu_seconds=time.thread_time() - cpu_started,
        )  # fmt: skip
        rate = images / max(cost.seconds, 1e-6)
        self._rate = _MEMORY * self._rate + (1 - _MEMORY) * rate if self._rate else rate
        self._listener(cost)
        _deliver(batch, rows, error)


def _deliver(batch: list[_Job], rows: Rows | None, error: Exception | None) -> None:
    """Hand the rows over to the loops that wait for them."""
    start = 0
    for job in batch:
        stop = start + len(job.images_NHWC)
        part = None if rows is None else rows[start:stop]
        start = stop
        try:
            job.loop.call_soon_threadsafe(_settle, job.answer, part, error)
        except RuntimeError:  # the loop has ended, and with it whoever waited
            continue


def _settle(answer: asyncio.Future[Rows], rows: Rows | None, error: Exception | None) -> None:
    if answer.done():  # given up meanwhile
        return
    if rows is None:
        answer.set_exception(error or RuntimeError("no rows"))
    else:
        answer.set_result(rows)
