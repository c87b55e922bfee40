"""Ended runs with their per-image predictions, and metrics that these prove.

A metric is computed from `predictions.npz`; the recorded number must agree with it,
so no table can say what the predictions do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

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


def load_runs(folder: StudyFolder, spec: StudySpec | None = None, task: str | None = None) -> list[Run]:
    """Read the ended runs of a study, or of one task.

    Args:
        folder: The study.
        spec: Which runs, when not all those of the folder's lock.
        task: The name of a task; None is all.

    Returns:
        The runs in the study's order.

    Raises:
        StudyError: A record contradicts its predictions, or a file cannot be read.
    """
    spec = spec or folder.spec()
    return [_load(folder, record) for record in folder.records(spec) if task in (None, record.task)]


def _load(folder: StudyFolder, record: RunRecord) -> Run:
    if record.status != "finished":
        return Run(record=record, test=None, validation=None, metrics={})
    run_folder = folder.run(record.task, record.candidate, record.seed)
    test, validation = run_folder.read_predictions("test"), run_folder.read_predictions("validation")
    metrics = {
        name: value for name, value in record.metrics.items() if value is not None and math.isfinite(value)
    }
    for split, predictions in (("test", test), ("validation", validation)):
        if predictions is not None and len(predictions.label_N):
            proved = measure(predictions, split)
            _refuse_contradiction(run_folder, metrics, proved)
            metrics.update(proved)
    return Run(record=record, test=test, validation=validation, metrics=metrics, folder=run_folder)


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
