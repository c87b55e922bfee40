"""Runs of earlier studies, as sources: found by their folder, rebuilt from what that study says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from bakeoff.errors import ConfigError
from bakeoff.models.architecture import Architecture, External, OnBackbone, Searched
from bakeoff.models.user_file import is_user_model
from bakeoff.models.written import read_architecture
from bakeoff.records import RunFolder, RunRecord, StudyFolder
from bakeoff.records.study import SEED
from bakeoff.spec import CandidateSpec, StudySpec, TaskSpec
from bakeoff.spec.macro import Macro
from bakeoff.study.origins import on_backbone, on_source


@dataclass(frozen=True)
class Earlier:
    """A finished run of another study, and what its network is."""

    folder: RunFolder
    record: RunRecord
    task: TaskSpec
    class_names: tuple[str, ...]  # in the order of the outputs
    architecture: Architecture
    mean: tuple[float, ...]  # of its preprocessing, 0..255
    std: tuple[float, ...]
    # Digests of the images that it, or a run that it stands on, was trained or chosen by; None when unknown
    seen: frozenset[str] | None

    @property
    def classes(self) -> int:
        """Outputs of its network."""
        return len(self.class_names)


def earlier_run(
    source: str, seed: int, base_dir: Path, *, asker: str = "from", own_files: bool = False
) -> Earlier:
    """Find a run by its folder, or by its candidate's folder and a seed.

    Args:
        source: ``<study>/runs/<task>/<candidate>``, with or without ``seed-<k>``.
        seed: Taken where the folder names none.
        base_dir: What a relative path refers to.
        asker: What wants it; in front of every message.
        own_files: Whether networks from a user's file are taken. A study that stands on another one's run
            takes none: its own results would hang on that file.

    Returns:
        The run.

    Raises:
        ConfigError: There is no finished run, or its network cannot be built again from its study.
    """
    try:
        return _find(source, seed, base_dir, own_files=own_files)
    except ConfigError as error:
        raise ConfigError(f"{asker}: {error}") from None


def earlier_of(candidate: CandidateSpec, seed: int, base_dir: Path) -> Earlier | None:
    """Find the run of an earlier study that a candidate stands on, if it does."""
    if not candidate.is_on_earlier:
        return None
    return earlier_run(candidate.source or "", seed, base_dir)


def _find(source: str, seed: int, base_dir: Path, *, own_files: bool) -> Earlier:
    path = base_dir / os.path.expanduser(source)
    path = path if path.name.startswith(SEED) else path / f"{SEED}{seed}"
    record = RunFolder(path).read()
    if record is None:
        raise ConfigError(f"{path} holds no run that has ended")
    if record.status != "finished":
        raise ConfigError(f"{path} {record.status}: {record.reason}")
    study = StudyFolder.of_run(path)
    spec = study.spec()
    task = next((task for task in spec.tasks if task.name == record.task), None)
    known = study.read_task(record.task)
    if task is None or known is None:
        raise ConfigError(f"the study {study.path} no longer has the task '{record.task}'")
    folder = study.run(record.task, record.candidate, record.seed)
    asked = _Asked(study, spec, task, record.seed, len(known.class_ids), own_files)
    third = _third(asked, record.candidate)
    architecture = _architecture(asked, record.candidate, third)
    if isinstance(architecture, External):
        raise ConfigError(
            f"{path} is of an external program, {record.candidate!r}, of which only predictions are kept; "
            "expected a run whose network bakeoff has trained"
        )
    mean, std = _preprocessing(folder)
    seen = _seen(study, record.task)
    if third is not None:
        seen = None if seen is None or third.seen is None else seen | third.seen
    return Earlier(folder, record, task, tuple(known.class_names), architecture, mean, std, seen)


def network_of(study: StudyFolder, spec: StudySpec, record: RunRecord, *, classes: int) -> Architecture:
    """Say what an ended run's network is, by its study; its weights need not be there.

    Args:
        study: The run's study.
        spec: What it says.
        record: The run's.
        classes: Of its task.

    Returns:
        The network; one from a user's file too.

    Raises:
        ConfigError: A run that it stands on is not there.
    """
    task = next(task for task in spec.tasks if task.name == record.task)
    asked = _Asked(study, spec, task, record.seed, classes, own_files=True)
    return _architecture(asked, record.candidate, _third(asked, record.candidate))


def _preprocessing(folder: RunFolder) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Read mean and deviation of each channel from a run's weights, of which they are a part."""
    path = folder.weights_path
    try:
        with safe_open(path, framework="pt") as weights:
            mean, scale = (weights.get_tensor(f"preprocess.{name}").reshape(-1) for name in ("mean", "scale"))
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"cannot read the weights {path}: {error}") from None
    return tuple(mean.tolist()), tuple((1 / scale).tolist())


def _seen(study: StudyFolder, task: str) -> frozenset[str] | None:
    """List the digests of a task's training and validation images."""
    rows = study.read_manifest(task)
    if not rows or "sha256" not in rows[0]:
        return None
    return frozenset(row["sha256"] for row in rows if row["part"] in ("train", "validation"))


@dataclass(frozen=True)
class _Asked:
    """Where a candidate's network is looked up."""

    study: StudyFolder
    spec: StudySpec
    task: TaskSpec
    seed: int
    classes: int
    own_files: bool  # whether networks from users' files are taken

    def candidate(self, name: str) -> CandidateSpec:
        """Find a candidate."""
        found = next((one for one in self.spec.candidates_of(self.task) if one.name == name), None)
        if found is None:
            raise ConfigError(f"the study {self.study.path} no longer has the candidate '{name}'")
        return found


def _third(asked: _Asked, name: str) -> Earlier | None:
    """Find the run of yet another study that a candidate stands on in the end, if it does."""
    candidate = asked.candidate(name)
    source = candidate.source
    if source is None or candidate.is_pretrained:
        return None
    if not candidate.is_on_earlier:
        return _third(asked, source)
    if not Path(os.path.expanduser(source)).is_absolute():
        raise ConfigError(
            f"'{name}' of {asked.study.path} stands on a third study's run, {source}, by a relative path; "
            "expected an absolute one"
        )
    return _find(source, asked.seed, Path(), own_files=asked.own_files)


def _architecture(asked: _Asked, name: str, third: Earlier | None) -> Architecture:
    """Say what a candidate's network was, by its study."""
    study, task, candidate = asked.study, asked.task, asked.candidate(name)
    if candidate.external is not None:
        return External(command=candidate.external)
    if candidate.search is not None:
        ended = study.run(task.name, name, asked.seed).read()
        found = read_architecture(ended.architecture) if ended is not None and ended.architecture else None
        return Searched(
            search=candidate.search, found=found if isinstance(found, Macro | OnBackbone) else None
        )
    if candidate.network is not None:
        return candidate.network
    if candidate.model is not None:
        if is_user_model(candidate.model) and not asked.own_files:
            raise ConfigError(
                f"'{name}' of {study.path} is a network from a file, {candidate.model}; "
                "make it a candidate of this study"
            )
        return candidate.model
    source = candidate.source or ""
    if candidate.is_pretrained:
        weights = None if candidate.weights is None else Path(os.path.expanduser(candidate.weights))
        ended = study.run(task.name, name, asked.seed).read()  # holds those weights by now, changed or not
        noted = {} if ended is None else ended.pretrained
        return on_backbone(candidate, weights, noted.get("weights_sha256", ""))
    if candidate.is_on_earlier and third is not None:
        return on_source(
            candidate, third.folder, base=third.architecture, classes=third.classes,
            input_size=third.record.input_size, name=third.record.candidate, identity=third.record.identity,
        )  # fmt: skip
    record = study.run(task.name, source, asked.seed).read()
    if record is None:
        raise ConfigError(f"the run that '{name}' of {study.path} stands on is not there")
    return on_source(
        candidate, study.run(task.name, source, asked.seed),
        base=_architecture(asked, source, third), classes=asked.classes,
        input_size=record.input_size, name=source, identity=record.identity,
    )  # fmt: skip
