"""The folder of a study: its lock, its tasks and its runs.

study.lock            spec, command, versions and hardware, digests of images, splits and files (JSON)
results.csv           a row per run
results.json          the same with every metric
report.html           the page
study.toml            only from `bakeoff train`, `search` and `run pick`: the study as a file
tasks/<task>/task.json      classes, counts, the names of the test images
tasks/<task>/manifest.csv.gz    every image that was read: file, class, part, SHA-256 of its contents
tasks/<task>/examples.npz   small copies of the images that the report shows
tasks/<task>/attributions.npz   where in some of them each candidate saw what it answered
tasks/<task>/label_errors.json  images worth a look: labels that may be wrong, odd images
tasks/<task>/label_errors.npz   small copies of these
tasks/<task>/checks.json    what is wrong with the images; see `records.checks`
tasks/<task>/checks.npz     small copies of the images that it shows
runs/<task>/<candidate>/seed-<k>/
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from bakeoff.errors import ConfigError, StudyError
from bakeoff.records.atomic import (
    read_arrays,
    read_checked,
    read_json,
    write_arrays,
    write_json,
    write_text,
    writing,
)
from bakeoff.records.attribution import Attributions, read_attributions, write_attributions
from bakeoff.records.checks import TaskChecks, checks_adapter
from bakeoff.records.digests import DIGEST, FILES, lock_digest
from bakeoff.records.label_errors import LabelErrors, label_errors_adapter
from bakeoff.records.run import RunFolder, RunRecord
from bakeoff.spec import StudySpec, study_from_dict
from bakeoff.spec.study import slug


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """What a task's images were, as plain values."""

    name: str
    source: str  # where and how they were read, for people
    class_ids: list[str]
    class_names: list[str]
    counts: dict[str, int]  # images in "train", "validation", "test"
    data_fingerprint: str
    split_digest: str
    image_size: int
    prepare_seconds: float = 0.0
    excluded: list[dict[str, str]] = field(default_factory=list)  # {"file": ..., "reason": ...}
    # Counts by class, modes, sizes; what else was noticed ("ignored_files", "leaks", "dark_16_bit")
    details: dict[str, Any] = field(default_factory=dict)
    test_files: list[str] = field(default_factory=list)  # in the order of the test predictions


RUNS, SEED = "runs", "seed-"  # of the folders of runs: runs/<task>/<candidate>/seed-<k>


MANIFEST_COLUMNS = ("file", "class", "part", "sha256")  # of the list of a task's images

_LEAST = set(MANIFEST_COLUMNS) - {"sha256"}  # a published list goes without the digests

_TABLES = {"study", "command", "tasks", "resolved", "environment", FILES}  # of a lock


@cache
def _task_adapter() -> TypeAdapter[TaskRecord]:
    """Make what checks a task's record, once."""
    return TypeAdapter(TaskRecord)


class StudyFolder:
    """A study on disk: reading, and atomic writing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    lock_path = property(lambda self: self.path / "study.lock")
    csv_path = property(lambda self: self.path / "results.csv")
    json_path = property(lambda self: self.path / "results.json")
    report_path = property(lambda self: self.path / "report.html")

    @classmethod
    def of_run(cls, path: Path) -> StudyFolder:
        """Return the study that a run's folder lies in.

        Args:
            path: Of the run.

        Returns:
            The study's folder, whether it holds a lock or not.

        Raises:
            ConfigError: The path is not one of a run.
        """
        parents = path.absolute().parents
        if not path.name.startswith(SEED) or len(parents) < 4 or parents[2].name != RUNS:
            raise ConfigError(f"got {path}, expected <study>/{RUNS}/<task>/<candidate>/{SEED}<k>")
        return cls(parents[3])

    def run(self, task: str, candidate: str, seed: int) -> RunFolder:
        """Return the folder of one run, whether it exists or not."""
        path = self.path / RUNS / slug(task) / slug(candidate) / f"{SEED}{seed}"
        return RunFolder(path, (task, candidate, seed))

    def read_lock(self) -> dict[str, Any] | None:
        """Read the lock back.

        Returns:
            Its values, or None for a folder that holds no study.

        Raises:
            StudyError: The file is there but is not a lock; the wrong key is named.
        """
        values: dict[str, Any] | None = read_json(self.lock_path, "a study's lock", dict)
        if values is None:
            return None
        if "study" not in values:
            raise StudyError(f"{self.lock_path} is not a study's lock: it names no study")
        for key in sorted(_TABLES & values.keys()):
            optional = key == "command" and values[key] is None  # of a study that came from Python
            if not isinstance(values[key], dict) and not optional:
                came = type(values[key]).__name__
                raise StudyError(
                    f"{self.lock_path} is not a study's lock: {key}: got a {came}, expected a table"
                )
        return values

    def write_lock(self, values: dict[str, Any]) -> None:
        """Write the lock, whole or not at all, with a digest of what it says."""
        write_json(self.lock_path, {**values, DIGEST: lock_digest(values)})

    def spec(self) -> StudySpec:
        """Read back the study that this folder holds.

        Returns:
            The study, checked again.

        Raises:
            StudyError: The folder holds no study, or one that is refused.
        """
        lock = self.read_lock()
        if lock is None:
            raise StudyError(f"{self.path} holds no study: expected a file study.lock in it")
        try:
            return study_from_dict(lock["study"], self.lock_path.name)
        except ConfigError as error:  # nobody wrote it by hand: the file is damaged, or of another version
            raise StudyError(f"{self.path}: {error}") from None

    def write_results(self, csv_text: str, json_values: dict[str, Any]) -> None:
        """Write the tables `results.csv` and `results.json`, as `evidence.results` makes them."""
        write_text(self.csv_path, csv_text)
        write_json(self.json_path, json_values)

    def write_task(self, record: TaskRecord) -> None:
        """Write what a task's images were."""
        write_json(self._task_path(record.name) / "task.json", asdict(record))

    def read_task(self, name: str) -> TaskRecord | None:
        """Read back what a task's images were.

        Args:
            name: The task's.

        Returns:
            The task's record, or None when it was never prepared.

        Raises:
            StudyError: The file is there but is not a task's record.
        """
        path = self._task_path(name) / "task.json"
        return read_checked(path, "a task's record", _task_adapter())

    def manifest_path(self, task: str) -> Path:
        """Return where the list of a task's images lies."""
        return self._task_path(task) / "manifest.csv.gz"

    def task_files(self, task: str) -> list[Path]:
        """List what a task leaves beside its runs; some of it may not be there."""
        folder = self._task_path(task)
        names = (
            "examples.npz", "attributions.npz", "label_errors.json", "label_errors.npz", "checks.json",
            "checks.npz",
        )  # fmt: skip
        return [folder / "task.json", self.manifest_path(task), *(folder / name for name in names)]

    def write_manifest(self, task: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Write the list of a task's images; equal lists give equal bytes."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        with writing(self.manifest_path(task)) as partial:
            partial.write_bytes(gzip.compress(text.getvalue().encode("utf-8", "surrogateescape"), mtime=0))

    def read_manifest(self, task: str) -> list[dict[str, str]]:
        """Read back the list of a task's images.

        Args:
            task: The task's name.

        Returns:
            A row for each image; nothing when there is no list.

        Raises:
            StudyError: The file is there but is no such list.
        """
        path = self.manifest_path(task)
        try:
            text = gzip.decompress(path.read_bytes()).decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return []
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise StudyError(f"{path} does not hold a list of images: {error}") from None
        rows = list(csv.DictReader(io.StringIO(text)))
        if any(None in row or None in row.values() or not row.keys() >= _LEAST for row in rows):
            raise StudyError(f"{path} does not hold a list of images: a row lacks a column")
        return rows

    def write_examples(self, task: str, index_N: np.ndarray, images_NHWC: np.ndarray) -> None:
        """Keep small copies (uint8, at most 64 pixels) of the images that the report shows."""
        write_arrays(self._task_path(task) / "examples.npz", {"index": index_N, "images": images_NHWC})

    def read_examples(self, task: str) -> dict[int, np.ndarray]:
        """Read back small copies of images.

        Args:
            task: The task's name.

        Returns:
            Images (uint8, HWC) by their index; empty when none were kept.

        Raises:
            StudyError: The file is there but does not hold images.
        """
        return _read_images(self._task_path(task) / "examples.npz")

    def write_label_errors(
        self, task: str, found: LabelErrors, index_N: np.ndarray, images_NHWC: np.ndarray
    ) -> None:
        """Keep which images are worth a look, and small copies (uint8, at most 64 pixels) of them."""
        path = self._task_path(task)
        if len(index_N):
            write_arrays(path / "label_errors.npz", {"index": index_N, "images": images_NHWC})
        else:  # those of earlier runs
            (path / "label_errors.npz").unlink(missing_ok=True)
        write_json(path / "label_errors.json", asdict(found))

    def read_label_errors(self, task: str) -> LabelErrors | None:
        """Read back which images are worth a look.

        Args:
            task: The task's name.

        Returns:
            The images, or None when nobody has looked for them.

        Raises:
            StudyError: The file is there but does not hold them.
        """
        path = self._task_path(task) / "label_errors.json"
        return read_checked(path, "a list of images worth a look", label_errors_adapter())

    def read_label_error_images(self, task: str) -> dict[int, np.ndarray]:
        """Read back the copies of images that are worth a look, as `read_examples` does."""
        return _read_images(self._task_path(task) / "label_errors.npz")

    def write_attributions(self, task: str, kept: Attributions) -> None:
        """Keep heat maps of a task's candidates on some of its test images."""
        write_attributions(self._task_path(task) / "attributions.npz", kept)

    def read_attributions(self, task: str) -> Attributions | None:
        """Read heat maps back.

        Args:
            task: The task's name.

        Returns:
            What is kept, or None when nothing is.

        Raises:
            StudyError: The file is there but does not hold heat maps.
        """
        return read_attributions(self._task_path(task) / "attributions.npz")

    def write_checks(self, task: str, checks: TaskChecks) -> None:
        """Write what is wrong with a task's images."""
        write_json(self._task_path(task) / "checks.json", asdict(checks))

    def read_checks(self, task: str) -> TaskChecks | None:
        """Read back what is wrong with a task's images.

        Args:
            task: The task's name.

        Returns:
            The checks, or None when the images were not checked.

        Raises:
            StudyError: The file is there but holds no checks.
        """
        return read_checked(self._task_path(task) / "checks.json", "checks of images", checks_adapter())

    def write_check_images(self, task: str, index_N: np.ndarray, images_NHWC: np.ndarray) -> None:
        """Keep small copies (uint8, at most 64 pixels) of the images that the checks show."""
        write_arrays(self._task_path(task) / "checks.npz", {"index": index_N, "images": images_NHWC})

    def read_check_images(self, task: str) -> dict[int, np.ndarray]:
        """Read back small copies of the images that the checks show, as `read_examples` does."""
        return _read_images(self._task_path(task) / "checks.npz")

    def records(self, spec: StudySpec | None = None) -> Iterator[RunRecord]:
        """Yield the records of the study's runs that have ended, in the study's order."""
        spec = spec or self.spec()
        for task in spec.tasks:
            for candidate in spec.candidates_of(task):
                for seed in spec.seeds_of(task):
                    record = self.run(task.name, candidate.name, seed).read()
                    if record is not None:
                        yield record

    def _task_path(self, name: str) -> Path:
        return self.path / "tasks" / slug(name)


def _read_images(path: Path) -> dict[int, np.ndarray]:
    """Read small copies of images by their index; empty when there is no such file."""
    arrays = read_arrays(path, "images")
    if arrays is None:
        return {}
    try:
        return dict(zip(arrays["index"].tolist(), arrays["images"], strict=True))
    except (KeyError, ValueError) as error:
        raise StudyError(f"{path} does not hold images: {error}") from None
