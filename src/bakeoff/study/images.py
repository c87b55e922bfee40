"""The images of a study: prepared for every task that is asked for, and noted in its folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from bakeoff.data.prepare import TaskData, prepare
from bakeoff.records import StudyFolder, TaskRecord
from bakeoff.records.study import MANIFEST_COLUMNS
from bakeoff.spec import StudySpec, TaskSpec
from bakeoff.study.progress import StudyListener
from bakeoff.study.selection import Selection


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Where images are found and kept, and what is done about those that cannot be read."""

    locations: Mapping[str, Path] = field(default_factory=dict)  # from a source's name to its folder
    cache_dir: Path | None = None
    decoders: int | None = None  # processes that decode; None is one a core
    on_corrupt: Literal["stop", "exclude"] = "stop"
    download: bool = True


def prepare_tasks(
    spec: StudySpec, selection: Selection, options: DataOptions, base_dir: Path, listener: StudyListener
) -> dict[str, TaskData]:
    """Prepare the images of every task that is asked for.

    Args:
        spec: The whole study.
        selection: The part that is asked for.
        options: Where images are found and kept.
        base_dir: Where relative paths in the study start.
        listener: Hears how far it is.

    Returns:
        Images, labels and split by the task's name.

    Raises:
        BakeoffError: They are missing or not usable.
    """
    found = {}
    for task in selection.tasks_of(spec):

        def tell(phase: str, done: int, total: int, name: str = task.name) -> None:
            listener.on_prepare(name, phase, done, total)

        found[task.name] = prepare(
            task,
            locations=options.locations,
            base_dir=base_dir,
            cache_dir=options.cache_dir,
            decoders=options.decoders,
            on_corrupt=options.on_corrupt,
            download=options.download,
            progress=tell,
        )
        listener.on_data(task.name, found[task.name])
    return found


def write_task(folder: StudyFolder, task: TaskSpec, data: TaskData) -> None:
    """Write what a task's images are, and the list of them unless it is there already.

    Args:
        folder: The study's.
        task: Whose images.
        data: They.
    """
    old, record = folder.read_task(task.name), _task_record(task, data)
    if old is None or _untimed(old) != _untimed(record):  # else its digest would change with every command
        folder.write_task(record)
    same = old is not None and all(
        getattr(old, name) == getattr(record, name) for name in ("data_fingerprint", "split_digest")
    )
    if not (same and folder.manifest_path(task.name).exists()):
        folder.write_manifest(task.name, MANIFEST_COLUMNS, _manifest_rows(data))


def _untimed(record: TaskRecord) -> TaskRecord:
    """Leave out how long the images took, which is another number each time."""
    details = {key: value for key, value in record.details.items() if key not in ("seconds", "cached")}
    return replace(record, prepare_seconds=0.0, details=details)


def _manifest_rows(data: TaskData) -> Iterator[tuple[str, str, str, str]]:
    """Yield for each image, in order: its file, its class, its part, the SHA-256 of its contents."""
    parts = ["" for _ in data.keys]
    for part in ("train", "validation", "test"):
        for index in getattr(data, part):
            parts[index] = part
    for key, label, part, digest in zip(data.keys, data.labels_N, parts, data.digests, strict=True):
        yield key, data.class_ids[label], part, digest


def _task_record(task: TaskSpec, data: TaskData) -> TaskRecord:
    return TaskRecord(
        name=task.name,
        source=data.source,
        class_ids=list(data.class_ids),
        class_names=list(data.class_names),
        counts={split: len(getattr(data, split)) for split in ("train", "validation", "test")},
        data_fingerprint=data.fingerprint,
        split_digest=data.split_digest,
        image_size=task.image_size,
        prepare_seconds=data.seconds,
        excluded=list(data.unreadable),
        details=data.describe(),
        test_files=[data.keys[i] for i in data.test],
    )
