"""Proves a study: what follows from its folder, its images, its weights, or a training done again.

Nothing of the study is changed. A check that cannot be made says why; what an older version
of bakeoff did not record is no difference.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from bakeoff.errors import BakeoffError, ConfigError, ResourceError, nearest
from bakeoff.evidence.verification import Check, Findings, check_records, guarded
from bakeoff.evidence.verification.check import some
from bakeoff.evidence.verification.ended import Contents, Ended
from bakeoff.models.architecture import External, OnSource, architecture_digest, user_files
from bakeoff.study.earlier import network_of
from bakeoff.study.identity import control_of, identity_of, recipe_differences
from bakeoff.study.verify_images import Places, check_images, check_manifests
from bakeoff.training.machine import Machine, resolve_machine

_CUT = "\N{HORIZONTAL ELLIPSIS}/"  # in front of a path that a publication has cut


def places_of(
    contents: Contents, locations: Mapping[str, Path], base_dir: Path | None, **more: Any
) -> Places:
    """Find what a study refers to, by what the user says now and by what its lock has kept.

    Args:
        contents: The study.
        locations: From sources' names to paths, as given now.
        base_dir: As given now; None is the folder of the study's file, if that is still there.
        more: Other fields of `Places`.

    Returns:
        Where to look.
    """
    command = (contents.folder.read_lock() or {}).get("command") or {}
    if base_dir is None:
        file = Path(os.path.expanduser(str(command.get("study", ""))))
        base_dir = file.absolute().parent if file.suffix == ".toml" and file.is_file() else Path.cwd()
    kept = _kept_locations(contents, command.get("flags") or [])
    return Places(base_dir=base_dir, locations={**kept, **locations}, **more)


def _kept_locations(contents: Contents, flags: Sequence[Any]) -> dict[str, Path]:
    """Read ``--data`` from the flags that a study was started with, as far as those paths are here."""
    sources = sorted({task.data for task in contents.spec.tasks})
    found = {}
    for flag, value in pairwise(flags if isinstance(flags, list) else []):
        if flag != "--data":
            continue
        name, equals, path = str(value).rpartition("=")
        name = name if equals else sources[0]
        if name in sources and not path.startswith(_CUT) and Path(os.path.expanduser(path)).exists():
            found[name] = Path(os.path.expanduser(path)).absolute()
    return found


def check_identities(contents: Contents, base_dir: Path) -> Check:
    """Digest again what decides every run's weights, and hold that against the run's identity.

    Args:
        contents: The study.
        base_dir: Where relative paths to users' networks start.

    Returns:
        What was found. A network that this version of bakeoff, or its user's file, defines
        otherwise by now is said, and is no difference.
    """
    found = Findings("identities", "identities of runs")
    changed: list[str] = []
    for run in contents.runs:
        record = run.record
        if not (record.model_digest and record.precision.get("used")):
            found.unchecked.append(f"{run.name}: its record does not say what it was made from")
            continue
        identity = identity_of(
            run.task, run.candidate, contents.spec.recipe_for(run.task, run.candidate),
            data=record.data_fingerprint, split=record.split_digest, model=record.model_digest,
            input_size=record.input_size, precision=record.precision["used"], seed=record.seed,
            source=record.source.get("identity"),
        )  # fmt: skip
        words = f"{run.name}: its identity is {record.identity}, but study and record give {identity}"
        found.expect(identity == record.identity, words)
        why = _other_network(contents, run, base_dir)
        if why:
            changed.append(f"{run.name} ({why})")
    if changed:
        found.unchecked.append(f"networks that are not as they were then, or not here: {some(changed)}")
    return found.close()


def _other_network(contents: Contents, run: Ended, base_dir: Path) -> str:
    """Say why a run's network cannot be held against its digest; nothing when both agree."""
    task = contents.tasks.get(run.task.name)
    if task is None:
        return "no task.json"
    try:
        network = network_of(contents.folder, contents.spec, run.record, classes=len(task.class_ids))
        if isinstance(network, OnSource) and network.identity != run.record.source.get("identity"):
            return "what it stands on was trained again"
        now = architecture_digest(network, base_dir)
    except (BakeoffError, KeyError) as error:
        return str(error)
    if now == run.record.model_digest:
        return ""
    if isinstance(network, External):
        return "its command or a file of it is not as it was, or not here"
    files = user_files(network)
    return f"{files[0]} has changed" if files else "this version of bakeoff defines it otherwise"


def check_controls(contents: Contents) -> Check:
    """Digest again what every run's task held equal, and hold that against the run's control digest."""
    found = Findings("controls", "control digests")
    for run in contents.runs:
        record, spec = run.record, contents.spec
        recipe = spec.recipe_for(run.task, run.candidate)
        own = recipe_differences(spec.recipe_of(run.task), recipe)
        terms = {key: value for key, value in record.differences.items() if key not in own}
        if "time" in terms:  # it ran longer than an equal budget allows, and is ranked alone
            found.unchecked.append(f"{run.name}: its control says by itself that it ran too long")
            continue
        precision = record.precision.get("used", "")
        digest = control_of(
            run.task, recipe, precision, data=record.data_fingerprint, split=record.split_digest, terms=terms
        )
        words = f"{run.name}: its control digest is {record.control_digest}, study and record give {digest}"
        found.expect(digest == record.control_digest, words)
    return found.close()


def locked_machine(contents: Contents, device: str, threads: int | None) -> Machine:
    """Decide where weights are evaluated: as the lock has it, where that is here.

    Args:
        contents: The study.
        device: As the user gave it; ``auto`` is the lock's.
        threads: As the user gave it; None is the lock's.

    Returns:
        Where to compute.

    Raises:
        ConfigError: The device is no such name, or the threads are below 1.
        ResourceError: The device that was asked for is not here.
    """
    resolved = (contents.folder.read_lock() or {}).get("resolved", {})
    locked = resolved.get("threads")
    threads = threads or (locked if isinstance(locked, int) and locked > 0 else None)
    if device == "auto":
        try:
            return resolve_machine(str(resolved.get("device", "cpu")), threads)
        except (ConfigError, ResourceError):  # of another machine, or of a lock that was edited
            device = "cpu"
    return resolve_machine(device, threads)


def find_run(contents: Contents, name: str) -> Ended:
    """Find a run by the name that people give it.

    Args:
        contents: The study.
        name: ``task/candidate/seed``; the task may be left out where the study has one.

    Returns:
        The run.

    Raises:
        ConfigError: The study has no such run that has ended; the nearest name is told.
    """
    known: dict[str, Ended] = {run.name: run for run in contents.runs}
    if len(contents.spec.tasks) == 1:
        known |= {run.name.split("/", 1)[1]: run for run in contents.runs}
    if name not in known:
        raise ConfigError(
            f"--retrain: got '{name}', expected a run that has ended, as task/candidate/seed"
            f"{nearest(name, [run.name for run in contents.runs])}"
        )
    return known[name]


def verify_records(contents: Contents, places: Places, *, images: bool) -> list[Check]:
    """Make every check that needs neither weights nor a training.

    Args:
        contents: The study.
        places: Where to look for images and users' networks.
        images: Whether the images are read.

    Returns:
        The checks of `evidence.verification` and those of this module.
    """
    own: list[Callable[[Contents], Check]] = [check_manifests, check_controls]
    checks = [*check_records(contents), *(guarded(check, contents) for check in own)]
    checks.append(guarded(check_identities, contents, places.base_dir))
    if images:
        checks.append(guarded(check_images, contents, places))
    else:
        found = Findings("the images against their manifest", "images")
        found.unchecked.append("the images were not asked for")
        checks.append(found.close())
    return checks
