"""A study from its file, or from a dict: run, resumed, or only estimated.

What people write becomes here what `bakeoff.study` takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bakeoff.api.places import Where, locations
from bakeoff.api.results import StudyResult
from bakeoff.records import StudyFolder
from bakeoff.spec import StudySpec, load_study, study_from_dict
from bakeoff.spec.load import STUDY_FILE, is_written_by_us, study_file

if TYPE_CHECKING:
    from bakeoff.study import Estimate, StudyListener


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
    decoders: int | None = None,
    workers: int | None = None,
    processes: int | None = None,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    store: str | None = None,
    listener: StudyListener | None = None,
    report: bool = True,
) -> StudyResult:
    """Run or resume a study, and write its report.

    Args:
        study: A TOML file, the folder that `train`, `search` or `pick` left one in, the name of a shipped
            study, or the same as a dict.
        out: The study's folder; None is ``studies/<name>``, or that of a file which `train` left there.
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
        decoders: Processes that decode; None is one a core.
        workers: Runs at once, in processes that share the cores; None is 1, and on a cluster all that fit.
        processes: That share the batches of each run; None is 1, or what the study was begun with.
        engine: ``local``, or ``ray`` for a Ray cluster.
        address: Of a cluster's head, ``HOST:PORT`` or ``auto``; None starts one on this machine.
        store: URL that receives what runs on a cluster leave until they have ended.
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
        decoders=decoders, workers=workers, processes=processes, engine=engine, address=address, store=store,
        listener=listener,
    )  # fmt: skip
    out = out if out is not None else _home(study, arguments["spec"])
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
    decoders: int | None = None,
    workers: int | None = None,
    processes: int | None = None,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    store: str | None = None,
    listener: StudyListener | None = None,
) -> dict[str, Any]:
    """Turn what people write into what `run_study` and `estimate_study` take."""
    from bakeoff.study import DataOptions, EngineSettings, Selection

    spec, base_dir = _load(study)
    return {
        "spec": spec,
        "out": Path(out) if out is not None else _home(study, spec) or Path("studies") / spec.name,
        "base_dir": base_dir,
        "selection": Selection(tasks=_names(tasks), candidates=_names(only), seeds=seeds, seed=seed),
        "options": DataOptions(
            locations=locations(data, spec),
            cache_dir=Path(cache_dir).absolute() if cache_dir is not None else None,
            decoders=decoders,
            on_corrupt=on_corrupt,
            download=download,
        ),
        "device": device,
        "threads": threads,
        "listener": listener,
        "engine": EngineSettings(
            name=engine, workers=workers, processes=processes, address=address, store=store
        ),
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
    return {
        "study": str(study_file(study) or study),
        "flags": flags,
        "out": None if out is None else str(out),
    }


def _load(study: str | Path | Mapping[str, Any] | StudySpec) -> tuple[StudySpec, Path]:
    if isinstance(study, StudySpec):
        return study, Path.cwd()
    if isinstance(study, Mapping):
        return study_from_dict(study, "study"), Path.cwd()
    spec, base_dir = load_study(study)
    return spec, base_dir or Path.cwd()


def _home(study: str | Path | Mapping[str, Any] | StudySpec, spec: StudySpec) -> Path | None:
    """Return the folder that a study's file belongs to: where it was begun, or is to begin."""
    from bakeoff.study.lock import holds_others

    file = study_file(study) if isinstance(study, str | Path) else None
    if file is None or file.name != STUDY_FILE:
        return None
    lock = StudyFolder(file.parent).read_lock()
    if lock is not None:
        return file.parent if lock["study"]["name"] == spec.name else None
    return file.parent if is_written_by_us(file) and not holds_others(file.parent) else None


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
