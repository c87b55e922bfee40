"""A comparison as plain values, for machines: numbers as they are, not rounded."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from bakeoff.evidence.candidate_pair import CandidatePair
from bakeoff.evidence.intervals import Interval
from bakeoff.evidence.study_pair import SharedTask, StudyPair
from bakeoff.evidence.summary import CandidateSummary

_NUMBERS = (
    "parameters", "trainable", "multiplications", "input_size", "epochs", "train_seconds", "total_seconds",
    "images_per_second", "peak_memory_bytes",
)  # fmt: skip
_INTERVALS = (
    "accuracy", "loss", "top5", "macro_f1", "balanced_accuracy", "validation_accuracy", "validation_loss",
)  # fmt: skip


def pair_as_dict(pair: CandidatePair) -> dict[str, Any]:
    """Return everything that is known of two candidates as plain values."""
    values = _plain({
        "study": pair.study, "task": pair.task.name,
        "candidates": [_candidate(pair.first), _candidate(pair.second)],
        "same_control": pair.same_control,
        "differences": {key: list(values) for key, values in pair.differences().items()},
        "comparison": asdict(pair.comparison) if pair.comparison else None,
        "comparison_among_all_pairs": asdict(pair.among_all) if pair.among_all else None,
        "unpaired": asdict(pair.unpaired) if pair.unpaired else None,
        "agreement": asdict(pair.agreement) if pair.agreement else None,
        "classes": [asdict(one) for one in pair.classes],
        "images": [asdict(one) for one in pair.partings],
    })  # fmt: skip
    return dict(values)


def studies_as_dict(pair: StudyPair) -> dict[str, Any]:
    """Return everything that is known of two studies beside each other as plain values."""
    values = _plain({
        "studies": [pair.first.name, pair.second.name],
        "tasks": [_task(task) for task in pair.tasks],
        "only_first": pair.only_first, "only_second": pair.only_second, "machines": pair.machines,
    })  # fmt: skip
    return dict(values)


def _task(task: SharedTask) -> dict[str, Any]:
    return {
        "names": [task.first.name, task.second.name], "same_images": task.same_images, "why": task.why,
        "only_first": task.only_first, "only_second": task.only_second, "data": task.data,
        "candidates": [
            {
                "name": row.name, "verdict": row.verdict, "changed": row.changed,
                "why_unpaired": row.why_unpaired,
                "accuracy": [
                    _interval(side.candidate(row.name).accuracy) for side in (task.first, task.second)
                ],
                "paired": asdict(row.paired) if row.paired else None,
                "unpaired": asdict(row.unpaired) if row.unpaired else None,
            }
            for row in task.candidates
        ],
    }  # fmt: skip


def _candidate(row: CandidateSummary) -> dict[str, Any]:
    return {
        "name": row.name, "model": row.model, "seeds": row.seeds, "control_digest": row.control_digest,
        **{name: _interval(getattr(row, name)) for name in _INTERVALS},
        **{name: getattr(row, name) for name in _NUMBERS},
    }  # fmt: skip


def _interval(found: Interval | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)


def _plain(value: Any) -> Any:
    """Copy values with lists for tuples, and nothing for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
