"""The verbs of bakeoff as Python functions with typed results, at home in a notebook.

`run` trains; `open_study` reads what a study left, without torch.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bakeoff.errors import ConfigError, DataError, StudyError, UnknownNameError, nearest
from bakeoff.evidence.results import result_rows
from bakeoff.records import RunRecord, StudyFolder
from bakeoff.records.study import STUDY_FILE
from bakeoff.spec import StudySpec, load_study, study_from_dict
from bakeoff.spec.write import to_toml

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bakeoff.data.source import Progress
    from bakeoff.data.survey import Survey
    from bakeoff.evidence.candidate_pair import CandidatePair
    from bakeoff.evidence.study_pair import StudyPair
    from bakeoff.evidence.verification import Verification
    from bakeoff.records.checks import TaskChecks
    from bakeoff.report.compare_view import CompareView
    from bakeoff.spec import TaskSpec
    from bakeoff.study import Estimate, StudyListener
    from bakeoff.study.single import Wish
    from bakeoff.study.trained import Trained

OURS = "# Written by bakeoff"  # so a study's file begins that `train` or `pick` has written

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

    def load(
        self, record: RunRecord | None = None, *, device: str = "cpu", base_dir: str | Path = "."
    ) -> Trained:
        """Load a run's model, ready to be used.

        Args:
            record: Whose; None takes that of `best`, in a study of one task.
            device: Where it computes.
            base_dir: What the path of a network from a file of one's own refers to.

        Returns:
            The model, as it was scored.

        Raises:
            ConfigError: The run's network cannot be built again from its study.
        """
        from bakeoff.study.trained import load

        found = record or self.best()
        path = self.folder.run(found.task, found.candidate, found.seed).path
        return load(path, device=device, base_dir=base_dir)

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


@dataclass(frozen=True)
class Comparison:
    """Two candidates or two studies beside each other: the evidence, and its page."""

    evidence: CandidatePair | StudyPair
    view: CompareView

    def table(self, width: int = 120) -> str:
        """Return verdicts, words and tables as text, for lines of so many characters."""
        from rich.console import Console

        from bakeoff.report.compare_terminal import render_comparison

        console = Console(width=width, no_color=True, force_terminal=False)
        with console.capture() as capture:
            console.print(render_comparison(self.view))
        return capture.get()

    def markdown(self) -> str:
        """Return the same as Markdown."""
        from bakeoff.report.markdown import comparison_markdown

        return comparison_markdown(self.view)

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        from bakeoff.evidence.candidate_pair import CandidatePair
        from bakeoff.report.compare_json import pair_as_dict, studies_as_dict

        found = self.evidence
        return pair_as_dict(found) if isinstance(found, CandidatePair) else studies_as_dict(found)

    def write(self, path: str | Path) -> Path:
        """Write the page, one file that needs nothing else, and return where it is."""
        from bakeoff.records.atomic import write_text
        from bakeoff.report.page import render_comparison_page

        write_text(Path(path), render_comparison_page(self.view))
        return Path(path)

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(self.table())}</pre>"


def compare(
    study: str | Path, *others: str | Path, task: str | None = None, images: bool = True
) -> Comparison:
    """Compare two candidates of a study, or two studies, from their records alone.

    Args:
        study: A study's folder.
        others: The names of two of its candidates, or one other study's folder.
        task: Of two candidates: in which task, where several have both.
        images: Whether kept test images go into the page.

    Returns:
        The evidence, and how it is shown.

    Raises:
        UnknownNameError: There is no such candidate or task; the nearest name is told.
        ConfigError: Neither two candidates nor one other study was given.
        StudyError: A folder holds no study, or there is nothing to compare.
    """
    from bakeoff.evidence.candidate_pair import pair_candidates
    from bakeoff.evidence.study_pair import pair_studies
    from bakeoff.report.compare_study_views import studies_view
    from bakeoff.report.compare_views import candidates_view

    first = StudyFolder(Path(study))
    if len(others) == 2:
        pair = pair_candidates(first, str(others[0]), str(others[1]), task)
        return Comparison(pair, candidates_view(pair, first, images=images))
    if len(others) != 1:
        raise ConfigError(
            f"compare: got {len(others)} things beside {study}, expected two candidates or another study"
        )
    if task is not None:
        raise ConfigError("--task: belongs to two candidates of one study")
    second = StudyFolder(Path(others[0]))
    first.spec()
    if second.read_lock() is None:
        raise StudyError(
            f"{second.path} holds no study: expected a file study.lock in it, or the names of two candidates"
        )
    studies = pair_studies(first, second)
    return Comparison(studies, studies_view(studies, first, second))


def verify(
    path: str | Path,
    *,
    data: Where = None,
    images: bool = True,
    reevaluate: bool = False,
    retrain: str | None = None,
    base_dir: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    cache_dir: str | Path | None = None,
    workers: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    listener: StudyListener | None = None,
) -> Verification:
    """Prove that a study is what its lock and its records say.

    Args:
        path: The study's folder, or a published copy.
        data: Where the images lie, as for `run`; else they are looked for as `run` would.
        images: Whether every image is read and held against the manifest, where they are here.
        reevaluate: Whether the weights predict the test images again.
        retrain: A run to train again, ``task/candidate/seed``, in a temporary folder.
        base_dir: Where relative paths of the study's file start; None is where that file lies.
        device: On which weights are evaluated; ``auto`` is the study's own, if it is here.
        threads: Likewise; None is the study's own number.
        cache_dir: As for `run`.
        workers: As for `run`.
        progress: Told a stage, how much of it is done and of how much.
        listener: Hears of a training.

    Returns:
        Every check with what it found, and the verdict. Nothing of the study is changed; readings of its
        test images are noted beside the runs.

    Raises:
        StudyError: The folder holds no study.
        ConfigError: There is no such run, device or path.
    """
    from bakeoff.data.source import silent
    from bakeoff.evidence.verification import Verification, guarded
    from bakeoff.evidence.verification.ended import read_contents
    from bakeoff.report.reproduce import check_page
    from bakeoff.study.reevaluate import check_weights
    from bakeoff.study.retrain import check_retraining
    from bakeoff.study.verify import find_run, locked_machine, places_of, verify_records

    folder = StudyFolder(Path(path))
    contents = read_contents(folder)
    again = None if retrain is None else find_run(contents, retrain)
    places = places_of(
        contents, _locations(data, contents.spec), None if base_dir is None else _absolute(base_dir),
        cache_dir=None if cache_dir is None else _absolute(cache_dir), workers=workers,
        progress=progress or silent,
    )  # fmt: skip
    checks = [*verify_records(contents, places, images=images), guarded(check_page, folder)]
    if reevaluate:
        machine = locked_machine(contents, device, threads)
        machine.apply()
        checks.append(guarded(check_weights, contents, places, machine))
    if again is not None:
        checks.append(guarded(check_retraining, contents, again, places, listener))
    return Verification(study=contents.spec.name, checks=tuple(checks))


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
    workers: int | None = None,
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
        workers: As for `run`.
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
        cache_dir=cache_dir, workers=workers, listener=listener, report=report,
    )  # fmt: skip


@dataclass(frozen=True)
class TrainingPlan:
    """What `train` will do: a study's file, where it goes, and what was decided in it."""

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
            if there.model_copy(update={"seeds": self.spec.seeds}) != self.spec:
                raise StudyError(
                    f"{self.file} was changed by hand: run it with 'bakeoff run {self.file} "
                    f"--out {self.folder}', or use another --out"
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
) -> TrainingPlan:
    """Decide what `train` with the same arguments would do; nothing is written."""
    from bakeoff.spec import TaskSpec
    from bakeoff.study.single import Wish, decide, study_name
    from bakeoff.training.machine import resolve_machine

    candidate = dict(candidate or {})
    if isinstance(candidate.get("weights"), str | Path):  # relative to here, as data and models are
        candidate["weights"] = str(_absolute(candidate["weights"]))
    wish = Wish(
        model=_model_place(model), data=_data_place(data), probe=probe, classes=classes, seeds=seeds,
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
    return TrainingPlan(folder, spec, _written("train", decision.values), decision.said)


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
    workers: int | None = None,
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
        workers: As for `run`.
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
        cache_dir=cache_dir, workers=workers, listener=listener, report=report,
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
) -> TrainingPlan:
    """Decide what `pick` with the same arguments would do; nothing is written."""
    from bakeoff.spec import TaskSpec
    from bakeoff.study.pick import CANDIDATES, decide_pick, run_time
    from bakeoff.study.single import short_name
    from bakeoff.training.machine import resolve_machine
    from bakeoff.units import parse_length

    if seeds < 1:
        raise ConfigError(f"seeds: got {seeds}, expected at least 1")
    length = parse_length(budget)
    if length.unit != "seconds":
        raise ConfigError(f"--budget: got '{budget}', expected a time such as '30m'")
    place = _data_place(data)
    folder = Path(out) if out is not None else Path("studies") / f"pick-{short_name(place)}"
    machine = resolve_machine(device, threads)
    machine.apply()
    spec = _begun(folder)
    if spec is not None and spec.tasks[0].data == place:  # sizes were chosen by the machine's speed of then
        if (spec.recipe.time, len(spec.seeds)) != (parse_length(run_time(length.amount, seeds)), seeds):
            raise ConfigError(
                f"--budget, --seeds: {folder} was begun with {spec.recipe.time} for each of its "
                f"{len(spec.seeds)} times {CANDIDATES} runs, now {run_time(length.amount, seeds)} for "
                f"{seeds} times {CANDIDATES}; use another --out"
            )
        return TrainingPlan(folder, spec, _written("run pick", spec.as_dict()), ())
    task = TaskSpec(name="data", data=place)
    found = _look(task, cache_dir, listener, download=download)
    decision = decide_pick(place, length.amount, found, machine, seeds=seeds)
    spec = study_from_dict(decision.values, "bakeoff run pick")
    return TrainingPlan(folder, spec, _written("run pick", decision.values), decision.said)


def _written(verb: str, values: Mapping[str, Any]) -> str:
    """Write a study's file whose first line tells whether somebody has edited it since."""
    body = to_toml(values)
    mark = hashlib.sha256(body.encode()).hexdigest()[:12]
    return f"{OURS} {verb} ({mark}); a study like any other: add candidates, and run it again.\n\n{body}"


def _is_untouched(file: Path) -> bool:
    """Tell whether a study's file is as `train` or `pick` has written it."""
    first, _, body = file.read_text(encoding="utf-8").partition("\n\n")
    mark = hashlib.sha256(body.encode()).hexdigest()[:12]
    return first.startswith(OURS) and f"({mark})" in first


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


def _carry_out(plan: TrainingPlan, *, listener: StudyListener | None, **options: Any) -> StudyResult:
    """Say what was decided, leave the study's file in its folder, and run it."""
    from bakeoff.study.lock import open_lock
    from bakeoff.study.plan import check_spec

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
    before, file = StudyFolder(folder), folder / STUDY_FILE
    if before.read_lock() is not None:
        return before.spec()
    if file.exists() and file.read_text(encoding="utf-8").startswith(OURS):
        return load_study(file)[0]
    return None


def _data_place(data: str | Path) -> str:
    """Make a path absolute, as the study's file lies elsewhere; the name of a source stays."""
    from bakeoff.data.catalog import SOURCES

    text = str(data)
    if text in SOURCES or text.startswith("torchvision:"):
        return text
    return str(_absolute(text))


def _model_place(model: str) -> str:
    """Likewise for a user's own network."""
    from bakeoff.models.user_file import is_user_model

    if not is_user_model(model):
        return model
    file, suffix, function = model.partition(".py")
    return f"{_absolute(file)}{suffix}{function}"


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
    return Path(os.path.abspath(os.path.expanduser(path)))  # Path.expanduser raises for an unknown user


@dataclass(frozen=True)
class CheckResult:
    """What `check` found."""

    source: str  # what was looked at, a sentence
    image_size: int  # pixels it was looked at in
    checks: TaskChecks

    @property
    def counts(self) -> dict[str, int]:
        """How much was found of each kind."""
        return dict(self.checks.counts)

    def failed(self, kinds: Sequence[str]) -> dict[str, int]:
        """Return the counts above zero of some kinds, such as ``["leaks", "unreadable"]``."""
        return self.checks.found(kinds)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values: the fields of `records.checks.TaskChecks`, and where from."""
        from dataclasses import asdict

        return {"source": self.source, "image_size": self.image_size, **asdict(self.checks)}

    def json(self) -> str:
        """Return the same as JSON."""
        from bakeoff.records.atomic import json_text

        return json_text(self.as_dict())

    def render(self) -> RenderableType:
        """Return what the terminal shows: a table, and the worst findings by name."""
        from bakeoff.report.check_terminal import render_checks

        return render_checks(self.source, self.image_size, self.checks)

    def table(self, width: int = 120) -> str:
        """Return the same as text.

        Args:
            width: Characters of a line.

        Returns:
            The words and digits that `bakeoff check` prints.
        """
        from rich.console import Console

        console = Console(width=width, no_color=True, force_terminal=False)
        with console.capture() as capture:
            console.print(self.render())
        return capture.get()


def check(
    data: str | Path,
    *,
    classes: int | None = None,
    image_size: int | None = None,
    download: bool = True,
    cache_dir: str | Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> CheckResult:
    """Find out what is wrong with images before anything is trained on them; nothing is changed.

    Args:
        data: A source's name, or a folder, an archive or a CSV file.
        classes: The first so many classes, in sorted order; None is all.
        image_size: Pixels that images are looked at in; None follows from their own size, 64 at most.
        download: Whether an official source that is nowhere found may be fetched.
        cache_dir: Where decoded images are kept; None is the user's cache folder.
        workers: Processes that decode; None is one a core.
        progress: Told the stage, how much is done and of how much.

    Returns:
        The findings. Files that cannot be read are one of them.

    Raises:
        BakeoffError: There is no such data, or its labels are not usable.
    """
    from bakeoff.data.checks import checked
    from bakeoff.data.prepare import prepare
    from bakeoff.data.source import silent
    from bakeoff.data.survey import survey
    from bakeoff.spec import TaskSpec

    tell = progress or silent
    where = Path(cache_dir).absolute() if cache_dir is not None else None
    task = TaskSpec(name="data", data=_data_place(data), classes=classes)
    if image_size is None:
        side = survey(task, base_dir=Path.cwd(), cache_dir=where, download=download, progress=tell).side
        image_size = max(8, min(side or 64, 64))  # as `train` stores them for a network that starts fresh
    elif not 4 <= image_size <= 1024:
        raise ConfigError(f"--image-size: got {image_size}, expected 4 to 1024 pixels")
    found = prepare(
        task.model_copy(update={"image_size": image_size}), base_dir=Path.cwd(), cache_dir=where,
        workers=workers, on_corrupt="exclude", download=download, progress=tell,
    )  # fmt: skip
    return CheckResult(found.source, image_size, checked(found, where, tell))


def finding_names(text: str | None) -> tuple[str, ...]:
    """Read names of findings, as ``--fail-on`` takes them.

    Args:
        text: Names with commas between them, or ``all``; None is none.

    Returns:
        The names.

    Raises:
        UnknownNameError: There is no such finding.

    >>> finding_names("leaks, unreadable")
    ('leaks', 'unreadable')
    """
    from bakeoff.evidence.findings import FINDINGS

    names = tuple(filter(None, (name.strip() for name in (text or "").split(","))))
    for name in names:
        if name not in (*FINDINGS, "all"):
            raise UnknownNameError(f"--fail-on: no finding named '{name}'{nearest(name, [*FINDINGS, 'all'])}")
    return tuple(FINDINGS) if "all" in names else names
