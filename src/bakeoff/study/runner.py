"""Runs a study: prepares the images, trains what is missing, writes results after each run.

A run is found again by its identity: one that has ended is not trained again, one that
was interrupted continues from its checkpoint, one that failed is tried again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bakeoff.data.prepare import TaskData
from bakeoff.errors import ResourceError
from bakeoff.records import RunFolder, RunRecord, StudyFolder, claim_folder
from bakeoff.records.digests import note_files
from bakeoff.spec import StudySpec
from bakeoff.study.bookkeeping import Bookkeeping, run_folder_of
from bakeoff.study.checks import keep_checks
from bakeoff.study.engines import Ears, Engine, EngineSettings, check_engine, make_engine
from bakeoff.study.images import DataOptions, prepare_tasks, write_task
from bakeoff.study.lock import open_lock, write_lock
from bakeoff.study.plan import Resolved, plan_task
from bakeoff.study.progress import PlannedRun, Quiet, StudyListener
from bakeoff.study.refusals import check_spec
from bakeoff.study.selection import Selection
from bakeoff.training.cost import training_multiplications
from bakeoff.training.job import Job
from bakeoff.training.run import CHECKPOINT_SECONDS
from bakeoff.training.state import foreign_steps


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
    options: DataOptions = DataOptions(),  # noqa: B008 - frozen
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
                write_task(folder, task, data[task.name])
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
            record, older = _ended(run_folder_of(folder, job), job)
            length = job.recipe.length
            seconds = length.amount if length.unit == "seconds" else None
            given_up = foreign_steps(run_folder_of(folder, job).checkpoint_path, job.identity)
            planned.append(PlannedRun(job, weights[job.candidate.name], seconds, record, older, given_up))
    return planned


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
    with ThreadPoolExecutor(max_workers=1) as hasher:
        work = Bookkeeping(planned, folder, spec, listener, hasher)
        try:
            _drive(work, engine, Ears(listener), checkpoint_seconds)
        finally:
            work.write_notes()
    work.write_tables()
    return [work.records[position] for position in range(len(planned))]


def _drive(work: Bookkeeping, engine: Engine, ears: Ears, checkpoint_seconds: float) -> None:
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
