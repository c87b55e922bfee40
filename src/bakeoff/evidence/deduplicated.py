"""Runs as if the test images that have a twin in training or validation were not there.

A network may have learned such an image by heart, or its copy's other label; without them
the accuracy says more about images that are new. Only accuracies are computed so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bakeoff.evidence.findings import checks_of
from bakeoff.evidence.metrics import METRICS
from bakeoff.evidence.runs import Run
from bakeoff.records import Predictions, StudyFolder
from bakeoff.spec import StudySpec


def without_images(predictions: Predictions, left_out: Collection[int]) -> Predictions:
    """Leave images out of predictions.

    Args:
        predictions: Of one split.
        left_out: Positions among the task's images, as in `Predictions.index_N`.

    Returns:
        The predictions of the others, in their order.
    """
    kept_N = ~np.isin(predictions.index_N, np.fromiter(left_out, dtype=np.int64, count=len(left_out)))
    return Predictions(**{name: values[kept_N] for name, values in vars(predictions).items()})


def without_twins(run: Run, twins: Collection[int]) -> Run:
    """Test a run on the images that have no twin; on none at all, it has no test metrics.

    Args:
        run: A run; one without predictions loses its test metrics.
        twins: Positions of the test images to leave out.

    Returns:
        The run with the metrics of the other test images, which the record does not have to agree with.
    """
    metrics = {name: value for name, value in run.metrics.items() if not name.startswith("test_")}
    test = None if run.test is None else without_images(run.test, twins)
    if test is None or len(test.label_N) == 0:
        return replace(run, test=None, metrics=metrics)
    return replace(run, test=test, metrics={**metrics, "test_accuracy": METRICS["accuracy"].fn(test)})


def deduplicated_results(folder: StudyFolder, spec: StudySpec, runs: Sequence[Run]) -> dict[str, Any]:
    """Say for `results.json` what every run's test accuracy is without the twins.

    Args:
        folder: The study.
        spec: Its tasks.
        runs: Theirs.

    Returns:
        ``{"deduplicated": {task: {"left_out": n, "runs": [{"candidate", "seed", "test_images",
        "test_accuracy"}]}}}`` of the tasks whose images were checked; nothing when none were.

    Raises:
        StudyError: The checks of a task cannot be read.
    """
    found: dict[str, Any] = {}
    for task in spec.tasks:
        checks = checks_of(folder, task.name, folder.read_task(task.name))
        if checks is not None:
            twins = checks.test_twins
            own = [run for run in runs if twins and run.record.task == task.name]
            with_test = [_with_test(run) for run in own]
            rows = [_row(run, without_twins(run, twins)) for run in with_test if run.test is not None]
            found[task.name] = {"left_out": len(twins), "runs": rows}
    return {"deduplicated": found} if found else {}


def _with_test(run: Run) -> Run:
    """Read the test predictions of a run that was taken at its record's word."""
    if run.test is not None or not run.finished or run.folder is None:
        return run
    return replace(run, test=run.folder.read_predictions("test"))


def _row(run: Run, kept: Run) -> Mapping[str, Any]:
    accuracy = kept.metric("test_accuracy")
    return {
        "candidate": run.record.candidate, "seed": run.record.seed,
        "test_images": 0 if kept.test is None else len(kept.test.label_N),
        "test_accuracy": None if accuracy is None else round(accuracy, 6),
    }  # fmt: skip
