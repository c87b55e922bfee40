"""What a study's folder has promised to hold constant, and the refusal of everything else.

The lock stores the study, the digests of its images and files, the machine that was resolved
and the versions. A later command may add tasks, candidates and seeds, change words (titles,
notes, published figures), and change a task or a candidate of which no run has ended;
anything else belongs to another folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from bakeoff.data.prepare import TaskData
from bakeoff.errors import ConfigError, StudyError
from bakeoff.records import SCHEMA, StudyFolder
from bakeoff.records.digests import FILES, LATE
from bakeoff.spec import StudySpec
from bakeoff.spec.load import STUDY_FILE
from bakeoff.study.engines.settings import EngineSettings, check_room, share_of_cores
from bakeoff.study.plan import Resolved, resolve
from bakeoff.training.machine import describe_environment, resolve_machine

_WORDS = {"title", "description", "note", "published"}


def open_lock(
    folder: StudyFolder,
    spec: StudySpec,
    *,
    device: str,
    threads: int | None,
    engine: EngineSettings = EngineSettings(),  # noqa: B008 - frozen
) -> Resolved:
    """Resolve the machine as the folder's lock has it, or anew for a new folder; write nothing.

    Args:
        folder: New, empty, or a study's.
        spec: The study that wants it.
        device: As the user gave it.
        threads: As the user gave it.
        engine: As the user gave it: runs at once share the cores of a new study.

    Returns:
        What holds for every run in this folder.

    Raises:
        StudyError: The folder belongs to another study; the differing keys are named.
        ConfigError: Device, threads or processes are not those of the lock, or the cores do not suffice.
        ResourceError: The lock's device is not here.
    """
    lock = folder.read_lock()
    if lock is None:
        _refuse_foreign(folder.path)
        processes = engine.processes or 1
        given = threads if threads is not None else share_of_cores(engine, processes)
        machine = resolve_machine(device, given, processes)
        check_room(engine, machine, "--threads")
        return resolve(machine)
    if lock.get("schema") != SCHEMA:
        raise StudyError(
            f"{folder.lock_path}: written with record schema {lock.get('schema')}, "
            f"this version has {SCHEMA}; use another --out"
        )
    differing = differences(_with_results(folder, folder.spec()), spec.resolved())
    if differing:
        raise StudyError(
            f"--out: {folder.path} holds another study, differing in {', '.join(differing)}; "
            "use another folder"
        )
    try:
        resolved = _as_locked(lock["resolved"], device, threads, engine.processes, str(folder.lock_path))
    except (KeyError, TypeError, AttributeError):
        raise StudyError(f"{folder.lock_path} is not a study's lock: it names no machine") from None
    check_room(engine, resolved.machine, str(folder.lock_path))
    return resolved


def _with_results(folder: StudyFolder, spec: StudySpec) -> dict[str, Any]:
    """Write the part of a study that has results, a task's seeds those that have: only that is promised.

    What failed before it read a test image is no result: it is tried again, also as its message advises.
    """
    records = [one for one in folder.records(spec) if one.status != "failed" or one.test_readings]
    ended = {(record.task, record.candidate) for record in records}
    values = spec.resolved()
    values["task"] = [
        task | {"seeds": sorted({record.seed for record in records if record.task == task["name"]})}
        for task in values["task"]
        if any(task["name"] == name for name, _ in ended)
    ]
    values["candidate"] = [
        candidate
        for candidate in values["candidate"]
        if any(
            candidate["name"] == name and candidate["task"] in (None, task_name) for task_name, name in ended
        )
    ]
    return values if ended else {"name": spec.name}


def holds_others(path: Path) -> bool:
    """Tell whether a folder in which no study was begun holds files that are not ours.

    Args:
        path: It may be missing.

    Returns:
        False where there is nothing but what `bakeoff train` or a process killed at its first lock leaves.

    Raises:
        ConfigError: It is no folder, or cannot be read.
    """
    try:
        names = [entry.name for entry in path.iterdir()]
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigError(f"--out: {path}: {error.strerror}; expected a new or a study's folder") from None
    ours = (".claim", STUDY_FILE)
    return any(
        name not in ours and not (name.startswith(".") and name.endswith(".partial")) for name in names
    )


def _refuse_foreign(path: Path) -> None:
    """Refuse a folder with files of somebody else's, and what is no folder."""
    if holds_others(path):
        raise StudyError(f"--out: {path} is not empty and holds no study; expected a new or a study's folder")


def _as_locked(
    values: Mapping[str, Any], device: str, threads: int | None, processes: int | None, where: str
) -> Resolved:
    if threads is not None and threads != values["threads"]:
        raise ConfigError(
            f"--threads: got {threads}, but this study was started with {values['threads']} ({where}); "
            "another number gives other sums: leave it out, or use another --out"
        )
    if device not in ("auto", values["device"]):
        raise ConfigError(
            f"--device: got '{device}', but this study was started on '{values['device']}' ({where}); "
            "use another --out"
        )
    locked = values.get("processes", 1)
    if processes not in (None, locked):
        raise ConfigError(
            f"--processes: got {processes}, but this study was started with {locked} ({where}); "
            "another number gives other sums: leave it out, or use another --out"
        )
    machine = resolve_machine(values["device"], values["threads"], locked)
    precision = {name: (pair["used"], pair["reason"]) for name, pair in values["precision"].items()}
    return Resolved(machine, cast(Any, precision))


def write_lock(
    folder: StudyFolder,
    spec: StudySpec,
    resolved: Resolved,
    data: Mapping[str, TaskData],
    command: Mapping[str, Any] | None = None,
) -> None:
    """Write or extend the lock.

    Args:
        folder: The study's.
        spec: The newest form of the study.
        resolved: What `open_lock` returned.
        data: The prepared images by task; other tasks keep what the lock says.
        command: How the study was asked for (``study``, ``flags``), for whoever wants to do it again.

    Raises:
        StudyError: A task's images are not those that the folder's runs have seen.
    """
    old = folder.read_lock() or {}
    ended = {record.task for record in folder.records()} if old else set()
    tasks = {name: digests for name, digests in old.get("tasks", {}).items() if name in ended}
    for name, task_data in data.items():
        digests = {"data_fingerprint": task_data.fingerprint, "split_digest": task_data.split_digest}
        if name in tasks and tasks[name] != digests:
            raise StudyError(
                f"{folder.path}: the images of task '{name}' are not those of its earlier runs "
                f"(fingerprint {task_data.fingerprint[:12]}, "
                f"before {tasks[name]['data_fingerprint'][:12]}{_changed(folder, name, task_data)}); "
                "use another --out"
            )
        tasks[name] = digests
    folder.write_lock({
        "schema": SCHEMA,
        "study": spec.as_dict(),
        "command": dict(command) if command is not None else old.get("command"),
        "tasks": tasks,
        "resolved": {
            "device": resolved.machine.device,
            "threads": resolved.machine.threads,
            **({"processes": resolved.machine.processes} if resolved.machine.processes > 1 else {}),
            "precision": {
                asked: {"used": used, "reason": why} for asked, (used, why) in resolved.precision.items()
            },
        },
        "environment": old.get("environment") or describe_environment(resolved.machine),
        **{key: old[key] for key in (FILES, LATE) if key in old},
    })  # fmt: skip


def _changed(folder: StudyFolder, name: str, data: TaskData) -> str:
    """Say how many images of a task are new, gone or changed since its earlier runs, and name one."""
    before = {row["file"]: row.get("sha256", "") for row in folder.read_manifest(name)}
    if not before:
        return ""
    now = dict(zip(data.keys, data.digests, strict=True))
    kinds = {
        "new": now.keys() - before.keys(),
        "gone": before.keys() - now.keys(),
        "changed": {file for file in now.keys() & before.keys() if before[file] not in ("", now[file])},
    }
    told = [f"{len(files)} {kind}, such as {min(files)}" for kind, files in kinds.items() if files]
    return "".join(f"; {words}" for words in told)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Name the keys of an earlier study that a newer file changes or lacks.

    What the newer file adds is no difference, nor are words (titles, notes, figures).

    >>> differences({"name": "a", "seeds": [0]}, {"name": "a", "seeds": [0, 1], "title": "A"})
    []
    >>> differences({"recipe": {"epochs": 5}}, {"recipe": {"epochs": 6}})
    ['recipe.epochs']
    """
    found = [
        key
        for key in old
        if key not in _WORDS | {"seeds", "task", "candidate", "recipe"} and old.get(key) != new.get(key)
    ]
    if "recipe" in old:
        found += [f"recipe.{key}" for key in _differing(old["recipe"], new.get("recipe", {}))]
    if "seeds" in old and not set(old["seeds"]) <= set(new.get("seeds", [0])):
        found.append("seeds")
    for kind in ("task", "candidate"):
        newer = {_name(item): item for item in new.get(kind, ())}
        for item in old.get(kind, ()):
            label = f"{kind} '{item['name']}'"
            if _name(item) not in newer:
                found.append(label)
                continue
            found += [f"{label}.{key}" for key in _differing(item, newer[_name(item)])]
            planned = new.get("seeds", [0])[: newer[_name(item)].get("seeds")]
            if "seeds" not in found and not set(item.get("seeds") or ()) <= set(planned):
                found.append(f"{label}.seeds")
    return sorted(found)


def _name(item: Mapping[str, Any]) -> tuple[str, str | None]:
    return item["name"], item.get("task")


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return sorted(
        key for key in (old.keys() | new.keys()) - _WORDS - {"seeds"} if old.get(key) != new.get(key)
    )
