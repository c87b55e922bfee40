"""The verbs of bakeoff as Python functions with typed results, at home in a notebook.

`run` trains; `open_study` reads what a study left, without torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bakeoff.errors import ConfigError, DataError, UnknownNameError, nearest
from bakeoff.evidence.results import result_rows
from bakeoff.records import RunRecord, StudyFolder
from bakeoff.spec import StudySpec, load_study, study_from_dict

if TYPE_CHECKING:
    from bakeoff.study import Estimate, StudyListener

Where = str | Path | Mapping[str, str | Path] | None


@dataclass(frozen=True)
class StudyResult:
    """A study's folder, read as results."""

    folder: StudyFolder

    @property
    def path(self) -> Path:
        """Where the study lies."""
        return self.folder.path

    @property
    def records(self) -> list[RunRecord]:
        """Every run that has ended, in the study's order."""
        return list(self.folder.records())

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of `results.csv` as plain values, ready for a data frame."""
        return result_rows(self.folder)

    def table(self, width: int = 120) -> str:
        """Return the verdict and the table of every task as text.

        Args:
            width: Characters of a line.

        Returns:
            The same words and digits as `bakeoff run` prints.
        """
        from rich.console import Console

        from bakeoff.report.terminal import render_study

        console = Console(width=width, no_color=True, force_terminal=False)
        with console.capture() as capture:
            console.print(render_study(self.folder))
        return capture.get()

    def best(self, task: str | None = None) -> RunRecord:
        """Return the finished run with the best validation accuracy of a task.

        Validation, not test: choosing by the test images would spend them.

        Args:
            task: Its name; None for a study of one task.

        Returns:
            Its record; of two equally good runs the earlier in the study's order.

        Raises:
            ConfigError: The study has several tasks and none was named, or has no such task.
            DataError: No run of the task has finished.
        """
        tasks = [t.name for t in self.folder.spec().tasks]
        if task is None and len(tasks) > 1:
            raise ConfigError(f"task: the study has {len(tasks)}, expected one of {', '.join(tasks)}")
        if task is not None and task not in tasks:
            raise UnknownNameError(f"task: got '{task}'{nearest(task, tasks)}")
        wanted = task or tasks[0]
        finished = [r for r in self.records if r.task == wanted and r.status == "finished"]
        if not finished:
            raise DataError(f"task '{wanted}': no run has finished")
        return max(finished, key=lambda record: record.metric("validation_accuracy"))

    def report(self, *, images: bool = True) -> Path:
        """Write the page again and return where it is."""
        from bakeoff.report.write import write_report

        return write_report(self.folder, images=images)

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(self.table())}</pre>"


def open_study(path: str | Path) -> StudyResult:
    """Read a study's folder.

    Args:
        path: What `run` calls `out`.

    Returns:
        The results of its runs so far.

    Raises:
        StudyError: The folder holds no study.
    """
    folder = StudyFolder(Path(path))
    folder.spec()
    return StudyResult(folder)


def run(
    study: str | Path | Mapping[str, Any] | StudySpec,
    *,
    out: str | Path | None = None,
    data: Where = None,
    tasks: str | Sequence[str] = (),
    only: str | Sequence[str] = (),
    seeds: int | None = None,
    seed: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    on_corrupt: Literal["stop", "exclude"] = "stop",
    download: bool = True,
    cache_dir: str | Path | None = None,
    workers: int | None = None,
    listener: StudyListener | None = None,
    report: bool = True,
) -> StudyResult:
    """Run or resume a study, and write its report.

    Args:
        study: A TOML file, the name of a shipped study, or the same as a dict.
        out: The study's folder; None is ``studies/<name>``.
        data: Where the images lie: a path for a study with one source, or a mapping
            from sources' names to paths.
        tasks: Only these tasks.
        only: Only these candidates.
        seeds: Only the first so many seeds of the study.
        seed: Only this seed.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        threads: On the processor; None takes all cores.
        on_corrupt: ``stop`` with a list, or ``exclude`` unreadable images for all alike.
        download: Whether an official source that is nowhere found may be fetched.
        cache_dir: Where decoded images are kept; None is the user's cache folder.
        workers: Processes that decode; None is one a core.
        listener: Hears of every step; see `bakeoff.study.StudyListener`.
        report: Whether to write the page at the end.

    Returns:
        The study's results, with those of earlier calls.

    Raises:
        BakeoffError: A setting, a file, the images or the folder are not usable.
    """
    from bakeoff.study import run_study

    arguments = study_arguments(
        study, out=out, data=data, tasks=tasks, only=only, seeds=seeds, seed=seed, device=device,
        threads=threads, on_corrupt=on_corrupt, download=download, cache_dir=cache_dir,
        workers=workers, listener=listener,
    )  # fmt: skip
    command = _command(study, data, on_corrupt, out=out, device=device, threads=threads)
    result = StudyResult(run_study(**arguments, command=command).folder)
    if report:
        result.report()
    return result


def estimate(study: str | Path | Mapping[str, Any] | StudySpec, **options: Any) -> Estimate:
    """Say what `run` with the same arguments would cost; nothing is trained or written.

    Args:
        study: As for `run`.
        options: As for `run`, but for `report`.

    Returns:
        A row for each candidate of each task, and the sums.

    Raises:
        BakeoffError: As `run` would.
    """
    from bakeoff.study import estimate_study

    return estimate_study(**study_arguments(study, **options))


def study_arguments(
    study: str | Path | Mapping[str, Any] | StudySpec,
    *,
    out: str | Path | None = None,
    data: Where = None,
    tasks: str | Sequence[str] = (),
    only: str | Sequence[str] = (),
    seeds: int | None = None,
    seed: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    on_corrupt: Literal["stop", "exclude"] = "stop",
    download: bool = True,
    cache_dir: str | Path | None = None,
    workers: int | None = None,
    listener: StudyListener | None = None,
) -> dict[str, Any]:
    """Turn what people write into what `run_study` and `estimate_study` take."""
    from bakeoff.study import DataOptions, Selection

    spec, base_dir = _load(study)
    return {
        "spec": spec,
        "out": Path(out) if out is not None else Path("studies") / spec.name,
        "base_dir": base_dir,
        "selection": Selection(tasks=_names(tasks), candidates=_names(only), seeds=seeds, seed=seed),
        "options": DataOptions(
            locations=_locations(data, spec),
            cache_dir=Path(cache_dir).absolute() if cache_dir is not None else None,
            workers=workers,
            on_corrupt=on_corrupt,
            download=download,
        ),
        "device": device,
        "threads": threads,
        "listener": listener,
    }


def _command(
    study: str | Path | Mapping[str, Any] | StudySpec,
    data: Where,
    on_corrupt: str,
    *,
    out: str | Path | None,
    device: str,
    threads: int | None,
) -> dict[str, Any] | None:
    """Keep how a study was asked for, in the words of the command line; None when it had no file."""
    if not isinstance(study, str | Path):
        return None
    places = [str(data)] if isinstance(data, str | Path) else [f"{k}={v}" for k, v in (data or {}).items()]
    flags = [word for place in places for word in ("--data", place)]
    if on_corrupt != "stop":
        flags += ["--on-corrupt", on_corrupt]
    if device != "auto":
        flags += ["--device", device]
    if threads is not None:
        flags += ["--threads", str(threads)]
    return {"study": str(study), "flags": flags, "out": None if out is None else str(out)}


def _load(study: str | Path | Mapping[str, Any] | StudySpec) -> tuple[StudySpec, Path]:
    if isinstance(study, StudySpec):
        return study, Path.cwd()
    if isinstance(study, Mapping):
        return study_from_dict(study, "study"), Path.cwd()
    spec, base_dir = load_study(study)
    return spec, base_dir or Path.cwd()


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _locations(data: Where, spec: StudySpec) -> dict[str, Path]:
    """Read where sources lie; a bare path belongs to the study's one source."""
    sources = sorted({task.data for task in spec.tasks})
    if data is None:
        return {}
    if isinstance(data, str | Path):
        if len(sources) > 1:
            raise ConfigError(
                f"data: got a path, but the study has the sources {', '.join(sources)}; write NAME=PATH"
            )
        return {sources[0]: _absolute(data)}
    for name in data:
        if name not in sources:
            raise ConfigError(
                f"data: got '{name}', expected one of the study's sources: {', '.join(sources)}"
            )
    return {name: _absolute(path) for name, path in data.items()}


def _absolute(path: str | Path) -> Path:
    return Path(os.path.expanduser(path)).absolute()  # Path.expanduser raises for an unknown user
