"""Use what a study found: load its winner, and export it. `bakeoff predict` and `bakeoff export` in Python.

A place is a run's folder, a study's, or an exported file. Of a study the candidate is taken that its report
recommends, and of its seeds the one with the best validation accuracy, unless candidate, task or seed say
otherwise (docs/decisions/0022).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.api import StudyResult, open_study
from bakeoff.data.predictor import Ensemble, Predictor
from bakeoff.errors import BakeoffError, ConfigError, DataError, UnknownNameError, nearest
from bakeoff.records import RunFolder, RunRecord, StudyFolder
from bakeoff.records.study import SEED
from bakeoff.spec import TaskSpec
from bakeoff.spec.study import slug

if TYPE_CHECKING:  # torch takes seconds to import, and an exported file needs none of it
    from bakeoff.data.prepare import TaskData
    from bakeoff.deploy.export import Exported, Shipment
    from bakeoff.deploy.forms import Form
    from bakeoff.study.trained import Trained

FORMS = ("onnx", "torch-export", "safetensors")

Tell = Callable[[str], None]


def load(
    place: str | Path,
    *,
    candidate: str | None = None,
    task: str | None = None,
    seed: int | None = None,
    ensemble: bool = False,
    raw: bool = False,
    device: str = "cpu",
    threads: int | None = None,
    base_dir: str | Path = ".",
) -> Predictor:
    """Load a classifier that is ready to be used.

    A ``.pt2`` file and a network from a file of one's own run what is in them, whoever wrote it; of other
    files and records only numbers are read.

    Args:
        place: A run's folder, ``<study>/runs/<task>/<candidate>/seed-<k>``, a study's, or an exported file.
        candidate: Of a study; None is the one that the report recommends (`StudyResult.choose`).
        task: Of a study; None where the study, or the candidate, has but one.
        seed: Of a study; None is the one with the best validation accuracy.
        ensemble: Average the probabilities of all finished seeds of the candidate.
        raw: Leave the probabilities as the network gives them, without calibration.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; exported files compute on the processor.
        threads: Of an ONNX file's session; None is every core.
        base_dir: What the path of a network from a file of one's own refers to.

    Returns:
        A classifier of paths, PIL images and arrays, as it was scored.

    Raises:
        ConfigError: There is no such run or file, or its network cannot be built again.
        ResourceError: The device is not there, or a package is missing.
    """
    path = _expanded(place)
    if path.is_file() or path.suffix in (".onnx", ".pt2", ".safetensors"):
        if ensemble or (candidate, task, seed) != (None, None, None):
            raise ConfigError(
                f"{path}: is one classifier; candidate, task, seed and ensemble belong to a study"
            )
        if device not in ("auto", "cpu"):
            raise ConfigError(
                f"--device: got '{device}', expected cpu: exported files compute on the processor"
            )
        return _load_file(path, raw=raw, threads=threads, base_dir=Path(base_dir))
    from bakeoff.study.trained import load as load_run

    runs = find_runs(path, candidate=candidate, task=task, seed=seed, ensemble=ensemble).runs
    members = [load_run(run.path, device=device, base_dir=base_dir, raw=raw) for run in runs]
    return Ensemble(members) if ensemble else members[0]


def _expanded(path: str | Path) -> Path:
    return Path(os.path.expanduser(path))  # Path.expanduser raises for an unknown user


@dataclass(frozen=True, slots=True)
class Found:
    """Runs that are meant, and why these."""

    runs: tuple[RunFolder, ...]  # one at least, whose weights are there
    why: str  # empty where all was named


def find_runs(
    path: Path,
    *,
    candidate: str | None = None,
    task: str | None = None,
    seed: int | None = None,
    ensemble: bool = False,
) -> Found:
    """Find the run that is meant, or all finished seeds of its candidate.

    Args:
        path: A run's folder, or a study's.
        candidate: As for `load`.
        task: As for `load`.
        seed: As for `load`.
        ensemble: As for `load`.

    Returns:
        The runs, and how they were chosen.

    Raises:
        ConfigError: There is no such run, or it did not finish, or it has no weights.
        DataError: No run of the task has finished.
        StudyError: A record of the study contradicts its predictions.
    """
    why: list[str] = []
    if path.name.startswith(SEED):
        if (candidate, task, seed) != (None, None, None):
            raise ConfigError(f"{path}: is one run; candidate, task and seed belong to a study's folder")
        study, ended = StudyFolder.of_run(path), RunFolder(path).read()
        if ended is None:
            raise ConfigError(f"{path} holds no run that has ended")
        record = ended
    elif StudyFolder(path).read_lock() is None:
        raise ConfigError(f"got {path}, expected the folder of a run or of a study, or an exported file")
    else:
        study, result = StudyFolder(path), open_study(path)
        if candidate is not None:
            record = _named(result, candidate, task, seed)
        else:
            choice = result.choose(task)
            record = choice.record
            if seed is not None:
                record = _named(result, record.candidate, record.task, seed)
            why += [f"{choice.why}; --candidate names another"]
        if seed is None and not ensemble:
            why += ["the best seed by validation accuracy; --seed names another"]
    records = [record]
    if ensemble:
        records = [
            one for one in study.records()
            if (one.task, one.candidate, one.status) == (record.task, record.candidate, "finished")
        ]  # fmt: skip
    return Found(tuple(_usable(study, one) for one in records), "; ".join(why))


def _named(result: StudyResult, candidate: str, task: str | None, seed: int | None) -> RunRecord:
    """Find a candidate's run: of a seed, or the best by validation accuracy."""
    spec, records = result.folder.spec(), result.records
    tasks = [one.name for one in spec.tasks]
    if task is not None and task not in tasks:
        raise UnknownNameError(f"task: got '{task}'{nearest(task, tasks)}")
    names = sorted({one.name for one in spec.candidates})
    if candidate not in names:
        raise UnknownNameError(f"candidate: got '{candidate}'{nearest(candidate, names)}")
    found = [
        one for one in records
        if task in (None, one.task) and candidate == one.candidate and seed in (None, one.seed)
    ]  # fmt: skip
    where = {one.task for one in found}
    if len(where) > 1:
        raise ConfigError(f"task: the study has runs of it in {', '.join(sorted(where))}; name one")
    if not found:
        asked = (("task", task), ("candidate", candidate), ("seed", seed))
        words = ", ".join(f"{name} {value}" for name, value in asked if value is not None)
        raise ConfigError(f"{result.path}: has no run of {words} that has ended")
    finished = [one for one in found if one.status == "finished"]
    if not finished:
        return found[0]  # refused with its reason
    return max(finished, key=lambda record: record.metric("validation_accuracy"))


def _usable(study: StudyFolder, record: RunRecord) -> RunFolder:
    """Refuse a run that nothing can be done with."""
    folder = study.run(record.task, record.candidate, record.seed)
    if record.status != "finished":
        raise ConfigError(f"{folder.path} {record.status}: {record.reason}")
    if record.external:
        raise ConfigError(
            f"{folder.path} is of an external program, '{record.candidate}', of which only predictions are "
            "kept; name another with --candidate, or give the folder of that one's run"
        )
    if not folder.weights_path.exists():
        raise ConfigError(
            f"{folder.path} has no weights: a published copy of a study goes without them; "
            "use the folder that it was made from, or train it again"
        )
    return folder


def _load_file(path: Path, *, raw: bool, threads: int | None, base_dir: Path) -> Predictor:
    """Load an exported file, by its suffix."""
    if path.suffix == ".onnx":
        from bakeoff.deploy.bundle import Bundle

        bundle = Bundle.open(path, threads=threads)
        return bundle.raw() if raw else bundle
    if path.suffix not in (".pt2", ".safetensors"):
        raise ConfigError(f"{path}: got a file, expected one that ends in .onnx, .pt2 or .safetensors")
    from bakeoff.deploy.forms import read_program, read_weights

    found = read_program(path) if path.suffix == ".pt2" else read_weights(path, base_dir=base_dir)
    return found.raw() if raw else found


def export(
    place: str | Path,
    to: str = "onnx",
    *,
    out: str | Path | None = None,
    candidate: str | None = None,
    task: str | None = None,
    seed: int | None = None,
    data: str | Path | None = None,
    unchecked: bool = False,
    quantize: str | None = None,
    card: str | Path | bool = True,
    index: bool = False,
    base_dir: str | Path = ".",
    cache_dir: str | Path | None = None,
    tell: Tell = lambda what: None,
) -> Exported:
    """Write a run's classifier to a file, and prove that the file says what was recorded.

    Args:
        place: A run's folder, or a study's.
        to: ``onnx``, ``torch-export`` or ``safetensors``.
        out: The file; None is named after study and candidate, in the working folder.
        candidate: As for `load`.
        task: As for `load`.
        seed: As for `load`.
        data: Where the task's images lie, if not where the study found them.
        unchecked: Do without the test images, and so without a proof.
        quantize: ``int8``, for ONNX: calibrated and chosen on validation images.
        card: Where the model card goes; True is beside the file, False writes none.
        index: Write embeddings and thumbnails of training images beside the ONNX file: it ships images.
        base_dir: What relative paths of the study refer to.
        cache_dir: Where decoded images are kept; None is the user's cache folder.
        tell: Hears what is being done.

    Returns:
        What was written and proved.

    Raises:
        BakeoffError: There is no such run, its images are not at hand, the file does not say what was
            recorded, or a package is missing; no file is left behind that was not proved.
    """
    from bakeoff.deploy.card import card_of, write_card
    from bakeoff.deploy.export import export as write
    from bakeoff.study.trained import load as load_run

    form = _form(to, quantize=quantize, index=index, unchecked=unchecked)
    run = find_runs(_expanded(place), candidate=candidate, task=task, seed=seed).runs[0]
    study = StudyFolder.of_run(run.path)
    trained = load_run(run.path, base_dir=base_dir)
    shipment = _shipment(trained, study, Path(base_dir), quantized=quantize is not None)
    target = _target(out, shipment, form)
    place_of_card = target.with_suffix(".md") if isinstance(card, bool) else _expanded(card)
    if place_of_card.suffix in (target.suffix, ".json", ".npz"):
        raise ConfigError(
            f"--card: got '{card}', expected a Markdown file such as {target.with_suffix('.md')}"
        )
    images = None
    if not unchecked:
        where = None if cache_dir is None else Path(cache_dir).absolute()
        images = _images(study, shipment.task, data, Path(base_dir), where)
    found = write(shipment, target, form, data=images, int8=quantize is not None, tell=tell)
    if index and images is not None:
        found = _with_index(found, images, tell)
    if card:
        write_card(place_of_card, card_of(found, study, shipment.record))
        found = replace(found, card=place_of_card)
    return found


def _form(to: str, *, quantize: str | None, index: bool, unchecked: bool) -> Form:
    """Refuse wishes that do not go together."""
    if to not in FORMS:
        raise UnknownNameError(f"--to: got '{to}', expected one of {', '.join(FORMS)}{nearest(to, FORMS)}")
    if quantize not in (None, "int8"):
        raise ConfigError(f"--quantize: got '{quantize}', expected int8")
    for flag, wanted in (("--quantize", quantize is not None), ("--index", index)):
        if wanted and to != "onnx":
            raise ConfigError(f"{flag}: got --to {to}, expected onnx")
        if wanted and unchecked:
            raise ConfigError(f"{flag}: needs the study's images, expected no --unchecked")
    form: Form = "onnx" if to == "onnx" else "torch-export" if to == "torch-export" else "safetensors"
    return form


def _shipment(trained: Trained, study: StudyFolder, base_dir: Path, *, quantized: bool) -> Shipment:
    """Collect what is written to the file."""
    from bakeoff.deploy.export import Shipment
    from bakeoff.deploy.forms import Plan
    from bakeoff.training.classifier import Classifier

    run, known = trained.run, None
    if run is not None:
        known = study.read_task(run.record.task)
    if run is None or known is None or not isinstance(trained.model, Classifier):
        raise ConfigError(f"export: {study.path} does not say what the run was")
    record = run.record
    return Shipment(
        classifier=trained.model,
        plan=Plan(architecture=run.architecture, mean=run.mean, std=run.std, base_dir=base_dir.absolute()),
        record=record, folder=run.folder, task=run.task, class_ids=tuple(known.class_ids),
        class_names=tuple(known.class_names), views=record.recipe.get("test_views", "one"),
        temperature=trained.temperature,
        name=f"{slug(record.study)}-{slug(record.candidate)}{'-int8' if quantized else ''}",
    )  # fmt: skip


def _target(out: str | Path | None, shipment: Shipment, form: Form) -> Path:
    """Name the file."""
    from bakeoff.deploy.forms import SUFFIXES

    suffix = SUFFIXES[form]
    if out is None:
        return Path(f"{shipment.name}{suffix}")
    target = _expanded(out)
    if target.suffix != suffix:
        raise ConfigError(f"--out: got '{target}', expected a file that ends in {suffix}")
    return target


def _images(
    study: StudyFolder, task: TaskSpec, data: str | Path | None, base_dir: Path, cache_dir: Path | None
) -> TaskData:
    """Find the images that the run was scored on: where the study says, from here or from its file."""
    from bakeoff.data.prepare import prepare

    locations = {} if data is None else {task.data: _expanded(data).absolute()}
    command = (study.read_lock() or {}).get("command") or {}
    told = Path(str(command.get("study", "")))
    places = [base_dir.absolute(), *([told.absolute().parent] if told.suffix == ".toml" else [])]
    reason: BakeoffError | None = None
    for place in places:
        try:
            return prepare(
                task, locations=locations, base_dir=place, cache_dir=cache_dir, on_corrupt="exclude",
                download=False,
            )  # fmt: skip
        except BakeoffError as error:
            reason = reason or error
    raise DataError(
        f"export: the test images are not at hand ({reason}); say where they are with --data, "
        "or export with --unchecked"
    )


def _with_index(found: Exported, images: TaskData, tell: Tell) -> Exported:
    """Write the index beside a file."""
    from bakeoff.deploy.bundle import Bundle
    from bakeoff.deploy.index import index_path, write_index

    path = index_path(found.path)
    write_index(
        path, Bundle.open(found.path), images.images_NHWC[images.train], images.labels_N[images.train],
        [images.keys[position] for position in images.train], tell=tell,
    )  # fmt: skip
    return replace(found, index=path)
