"""Runs a study: prepares the images, trains what is missing, writes results after each run.

A run is found again by its identity: one that has ended is not trained again, one that
was interrupted continues from its checkpoint, one that failed is tried again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from bakeoff.data.prepare import TaskData, prepare
from bakeoff.errors import ResourceError
from bakeoff.evidence.results import write_results
from bakeoff.records import RunFolder, RunRecord, StudyFolder, TaskRecord, claim_folder
from bakeoff.records.digests import forget_run, note_files, note_runs, noted_runs
from bakeoff.records.study import MANIFEST_COLUMNS
from bakeoff.spec import StudySpec, TaskSpec
from bakeoff.study.attribution import keep_attributions
from bakeoff.study.checks import keep_checks
from bakeoff.study.engines import Ears, Engine, EngineSettings, Order, check_engine, make_engine
from bakeoff.study.engines.schedule import Schedule, sources_of
from bakeoff.study.examples import keep_examples, keep_label_errors
from bakeoff.study.lock import open_lock, write_lock
from bakeoff.study.plan import Resolved, plan_task
from bakeoff.study.progress import PlannedRun, Quiet, StudyListener
from bakeoff.study.refusals import check_spec
from bakeoff.study.selection import Selection
from bakeoff.training.cost import training_multiplications
from bakeoff.training.job import Job
from bakeoff.training.run import CHECKPOINT_SECONDS
from bakeoff.training.state import foreign_steps

FREE_SECONDS = 1.0  # of upkeep, in which every run is noted at once
SHARE = 0.005  # of a study's time, that upkeep may take after these


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Where images are found and kept, and what is done about those that cannot be read."""

    locations: Mapping[str, Path] = field(default_factory=dict)  # from a source's name to its folder
    cache_dir: Path | None = None
    decoders: int | None = None  # processes that decode; None is one a core
    on_corrupt: Literal["stop", "exclude"] = "stop"
    download: bool = True


@dataclass(frozen=True, slots=True)
class StudyOutcome:
    """What one command did: the folder, and the records of the runs that it asked for."""

    folder: StudyFolder
    records: tuple[RunRecord, ...]
    trained: int  # runs that this command trained or continued


def run_study(
    spec: StudySpec,
    out: Path,
    *,
    base_dir: Path,
    selection: Selection = Selection(),  # noqa: B008 - frozen
    options: DataOptions = DataOptions(),
    device: str = "auto",
    threads: int | None = None,
    listener: StudyListener | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    command: Mapping[str, Any] | None = None,
    engine: EngineSettings = EngineSettings(),  # noqa: B008 - frozen
) -> StudyOutcome:
    """Run or resume what is asked for of a study.

    Args:
        spec: The whole study.
        out: Its folder; new, empty, or this study's own.
        base_dir: Where relative paths in the study start.
        selection: The part that is asked for.
        options: Where images are found and kept.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        threads: On the processor; None takes all cores, or what the lock says.
        listener: Hears of everything, and may stop it.
        checkpoint_seconds: Of training that an interruption may cost.
        command: How the user asked for the study, for the report's "do it again".
        engine: Where the runs are computed, and how many at once.

    Returns:
        The folder, the records asked for, and how many runs were trained.

    Raises:
        BakeoffError: A setting, a file, the images or the folder are not usable; nothing
            of a new study is written then.
        Stopped: The listener asked for it; the same call continues.
    """
    listener = listener or Quiet()
    folder = StudyFolder(out)
    selection.check(spec)
    check_spec(spec, base_dir, selection, download=options.download)
    check_engine(engine)
    resolved = open_lock(folder, spec, device=device, threads=threads, engine=engine)
    resolved.machine.apply()
    data = prepare_tasks(spec, selection, options, base_dir, listener)
    return run_prepared(
        spec, out, data, base_dir=base_dir, selection=selection, cache_dir=options.cache_dir, device=device,
        threads=threads, listener=listener, checkpoint_seconds=checkpoint_seconds, command=command,
        engine=engine,
    )  # fmt: skip


def run_prepared(
    spec: StudySpec,
    out: Path,
    data: Mapping[str, TaskData],
    *,
    base_dir: Path,
    selection: Selection = Selection(),  # noqa: B008 - frozen
    cache_dir: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    listener: StudyListener | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    command: Mapping[str, Any] | None = None,
    engine: EngineSettings = EngineSettings(),  # noqa: B008 - frozen
) -> StudyOutcome:
    """Run or resume a study that is checked and whose images are ready.

    Args:
        spec: The whole study.
        out: As for `run_study`.
        data: The images of every task that is asked for.
        base_dir: As for `run_study`.
        selection: As for `run_study`.
        cache_dir: Where frozen work is kept; None is the user's cache folder.
        device: As for `run_study`.
        threads: As for `run_study`.
        listener: As for `run_study`.
        checkpoint_seconds: As for `run_study`.
        command: As for `run_study`.
        engine: As for `run_study`.

    Returns:
        As `run_study`.

    Raises:
        BakeoffError: A setting or the folder are not usable.
        Stopped: As for `run_study`.
    """
    listener = listener or Quiet()
    folder = StudyFolder(out)
    with claim_folder(out):
        # Another process may have been here while images were prepared, and its lock then holds.
        resolved = open_lock(folder, spec, device=device, threads=threads, engine=engine)
        resolved.machine.apply()
        with make_engine(engine, resolved.machine, out) as at_work:  # before the lock holds what it refuses
            write_lock(folder, spec, resolved, data, command)
            for task in selection.tasks_of(spec):
                _write_task(folder, task, data[task.name])
                keep_checks(folder, task.name, data[task.name], cache_dir, listener)
                note_files(folder, folder.task_files(task.name))
            planned = plan_study(
                spec, data, folder, selection=selection, resolved=resolved, base_dir=base_dir,
                cache_dir=cache_dir,
            )  # fmt: skip
            listener.on_plan(planned)
            records = _run_all(planned, folder, spec, at_work, listener, checkpoint_seconds)
    trained = sum(run.record is None for run in planned)
    return StudyOutcome(folder, tuple(records), trained)


def prepare_tasks(
    spec: StudySpec, selection: Selection, options: DataOptions, base_dir: Path, listener: StudyListener
) -> dict[str, TaskData]:
    """Prepare the images of every task that is asked for.

    Args:
        spec: The whole study.
        selection: The part that is asked for.
        options: Where images are found and kept.
        base_dir: Where relative paths in the study start.
        listener: Hears how far it is.

    Returns:
        Images, labels and split by the task's name.

    Raises:
        BakeoffError: They are missing or not usable.
    """
    found = {}
    for task in selection.tasks_of(spec):

        def tell(phase: str, done: int, total: int, name: str = task.name) -> None:
            listener.on_prepare(name, phase, done, total)

        found[task.name] = prepare(
            task,
            locations=options.locations,
            base_dir=base_dir,
            cache_dir=options.cache_dir,
            decoders=options.decoders,
            on_corrupt=options.on_corrupt,
            download=options.download,
            progress=tell,
        )
        listener.on_data(task.name, found[task.name])
    return found


def plan_study(
    spec: StudySpec,
    data: Mapping[str, TaskData],
    folder: StudyFolder,
    *,
    selection: Selection,
    resolved: Resolved,
    base_dir: Path,
    cache_dir: Path | None = None,
) -> list[PlannedRun]:
    """List the runs that are asked for, each with its record if it has ended before."""
    planned = []
    for task in selection.tasks_of(spec):
        jobs = plan_task(
            spec,
            task,
            data[task.name],
            folder=folder,
            selection=selection,
            resolved=resolved,
            base_dir=base_dir,
        )
        weights = {
            job.candidate.name: training_multiplications(job) for job in jobs if job.seed == jobs[0].seed
        }
        first = jobs[0].seed if jobs else None  # one seed's network is as quick as another's
        for job in (replace(job, cache_dir=cache_dir, timed=job.seed == first) for job in jobs):
            record, older = _ended(_folder_of(folder, job), job)
            length = job.recipe.length
            seconds = length.amount if length.unit == "seconds" else None
            given_up = foreign_steps(_folder_of(folder, job).checkpoint_path, job.identity)
            planned.append(PlannedRun(job, weights[job.candidate.name], seconds, record, older, given_up))
    return planned


def _folder_of(folder: StudyFolder, job: Job) -> RunFolder:
    return folder.run(job.task.name, job.candidate.name, job.seed)


def _ended(run_folder: RunFolder, job: Job) -> tuple[RunRecord | None, bool]:
    """Return the record of this very run if it ended in a result, and whether an older version of it did."""
    record = run_folder.read()
    if record is None or record.status == "failed":
        return None, False
    return (record, False) if record.identity == job.identity else (None, True)


def _run_all(
    planned: Sequence[PlannedRun],
    folder: StudyFolder,
    spec: StudySpec,
    engine: Engine,
    listener: StudyListener,
    checkpoint_seconds: float,
) -> list[RunRecord]:
    """Have what is missing done, in the plan's order as far as there is room; return all records."""
    work = _Bookkeeping(planned, folder, spec, listener)
    try:
        _drive(work, engine, Ears(listener), checkpoint_seconds)
    finally:
        work.write_notes()
    write_results(folder, spec)
    return [work.records[position] for position in range(len(planned))]


def _drive(work: _Bookkeeping, engine: Engine, ears: Ears, checkpoint_seconds: float) -> None:
    """Give orders while there is room, and close them as they end; stop with the first error."""
    stopped: BaseException | None = None
    while work.schedule.has_next or engine.running:
        if stopped is None and work.schedule.has_next and engine.has_room:
            order = work.next_order(checkpoint_seconds)
            if order is not None:
                engine.submit(order)
        elif engine.running:
            ended = engine.wait(ears)
            if isinstance(ended.outcome, RunRecord):
                work.close(ended.order, ended.outcome)
            elif stopped is None:
                stopped = ended.outcome
                engine.stop()
        elif stopped is None:  # a cluster has lost its last node
            raise ResourceError("--engine: nothing is left that takes a run; the same command continues")
        else:
            break
        if stopped is None and not engine.running:
            work.keep_shown()
    if stopped is not None:
        raise stopped


class _Bookkeeping:
    """The bookkeeping of a study at work: orders to give, and what is written when a run has ended."""

    def __init__(
        self, planned: Sequence[PlannedRun], folder: StudyFolder, spec: StudySpec, listener: StudyListener
    ) -> None:
        self.planned = planned
        self.folder = folder
        self.spec = spec
        self.listener = listener
        self.schedule = Schedule(sources_of(planned))
        self.records: dict[int, RunRecord] = {}
        self._position = {run.job.key: number for number, run in enumerate(planned)}
        self._open = Counter(run.job.task.name for run in planned)  # runs of each task that have not ended
        self._unshown: list[str] = []  # tasks whose runs have all ended
        self._noted = noted_runs(folder)  # when this command began; it alone writes the lock
        self._unnoted: list[RunFolder] = []
        self._upkeep = Upkeep()

    def next_order(self, checkpoint_seconds: float) -> Order | None:
        """Take the next run; None when it has ended before."""
        position = self.schedule.take()
        run, run_folder = self.planned[position], _folder_of(self.folder, self.planned[position].job)
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
        self._unnoted.append(order.folder)
        if self._upkeep.is_due:
            with self._upkeep.timed():
                self.write_notes()
                write_results(self.folder, self.spec)
        self.listener.on_run_end(order.job, record)
        self._end(self._position[order.job.key], record)

    def write_notes(self) -> None:
        """Note in the lock what has ended since the last time."""
        if self._unnoted:
            note_runs(self.folder, self._unnoted)
            self._unnoted.clear()

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
            _keep_shown(self.folder, [run.job for run in self.planned if run.job.task.name == task])


class Upkeep:
    """Keeps what grows with every run, lock and tables, from taking a share of a large study's time.

    They are written after every run until that has taken a second in all, and then as often as it stays
    below half a percent of the time.
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


def _keep_shown(folder: StudyFolder, jobs: Sequence[Job]) -> None:
    """Keep what the report shows of a task whose runs have ended.

    Each file is noted before the next is made: attributions may take minutes, and who stops there has
    a study whose files are those of its lock.
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


def _write_task(folder: StudyFolder, task: TaskSpec, data: TaskData) -> None:
    """Write what a task's images are, and the list of them unless it is there already."""
    old, record = folder.read_task(task.name), _task_record(task, data)
    if old is None or _untimed(old) != _untimed(record):  # else its digest would change with every command
        folder.write_task(record)
    same = old is not None and all(
        getattr(old, name) == getattr(record, name) for name in ("data_fingerprint", "split_digest")
    )
    if not (same and folder.manifest_path(task.name).exists()):
        folder.write_manifest(task.name, MANIFEST_COLUMNS, manifest_rows(data))


def _untimed(record: TaskRecord) -> TaskRecord:
    """Leave out how long the images took, which is another number each time."""
    details = {key: value for key, value in record.details.items() if key not in ("seconds", "cached")}
    return replace(record, prepare_seconds=0.0, details=details)


def manifest_rows(data: TaskData) -> Iterator[tuple[str, str, str, str]]:
    """Yield for each image, in order: its file, its class, its part, the SHA-256 of its contents."""
    parts = ["" for _ in data.keys]
    for part in ("train", "validation", "test"):
        for index in getattr(data, part):
            parts[index] = part
    for key, label, part, digest in zip(data.keys, data.labels_N, parts, data.digests, strict=True):
        yield key, data.class_ids[label], part, digest


def _task_record(task: TaskSpec, data: TaskData) -> TaskRecord:
    return TaskRecord(
        name=task.name,
        source=data.source,
        class_ids=list(data.class_ids),
        class_names=list(data.class_names),
        counts={split: len(getattr(data, split)) for split in ("train", "validation", "test")},
        data_fingerprint=data.fingerprint,
        split_digest=data.split_digest,
        image_size=task.image_size,
        prepare_seconds=data.seconds,
        excluded=list(data.unreadable),
        details=data.describe(),
        test_files=[data.keys[i] for i in data.test],
    )
