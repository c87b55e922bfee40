"""Studies that need no file: one model or one search on one dataset, or the shipped choice for any images.

What is decided for them is written as a study's file, and run like any other (decision 0012).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bakeoff.api.places import absolute, data_place, model_place
from bakeoff.api.results import StudyResult
from bakeoff.api.studies import run
from bakeoff.errors import ConfigError, StudyError
from bakeoff.records import StudyFolder
from bakeoff.spec import StudySpec, load_study, study_from_dict
from bakeoff.spec.load import STUDY_FILE, WRITTEN, is_written_by_us
from bakeoff.spec.write import to_toml

if TYPE_CHECKING:
    from bakeoff.data.survey import Survey
    from bakeoff.spec import TaskSpec
    from bakeoff.study import StudyListener
    from bakeoff.study.single import Wish

SEARCH_BUDGET = "10m"


def train(
    model: str,
    data: str | Path,
    *,
    probe: bool = False,
    classes: int | None = None,
    seeds: int = 1,
    image_size: int | None = None,
    input_size: int | None = None,
    candidate: Mapping[str, Any] | None = None,
    recipe: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    on_corrupt: Literal["stop", "exclude"] = "stop",
    download: bool = True,
    cache_dir: str | Path | None = None,
    decoders: int | None = None,
    listener: StudyListener | None = None,
    report: bool = True,
) -> StudyResult:
    """Train one model on one dataset: a study of one candidate, whose file is left in its folder.

    Args:
        model: One of ours, ``my_net.py:build``, or ``timm:NAME`` with the weights it was published with.
        data: A source's name, or a folder, an archive or a CSV file.
        probe: Train the last layer alone, by logistic regression on frozen features.
        classes: The first so many classes, in sorted order; None is all.
        seeds: How many runs.
        image_size: Pixels that images are stored in; None follows from their own size.
        input_size: Pixels that the network takes; None follows from the images, and for a pretrained
            network from its measured speed.
        candidate: Keys of a candidate, such as ``head``, ``train``, ``views`` or ``weights``.
        recipe: Keys of a recipe; what is not given is chosen by the number of images.
        out: The study's folder; None is ``studies/<name>``.
        device: As for `run`.
        threads: As for `run`.
        on_corrupt: As for `run`.
        download: As for `run`.
        cache_dir: As for `run`.
        decoders: As for `run`.
        listener: As for `run`; hears in `on_remark` what was decided.
        report: As for `run`.

    Returns:
        The study's results.

    Raises:
        BakeoffError: A setting, a file, the images or the folder are not usable.
    """
    plan = plan_training(
        model, data, probe=probe, classes=classes, seeds=seeds, image_size=image_size, input_size=input_size,
        candidate=candidate, recipe=recipe, out=out, device=device, threads=threads, download=download,
        cache_dir=cache_dir, listener=listener,
    )  # fmt: skip
    return _carry_out(
        plan, device=device, threads=threads, on_corrupt=on_corrupt, download=download,
        cache_dir=cache_dir, decoders=decoders, listener=listener, report=report,
    )  # fmt: skip


@dataclass(frozen=True)
class OneLinePlan:
    """What `train`, `pick` or `search` will do: a study's file, where it goes, and what was decided in it."""

    folder: Path
    spec: StudySpec
    text: str  # of its file
    said: tuple[str, ...]

    @property
    def file(self) -> Path:
        """The study's file."""
        return self.folder / STUDY_FILE

    def write(self) -> None:
        """Write the file; one that is there gives way if nobody has edited it or trained by it.

        Raises:
            StudyError: It says something else: somebody has written it.
        """
        from bakeoff.records.atomic import write_text

        begun = StudyFolder(self.folder).read_lock() is not None
        if self.file.exists() and (begun or not _is_untouched(self.file)):
            there = load_study(self.file)[0]
            if there == self.spec:
                return
            more = set(there.seeds) - set(self.spec.seeds)  # of somebody who has edited them
            if more or there.model_copy(update={"seeds": self.spec.seeds}) != self.spec:
                raise StudyError(
                    f"{self.file} was changed by hand: run it with 'bakeoff run {self.file}', "
                    "or use another --out"
                )
        write_text(self.file, self.text)


def plan_training(
    model: str,
    data: str | Path,
    *,
    probe: bool = False,
    classes: int | None = None,
    seeds: int = 1,
    image_size: int | None = None,
    input_size: int | None = None,
    candidate: Mapping[str, Any] | None = None,
    recipe: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    download: bool = True,
    cache_dir: str | Path | None = None,
    listener: StudyListener | None = None,
) -> OneLinePlan:
    """Decide what `train` with the same arguments would do; nothing is written."""
    from bakeoff.spec import TaskSpec
    from bakeoff.study.single import Wish, decide, study_name
    from bakeoff.training.machine import resolve_machine

    candidate = dict(candidate or {})
    if isinstance(candidate.get("weights"), str | Path):  # relative to here, as data and models are
        candidate["weights"] = str(absolute(candidate["weights"]))
    wish = Wish(
        model=model_place(model), data=data_place(data), probe=probe, classes=classes, seeds=seeds,
        image_size=image_size, input_size=input_size, candidate=candidate, recipe=recipe or {},
    )  # fmt: skip
    folder = Path(out) if out is not None else Path("studies") / study_name(wish)
    wish = _as_before(wish, folder)
    machine = resolve_machine(device, threads)
    machine.apply()
    task = TaskSpec(name="data", data=wish.data, classes=classes)
    found = _look(task, cache_dir, listener, download=download)
    decision = decide(wish, found, machine)
    spec = study_from_dict(decision.values, "bakeoff train")
    return OneLinePlan(folder, spec, _written("train", decision.values, decision.suggested), decision.said)


def pick(
    data: str | Path,
    budget: str = "30m",
    *,
    seeds: int = 1,
    out: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    on_corrupt: Literal["stop", "exclude"] = "stop",
    download: bool = True,
    cache_dir: str | Path | None = None,
    decoders: int | None = None,
    listener: StudyListener | None = None,
    report: bool = True,
) -> StudyResult:
    """Answer which classifier to use for these images, within a time: `bakeoff run pick`.

    Args:
        data: A source's name, or a folder, an archive or a CSV file.
        budget: Time for all of it, such as ``30m``.
        seeds: Runs of each candidate, which share the time.
        out: The study's folder; None is ``studies/pick-<data>``.
        device: As for `run`.
        threads: As for `run`.
        on_corrupt: As for `run`.
        download: As for `run`.
        cache_dir: As for `run`.
        decoders: As for `run`.
        listener: As for `run`; hears in `on_remark` what was decided.
        report: As for `run`.

    Returns:
        The study's results.

    Raises:
        BakeoffError: A setting, a file, the images or the folder are not usable.
    """
    plan = plan_pick(
        data,
        budget,
        seeds=seeds,
        out=out,
        device=device,
        threads=threads,
        download=download,
        cache_dir=cache_dir,
        listener=listener,
    )
    return _carry_out(
        plan, device=device, threads=threads, on_corrupt=on_corrupt, download=download,
        cache_dir=cache_dir, decoders=decoders, listener=listener, report=report,
    )  # fmt: skip


def plan_pick(
    data: str | Path,
    budget: str = "30m",
    *,
    seeds: int = 1,
    out: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    download: bool = True,
    cache_dir: str | Path | None = None,
    listener: StudyListener | None = None,
) -> OneLinePlan:
    """Decide what `pick` with the same arguments would do; nothing is written."""
    from bakeoff.spec import TaskSpec
    from bakeoff.study.pick import decide_pick, run_time
    from bakeoff.study.single import short_name
    from bakeoff.training.machine import resolve_machine
    from bakeoff.units import parse_length

    if seeds < 1:
        raise ConfigError(f"seeds: got {seeds}, expected at least 1")
    length = parse_length(budget)
    if length.unit != "seconds":
        raise ConfigError(f"--budget: got '{budget}', expected a time such as '30m'")
    place = data_place(data)
    folder = Path(out) if out is not None else Path("studies") / f"pick-{short_name(place)}"
    machine = resolve_machine(device, threads)
    machine.apply()
    spec = _begun(folder)
    if spec is not None and spec.tasks[0].data == place:  # sizes were chosen by the machine's speed of then
        if (spec.recipe.time, len(spec.seeds)) != (parse_length(run_time(length.amount, seeds)), seeds):
            raise ConfigError(
                f"--budget, --seeds: {folder} was begun with {spec.recipe.time} for a run and "
                f"{len(spec.seeds)} seeds, now {run_time(length.amount, seeds)} and {seeds}; "
                "use another --out"
            )
        return OneLinePlan(folder, spec, _written("run pick", spec.as_dict()), ())
    task = TaskSpec(name="data", data=place)
    found = _look(task, cache_dir, listener, download=download)
    decision = decide_pick(place, length.amount, found, machine, seeds=seeds)
    spec = study_from_dict(decision.values, "bakeoff run pick")
    return OneLinePlan(folder, spec, _written("run pick", decision.values), decision.said)


def search(
    data: str | Path,
    budget: str | None = None,
    *,
    trials: int | None = None,
    method: str = "tpe",
    space: Mapping[str, Any] | None = None,
    search: Mapping[str, Any] | None = None,
    classes: int | None = None,
    seeds: int = 1,
    image_size: int | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    on_corrupt: Literal["stop", "exclude"] = "stop",
    download: bool = True,
    cache_dir: str | Path | None = None,
    decoders: int | None = None,
    listener: StudyListener | None = None,
    report: bool = True,
) -> StudyResult:
    """Find a network and the settings of its training for these images, and train it: `bakeoff search`.

    Args:
        data: A source's name, or a folder, an archive or a CSV file.
        budget: For everything, the final training included: a time such as ``10m``, or epochs such as
            ``400ep``. None is ten minutes where `trials` are not given either.
        trials: At most so many.
        method: ``tpe``, or ``random`` for comparison.
        space: Settings that are narrowed or fixed, such as ``{"width": [16, 32], "optimizer": "muon"}``.
        search: Other keys of a search, such as ``max_parameters``.
        classes: The first so many classes, in sorted order; None is all.
        seeds: How many searches.
        image_size: Pixels of the images; None follows from their own size.
        out: The study's folder; None is ``studies/search-<data>``.
        device: As for `run`.
        threads: As for `run`.
        on_corrupt: As for `run`.
        download: As for `run`.
        cache_dir: As for `run`.
        decoders: As for `run`.
        listener: As for `run`; hears in `on_remark` what was decided.
        report: As for `run`.

    Returns:
        The study's results.

    Raises:
        BakeoffError: A setting, a file, the images or the folder are not usable.
    """
    plan = plan_search(
        data, budget, trials=trials, method=method, space=space, search=search, classes=classes, seeds=seeds,
        image_size=image_size, out=out, device=device, threads=threads, download=download,
        cache_dir=cache_dir, listener=listener,
    )  # fmt: skip
    return _carry_out(
        plan, device=device, threads=threads, on_corrupt=on_corrupt, download=download,
        cache_dir=cache_dir, decoders=decoders, listener=listener, report=report,
    )  # fmt: skip


def plan_search(
    data: str | Path,
    budget: str | None = None,
    *,
    trials: int | None = None,
    method: str = "tpe",
    space: Mapping[str, Any] | None = None,
    search: Mapping[str, Any] | None = None,
    classes: int | None = None,
    seeds: int = 1,
    image_size: int | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    download: bool = True,
    cache_dir: str | Path | None = None,
    listener: StudyListener | None = None,
) -> OneLinePlan:
    """Decide what `search` with the same arguments would do; nothing is written."""
    from bakeoff.data.survey import Survey
    from bakeoff.spec import TaskSpec
    from bakeoff.study.searched import SearchWish, decide_search, search_name

    if seeds < 1:
        raise ConfigError(f"seeds: got {seeds}, expected at least 1")
    given = budget if budget is not None or trials is not None else SEARCH_BUDGET
    wish = SearchWish(
        data=data_place(data), budget=given, trials=trials, method=method, classes=classes, seeds=seeds,
        image_size=image_size, space=space or {}, search=search or {},
    )  # fmt: skip
    # Refused before any image is looked at, and under the names that people gave
    study_from_dict(decide_search(wish, Survey(images=0, classes=0, side=0)).values, "bakeoff search")
    folder = Path(out) if out is not None else Path("studies") / search_name(wish)
    begun = _begun(folder)
    if begun is not None and image_size is None:
        wish = replace(wish, image_size=begun.tasks[0].image_size)
    task = TaskSpec(name="data", data=wish.data, classes=classes)
    decision = decide_search(wish, _look(task, cache_dir, listener, download=download))
    spec = study_from_dict(decision.values, "bakeoff search")
    return OneLinePlan(folder, spec, _written("search", decision.values), decision.said)


def _written(verb: str, values: Mapping[str, Any], suggested: Mapping[str, Any] | None = None) -> str:
    """Write a study's file whose first line tells whether somebody has edited it since."""
    body = to_toml(values)
    if suggested is not None:
        lines = to_toml(suggested).strip().splitlines()
        body += "\n# To compare it with a network that is trained, for instance:\n"
        body += "".join(f"# {line}\n" for line in lines)
    mark = hashlib.sha256(body.encode()).hexdigest()[:12]
    return (
        f"{WRITTEN} {verb} ({mark}); a study like any other:\n"
        f"# add candidates, and go on with: bakeoff run <its folder>\n\n{body}"
    )


def _is_untouched(file: Path) -> bool:
    """Tell whether a study's file is as `train`, `search` or `pick` has written it."""
    first, _, body = file.read_text(encoding="utf-8").partition("\n\n")
    mark = hashlib.sha256(body.encode()).hexdigest()[:12]
    return first.startswith(WRITTEN) and f"({mark})" in first


def _look(
    task: TaskSpec, cache_dir: str | Path | None, listener: StudyListener | None, *, download: bool
) -> Survey:
    """Take a first look at images; the listener hears how far a download or an archive is."""
    from bakeoff.data.survey import survey
    from bakeoff.study.single import short_name

    def tell(phase: str, done: int, total: int) -> None:
        if listener is not None:
            listener.on_prepare(short_name(task.data), phase, done, total)

    where = Path(cache_dir).absolute() if cache_dir is not None else None
    return survey(task, base_dir=Path.cwd(), cache_dir=where, download=download, progress=tell)


def _carry_out(plan: OneLinePlan, *, listener: StudyListener | None, **options: Any) -> StudyResult:
    """Say what was decided, leave the study's file in its folder, and run it."""
    from bakeoff.study.lock import open_lock
    from bakeoff.study.refusals import check_spec

    if listener is not None:
        for line in plan.said:
            listener.on_remark(line)
    open_lock(StudyFolder(plan.folder), plan.spec, device=options["device"], threads=options["threads"])
    check_spec(plan.spec, plan.folder, download=options["download"])  # before anything is written
    plan.write()
    return run(plan.file, out=plan.folder, listener=listener, **options)


def _as_before(wish: Wish, folder: Path) -> Wish:
    """Keep the sizes of a study that was begun: the machine's speed, measured again, may say others."""
    spec = _begun(folder)
    if spec is None or wish.model not in (spec.candidates[0].model, spec.candidates[0].source):
        return wish
    return replace(
        wish,
        image_size=wish.image_size or spec.tasks[0].image_size,
        input_size=wish.input_size or spec.candidates[0].input_size or spec.tasks[0].image_size,
    )


def _begun(folder: Path) -> StudySpec | None:
    """Read what was begun in a folder: by its lock, or by the file alone where nothing was trained yet."""
    before = StudyFolder(folder)
    if before.read_lock() is not None:
        return before.spec()
    file = folder / STUDY_FILE
    return load_study(file)[0] if is_written_by_us(file) else None
