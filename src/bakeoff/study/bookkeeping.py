"""What a study at work does beside its runs: which is next, and what is written when one has ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager

from bakeoff.evidence.results import write_results
from bakeoff.evidence.runs import Key, Run, as_recorded, load_runs
from bakeoff.records import RunFolder, RunRecord, StudyFolder
from bakeoff.records.digests import forget_run, note_digests, note_files, note_runs, noted_runs, run_digests
from bakeoff.spec import StudySpec
from bakeoff.study.attribution import keep_attributions
from bakeoff.study.engines import Order
from bakeoff.study.engines.schedule import Schedule, sources_of
from bakeoff.study.examples import keep_examples, keep_label_errors
from bakeoff.study.progress import PlannedRun, StudyListener
from bakeoff.training.job import Job

FREE_SECONDS = 0.25  # of upkeep, in which every run is noted at once
SHARE = 0.002  # of a study's time, that upkeep may take after these


class Bookkeeping:
    """The bookkeeping of a study at work: orders to give, and what is written when a run has ended."""

    def __init__(
        self,
        planned: Sequence[PlannedRun],
        folder: StudyFolder,
        spec: StudySpec,
        listener: StudyListener,
        hasher: Executor,
    ) -> None:
        self.planned = planned
        self.folder = folder
        self.spec = spec
        self.listener = listener
        self._hasher = hasher  # digests are made while runs are waited for
        self.schedule = Schedule(sources_of(planned))
        self.records: dict[int, RunRecord] = {}
        self._position = {run.job.key: number for number, run in enumerate(planned)}
        self._open = Counter(run.job.task.name for run in planned)  # runs of each task that have not ended
        self._unshown: list[str] = []  # tasks whose runs have all ended
        self._noted = noted_runs(folder)  # when this command began; it alone writes the lock
        self._unnoted: list[tuple[RunFolder, Future[dict[str, str]]]] = []
        self._upkeep = Upkeep()
        # What the tables need not read: runs that this command has scored, and None for those to come.
        self._known: dict[Key, Run | None] = {
            run.job.key: None for run in planned if not run_folder_of(folder, run.job).record_path.exists()
        }

    def next_order(self, checkpoint_seconds: float) -> Order | None:
        """Take the next run; None when it has ended before."""
        position = self.schedule.take()
        run, run_folder = self.planned[position], run_folder_of(self.folder, self.planned[position].job)
        if run.record is not None:  # killed behind its record, it left its checkpoint
            run_folder.clear_unfinished()
            if not self._is_noted(run_folder):
                note_runs(self.folder, [run_folder], late=True)
            self._end(position, run.record)
            return None
        if self._is_noted(run_folder):
            forget_run(self.folder, run_folder)
        old = run_folder.read()
        if old is not None and old.identity == run.job.identity:  # failed before
            run_folder.reopen()
        elif old is not None:  # of a model file that has changed since
            run_folder.discard()
        return Order(run.job, run_folder, checkpoint_seconds)

    def close(self, order: Order, record: RunRecord) -> None:
        """Note and tell that a run has ended."""
        self._unnoted.append((order.folder, self._hasher.submit(run_digests, self.folder, order.folder)))
        self._known[order.job.key] = as_recorded(record, order.folder)
        if self._upkeep.is_due:
            with self._upkeep.timed():
                self.write_notes()
                self.write_tables()
        self.listener.on_run_end(order.job, record)
        self._end(self._position[order.job.key], record)

    def write_notes(self) -> None:
        """Note in the lock what has ended since the last time.

        Raises:
            StudyError: A run's files cannot be read; all other runs are noted.
        """
        if not self._unnoted:
            return
        waiting, self._unnoted = self._unnoted, []
        read = [(run, digests) for run, digests in waiting if digests.exception() is None]
        note_digests(self.folder, [(run, digests.result()) for run, digests in read])
        for _, digests in waiting:
            digests.result()

    def write_tables(self) -> None:
        """Write the tables of all runs that have ended so far."""
        write_results(self.folder, self.spec, load_runs(self.folder, self.spec, known=self._known))

    def _is_noted(self, run: RunFolder) -> bool:
        return run.path.relative_to(self.folder.path).as_posix() in self._noted

    def _end(self, position: int, record: RunRecord) -> None:
        self.records[position] = record
        self.schedule.end(position)
        task = self.planned[position].job.task.name
        self._open[task] -= 1
        if not self._open[task]:
            self._unshown.append(task)

    def keep_shown(self) -> None:
        """Keep what the report shows of tasks whose runs have ended; nothing else may be at work."""
        if self._unshown:
            self.write_notes()
        while self._unshown:
            task = self._unshown.pop(0)
            keep_task(self.folder, [run.job for run in self.planned if run.job.task.name == task])


class Upkeep:
    """Keeps what grows with every run, lock and tables, from taking a share of a large study's time.

    They are written after every run until that has taken a quarter of a second in all, and then as
    often as it stays below a fifth of a percent of the time.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._spent = 0.0

    @property
    def is_due(self) -> bool:
        """Whether there is time for it."""
        return self._spent < FREE_SECONDS + SHARE * (time.monotonic() - self._began)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Charge the time of what is done within."""
        started = time.monotonic()
        yield
        self._spent += time.monotonic() - started


def run_folder_of(folder: StudyFolder, job: Job) -> RunFolder:
    """Return where a job's run lies in its study."""
    return folder.run(job.task.name, job.candidate.name, job.seed)


def keep_task(folder: StudyFolder, jobs: Sequence[Job]) -> None:
    """Keep what the report shows of a task whose runs have ended.

    Each file is noted before the next is made: attributions may take minutes, and who stops there has
    a study whose files are those of its lock.

    Args:
        folder: The study's.
        jobs: All of one task.
    """
    task, data = jobs[0].task.name, jobs[0].data
    steps: list[Callable[[], None]] = [
        lambda: keep_examples(folder, task, data),
        lambda: keep_label_errors(folder, task, data),
        lambda: keep_attributions(folder, jobs),
    ]
    for step in steps:
        step()
        note_files(folder, folder.task_files(task), forget=True)
