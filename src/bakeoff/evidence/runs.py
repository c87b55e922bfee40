"""Ended runs with their per-image predictions, and metrics that these prove.

A metric is computed from `predictions.npz`; the recorded number must agree with it,
so no table can say what the predictions do not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from bakeoff.errors import StudyError
from bakeoff.evidence.metrics import METRICS, measure
from bakeoff.records import Predictions, RunFolder, RunRecord, StudyFolder
from bakeoff.spec import StudySpec


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that has ended; one that did not finish has no predictions and no metrics."""

    record: RunRecord
    test: Predictions | None
    validation: Predictions | None
    metrics: dict[str, float]  # "test_accuracy", "validation_loss", ...; proved where predictions exist
    folder: RunFolder | None = None  # where it lies; None for one that was made up

    @property
    def finished(self) -> bool:
        """Whether it trained to its end and was tested."""
        return self.record.status == "finished"

    def metric(self, name: str) -> float | None:
        """Return a metric such as ``test_accuracy``, or None when this run has none."""
        return self.metrics.get(name)


Key = tuple[str, str, int]  # task, candidate, seed


def load_runs(
    folder: StudyFolder,
    spec: StudySpec | None = None,
    task: str | None = None,
    known: Mapping[Key, Run | None] = MappingProxyType({}),
) -> list[Run]:
    """Read the ended runs of a study, or of one task.

    Args:
        folder: The study.
        spec: Which runs, when not all those of the folder's lock.
        task: The name of a task; None is all.
        known: Runs that need not be read, because this process has just scored them; None for one that
            has not ended.

    Returns:
        The runs in the study's order.

    Raises:
        StudyError: A record contradicts its predictions, or a file cannot be read.
    """
    spec = spec or folder.spec()
    found = []
    for one in spec.tasks:
        for candidate in spec.candidates_of(one) if task in (None, one.name) else ():
            for seed in spec.seeds_of(one):
                key = one.name, candidate.name, seed
                run = known[key] if key in known else _load(folder.run(*key))
                found += [run] if run is not None else []
    return found


def as_recorded(record: RunRecord, folder: RunFolder) -> Run:
    """Take a run at its record's word, which this process has just computed: nothing is read back.

    Args:
        record: Of a run that has ended.
        folder: Where it lies.

    Returns:
        The run without its predictions.
    """
    if record.status != "finished":
        return Run(record=record, test=None, validation=None, metrics={})
    metrics = {
        name: value for name, value in record.metrics.items() if value is not None and math.isfinite(value)
    }
    return Run(record=record, test=None, validation=None, metrics=metrics, folder=folder)


def _load(run_folder: RunFolder) -> Run | None:
    """Read a run that has ended, and prove its metrics; None where there is none."""
    record = run_folder.read()
    if record is None:
        return None
    told = as_recorded(record, run_folder)
    if not told.finished:
        return told
    test, validation = run_folder.read_predictions("test"), run_folder.read_predictions("validation")
    metrics = dict(told.metrics)
    for split, predictions in (("test", test), ("validation", validation)):
        if predictions is not None and len(predictions.label_N):
            proved = measure(predictions, split)
            _refuse_contradiction(run_folder, metrics, proved)
            metrics.update(proved)
    return replace(told, test=test, validation=validation, metrics=metrics)


def _refuse_contradiction(
    run_folder: RunFolder, recorded: dict[str, float], proved: dict[str, float]
) -> None:
    """Stop when a recorded metric is not that of the predictions, beyond rounding."""
    for name, value in proved.items():
        # A mean loss summed in single precision may differ in its fifth digit.
        bounded = METRICS[name.split("_", 1)[1]].bounds[1] <= 1
        tolerance = 1e-6 if bounded else 1e-4 * max(1.0, abs(value))
        if name in recorded and abs(recorded[name] - value) > tolerance:
            raise StudyError(
                f"{run_folder.record_path}: {name} is {recorded[name]:.6f}, "
                f"but its per-image predictions give {value:.6f}; expected the same"
            )
