"""Which run may start next: the first of the plan whose source has ended.

Plain bookkeeping over positions, a few steps of it for each run however many there are.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from bakeoff.models.architecture import OnSource
from bakeoff.study.progress import PlannedRun


class Schedule:
    """Walks through a plan, in its order as far as sources allow.

    Args:
        sources: For each run the position of the run that it stands on; None where it stands on none
            of this plan.
    """

    def __init__(self, sources: Sequence[int | None]) -> None:
        self._on: dict[int, list[int]] = {}  # from a source to those who wait for it
        self._ready: list[int] = []  # a heap
        for position, source in enumerate(sources):
            if source is None:
                self._ready.append(position)  # rising, so it is a heap already
            else:
                self._on.setdefault(source, []).append(position)

    @property
    def has_next(self) -> bool:
        """Whether a run may start."""
        return bool(self._ready)

    def take(self) -> int:
        """Return the first run that may start, once.

        Returns:
            Its position in the plan.

        Raises:
            IndexError: There is none.
        """
        return heapq.heappop(self._ready)

    def end(self, position: int) -> None:
        """Note that a run has ended, in whatever way: what stands on it may start."""
        for waiting in self._on.pop(position, ()):
            heapq.heappush(self._ready, waiting)


def sources_of(planned: Sequence[PlannedRun]) -> list[int | None]:
    """Find for each run of a plan the one whose weights it starts from.

    Args:
        planned: All runs of a study that are asked for.

    Returns:
        Positions; None for a run that stands on nothing, or on a run of another study.
    """
    known = {(run.job.task.name, run.job.candidate.name, run.job.seed): i for i, run in enumerate(planned)}
    found: list[int | None] = []
    for run in planned:
        job = run.job
        on_source = isinstance(job.architecture, OnSource) and not job.candidate.is_on_earlier
        name = (job.task.name, job.candidate.source or "", job.seed)
        found.append(known.get(name) if on_source else None)
    return found
