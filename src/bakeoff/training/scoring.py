"""Scores what was predicted of a run's images and keeps it in the run's folder, whoever has predicted it.

Shape letters: N images of a part, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bakeoff.evidence.calibration import calibrate
from bakeoff.evidence.metrics import measure
from bakeoff.evidence.predictions import summarise_probabilities
from bakeoff.records import RunFolder
from bakeoff.records.atomic import write_arrays
from bakeoff.records.run import Scored


@dataclass(frozen=True, slots=True)
class Scores:
    """What the predictions of a run are worth, as its record has it."""

    metrics: dict[str, float]
    calibration: dict[str, Any]  # empty unless both parts were predicted


def keep_scores(
    folder: RunFolder,
    probabilities: Mapping[Scored, np.ndarray],
    index: Mapping[Scored, np.ndarray],
    labels_N: np.ndarray,
) -> Scores:
    """Write a run's predictions, in short and in full, and score them.

    Args:
        folder: The run's; receives both files.
        probabilities: float32 (N, K) of each part that was predicted.
        index: Which images of the task each part is, in the order of its rows.
        labels_N: Of all images of the task.

    Returns:
        Metrics of each part; and, where confidence can be judged on images that chose nothing, calibration.
    """
    kept = {
        part: summarise_probabilities(values_NK, labels_N[index[part]], index[part])
        for part, values_NK in probabilities.items()
    }
    folder.write_predictions({str(part): rows for part, rows in kept.items()})
    write_arrays(folder.probabilities_path, {str(part): rows for part, rows in probabilities.items()})
    metrics: dict[str, float] = {}
    for part, rows in kept.items():
        metrics |= measure(rows, part)
    if set(probabilities) < {"validation", "test"}:
        return Scores(metrics, {})
    (validation_NK, own_N), (test_NK, test_N) = (
        (probabilities[part], labels_N[index[part]]) for part in ("validation", "test")
    )
    return Scores(metrics, calibrate(validation_NK, own_N, test_NK, test_N).as_record())
