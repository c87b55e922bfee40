"""What a study will cost in time, memory and disk, by timing a few steps of each network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bakeoff.errors import BakeoffError
from bakeoff.records import StudyFolder
from bakeoff.spec import StudySpec
from bakeoff.spec.recipe import VIEWS
from bakeoff.study.engines import EngineSettings
from bakeoff.study.images import DataOptions, prepare_tasks
from bakeoff.study.lock import open_lock
from bakeoff.study.progress import PlannedRun, Quiet, StudyListener
from bakeoff.study.refusals import check_spec
from bakeoff.study.runner import plan_study
from bakeoff.study.selection import Selection
from bakeoff.training.cost import Measured, measure, steps_expected
from bakeoff.training.job import Job
from bakeoff.training.search_jobs import stand_in

WEIGHTS = 4  # bytes of a parameter
CHECKPOINT = 3  # weights, and two of an optimizer's own for each


@dataclass(frozen=True, slots=True)
class EstimateRow:
    """One candidate of one task: what its missing runs will cost."""

    task: str
    candidate: str
    runs: int  # that are missing
    done: int
    parameters: int = 0
    images_per_second: float = 0.0
    seconds: float = 0.0  # of all missing runs, evaluation included
    memory_bytes: int = 0
    disk_bytes: int = 0
    problem: str = ""  # why it could not be timed
    searched: bool = False  # a search, which is given its seconds; its network is not known
    external: bool = False  # a program that is given its seconds; weights, speed and memory are not known


@dataclass(frozen=True, slots=True)
class Estimate:
    """A study's cost, row by row."""

    rows: tuple[EstimateRow, ...]
    machine: str
    cache_bytes: int
    at_once: int = 1  # runs that are computed side by side

    @property
    def seconds(self) -> float:
        """Time for everything that is missing, as if runs side by side did not slow each other down."""
        return sum(row.seconds for row in self.rows) / self.at_once

    @property
    def memory_bytes(self) -> int:
        """The most that runs at once take, beside the mapped images."""
        return self.at_once * max((row.memory_bytes for row in self.rows), default=0)

    @property
    def disk_bytes(self) -> int:
        """All that the study's folder will hold."""
        return sum(row.disk_bytes for row in self.rows)


def estimate_study(
    spec: StudySpec,
    out: Path,
    *,
    base_dir: Path,
    selection: Selection = Selection(),  # noqa: B008 - frozen
    options: DataOptions = DataOptions(),  # noqa: B008 - frozen
    device: str = "auto",
    threads: int | None = None,
    listener: StudyListener | None = None,
    engine: EngineSettings = EngineSettings(),  # noqa: B008 - frozen
) -> Estimate:
    """Prepare the images, time a few steps of each candidate, and write nothing into the study's folder.

    Args:
        spec: The whole study.
        out: Its folder, which may not exist yet.
        base_dir: Where relative paths in the study start.
        selection: The part that is asked for.
        options: Where images are found and kept.
        device: As for `run_study`.
        threads: As for `run_study`.
        listener: Hears how the images are prepared.
        engine: As for `run_study`.

    Returns:
        A row for each candidate of each task.

    Raises:
        BakeoffError: As `run_study` would.
    """
    folder = StudyFolder(out)
    selection.check(spec)
    check_spec(spec, base_dir, selection, download=options.download)
    resolved = open_lock(folder, spec, device=device, threads=threads, engine=engine)
    resolved.machine.apply()
    data = prepare_tasks(spec, selection, options, base_dir, listener or Quiet())
    planned = plan_study(
        spec, data, folder, selection=selection, resolved=resolved, base_dir=base_dir,
        cache_dir=options.cache_dir,
    )  # fmt: skip
    by_candidate: dict[tuple[str, str], list[PlannedRun]] = {}
    for run in planned:
        by_candidate.setdefault((run.job.task.name, run.job.candidate.name), []).append(run)
    rows = tuple(_row(runs) for runs in by_candidate.values())
    caches = {id(d.images_NHWC): d.images_NHWC.nbytes for d in data.values()}
    machine = f"{resolved.machine.device}, {resolved.machine.threads} threads"
    if engine.at_once > 1:
        machine += f", {engine.at_once} runs at once"
    return Estimate(rows, machine, sum(caches.values()), engine.at_once)


def _row(runs: list[PlannedRun]) -> EstimateRow:
    job, missing = runs[0].job, sum(run.record is None for run in runs)
    row = EstimateRow(
        task=job.task.name, candidate=job.candidate.name, runs=missing, done=len(runs) - missing
    )
    if not missing:
        return row
    if job.is_external:  # nobody knows what it does; that it is ended in time is known
        images, held = len(job.data.validation) + len(job.data.test), job.data.images_NHWC.nbytes
        return replace(
            row, external=True, seconds=missing * job.recipe.length.amount,
            disk_bytes=missing * WEIGHTS * images * len(job.data.class_ids) + held,
        )  # fmt: skip
    if job.is_search and job.recipe.length.unit == "seconds":
        return replace(row, searched=True, seconds=missing * job.recipe.length.amount)
    if job.is_search:
        job = stand_in(job)
    try:
        found = measure(job)
    except Exception as error:  # the candidate's own, of any kind: its run would fail, and the others go on
        text = str(error) if isinstance(error, BakeoffError) else f"{type(error).__name__}: {error}"
        return replace(row, problem=" ".join(text.split())[:200])
    return replace(
        row,
        parameters=found.parameters,
        images_per_second=found.images_per_second,
        seconds=_seconds_once(job, found) + missing * _seconds(job, found),
        memory_bytes=found.memory_bytes,
        disk_bytes=missing * _kept_bytes(job, found) + CHECKPOINT * WEIGHTS * found.parameters,
    )


def _seconds(job: Job, found: Measured) -> float:
    """Training, a validation after each epoch, and the final evaluation of both splits."""
    steps = steps_expected(job)
    if steps is None:
        training = job.recipe.length.amount
        stepping = max(0.0, training - found.seconds_once - found.seconds_start)
    else:
        stepping = steps * found.seconds_per_step
        training = stepping + found.seconds_start
    batch = min(job.recipe.batch_size, len(job.data.train))
    epochs = stepping / found.seconds_per_step * batch / len(job.data.train)
    if found.is_frozen:  # between epochs only what is behind the frozen work is computed
        epochs = 0.0
    final = VIEWS[job.recipe.test_views] * (len(job.data.validation) + len(job.data.test))
    return training + (len(job.data.validation) * epochs + final) * found.seconds_per_prediction


def _seconds_once(job: Job, found: Measured) -> float:
    """Frozen work that is found again by the next run; part of the length where that is by the clock."""
    return 0.0 if steps_expected(job) is None else found.seconds_once


def _kept_bytes(job: Job, found: Measured) -> int:
    """Weights and probabilities; the rest is small."""
    images = len(job.data.validation) + len(job.data.test)
    return WEIGHTS * (found.parameters + images * len(job.data.class_ids))
