"""Learning curves as rows for a chart: ours from the runs' histories, the published ones from the study."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from bakeoff.records import RunRecord
from bakeoff.spec import Published

CurveSplit = Literal["train", "validation"]
Quantity = Literal["accuracy", "loss"]

_COLUMNS: tuple[tuple[str, CurveSplit, Quantity], ...] = (
    ("train_accuracy", "train", "accuracy"),
    ("validation_accuracy", "validation", "accuracy"),
    ("train_loss", "train", "loss"),
    ("validation_loss", "validation", "loss"),
)
_PUBLISHED: tuple[tuple[str, CurveSplit, Quantity], ...] = (
    ("training_accuracy", "train", "accuracy"),
    ("validation_accuracy", "validation", "accuracy"),
    ("validation_loss", "validation", "loss"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """One number of one epoch."""

    candidate: str
    seed: int | None  # None for a published curve
    split: CurveSplit
    quantity: Quantity
    epoch: float  # counted from 1
    seconds: float | None  # of training until then; None for a published curve
    value: float

    @property
    def published(self) -> bool:
        """Whether somebody else reported it."""
        return self.seed is None


def learning_curves(
    records: Iterable[RunRecord], published: Mapping[str, Published] | None = None
) -> list[CurvePoint]:
    """List the points of all curves of some runs of one task, in the order of the runs and epochs.

    Numbers that are not finite (a diverging run's last rows) are left out: a chart
    cannot show them, and the run's status says why the curve ends. The published
    curves of a candidate come once, after its first run.

    Args:
        records: Runs of one task.
        published: What was published by the candidate's name, where something was.

    Returns:
        The points.
    """
    points: list[CurvePoint] = []
    to_show = dict(published or {})
    for record in records:
        points.extend(_own_points(record))
        if record.candidate in to_show:
            points.extend(_published_points(record.candidate, to_show.pop(record.candidate)))
    return points


def _own_points(record: RunRecord) -> Iterable[CurvePoint]:
    for number, row in enumerate(record.history, start=1):
        for column, split, quantity in _COLUMNS:
            value = row.get(column)
            if value is not None and math.isfinite(value):
                yield CurvePoint(
                    candidate=record.candidate, seed=record.seed, split=split, quantity=quantity,
                    epoch=row.get("epoch", number), seconds=row.get("seconds"), value=value,
                )  # fmt: skip


def _published_points(candidate: str, published: Published) -> Iterable[CurvePoint]:
    for column, split, quantity in _PUBLISHED:
        for epoch, value in enumerate(getattr(published, column), start=1):
            yield CurvePoint(
                candidate=candidate, seed=None, split=split, quantity=quantity,
                epoch=epoch, seconds=None, value=value,
            )  # fmt: skip
