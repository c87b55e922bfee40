"""The charts of a search as data: the best so far against time, and all trials as lines over settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bakeoff.evidence.trials import SearchSummary, TrialSummary
from bakeoff.report.charts import Spec, chart_of, color_of, layer_of, tip_of
from bakeoff.spec.space import SPACE

MOST_AXES = 10  # settings side by side; on a telephone each has 30 pixels
RATES = {"rate": "_lr", "decay": "_decay"}  # one axis for the rates of all optimizers, each in its own range
ACCURACY = "accuracy"


def progress_chart(search: SearchSummary, order: Sequence[str]) -> Spec:
    """Draw every trial where it ended, and the best so far as steps, over the seconds of the search.

    Args:
        search: At least one trial of it has an accuracy.
        order: All candidates of the task in the study's order; it numbers the colours.

    Returns:
        The chart.
    """
    dots = [
        {"candidate": search.candidate, "seconds": trial.elapsed, "accuracy": trial.accuracy,
         "trial": f"trial {trial.number}", "network": trial.words, "end": trial.end}
        for trial in search.trials
        if trial.accuracy is not None
    ]  # fmt: skip
    best: list[dict[str, Any]] = [
        {"candidate": search.candidate, "seconds": seconds, "accuracy": accuracy}
        for seconds, accuracy, _ in search.best_so_far
    ]
    best.append({**best[-1], "seconds": max(search.seconds, best[-1]["seconds"])})
    place = {
        "x": {"field": "seconds", "type": "quantitative", "title": "seconds of the search",
              "scale": {"zero": True, "nice": False}, "axis": {"format": "~r", "tickCount": 6}},
        "y": {"field": "accuracy", "type": "quantitative", "title": "validation accuracy",
              "scale": {"zero": False}, "axis": {"format": "~%", "tickCount": 5}},
        "color": color_of(order),
    }  # fmt: skip
    tip = [tip_of("trial"), tip_of("accuracy", ".2%"), tip_of("network"), tip_of("end")]
    return chart_of(240, [
        layer_of(best, {"type": "line", "interpolate": "step-after", "strokeWidth": 2}, place),
        layer_of(dots, {"type": "point", "filled": True, "size": 45, "opacity": 0.75}, place, tip),
    ])  # fmt: skip


def settings_chart(search: SearchSummary, order: Sequence[str]) -> Spec:
    """Draw each trial as a line over its settings, each between its lowest and highest; the winner is thick.

    Args:
        search: With trials of more than one point.
        order: As for `progress_chart`.

    Returns:
        The chart: parallel coordinates, the accuracy last, lines the fainter the lower it is.
    """
    axes = axes_of(search)
    rows = [row for trial in search.trials for row in _line(search, trial, axes)]
    place = {
        "x": {"field": "setting", "type": "nominal", "sort": axes, "title": None,
              "axis": {"labelAngle": -40, "domain": False, "ticks": False, "grid": True}},
        "y": {"field": "place", "type": "quantitative", "title": None, "axis": None,
              "scale": {"domain": [-0.04, 1.04], "nice": False}},
        "color": color_of(order), "detail": {"field": "trial"},
    }  # fmt: skip
    tip = [
        tip_of("trial"),
        tip_of("setting"),
        tip_of("value"),
        tip_of("score", ".2%", "accuracy"),
        tip_of("network"),
    ]
    faint = {**place, "opacity": {"field": "score", "type": "quantitative", "legend": None,
                                  "scale": {"range": [0.12, 0.7]}}}  # fmt: skip
    won = [row for row in rows if row["won"]]
    return chart_of(300, [
        layer_of([row for row in rows if not row["won"]], {"type": "line", "strokeWidth": 1.3}, faint, tip),
        layer_of(won, {"type": "line", "strokeWidth": 3.5, "strokeJoin": "round"}, place, tip),
        layer_of(rows, {"type": "point", "filled": True, "size": 22}, faint, tip),
        layer_of(won, {"type": "point", "filled": True, "size": 60, "opacity": 1}, place, tip),
    ])  # fmt: skip


def axes_of(search: SearchSummary) -> list[str]:
    """Choose the settings to show: those that were varied, the most important ones first; accuracy is last.

    Args:
        search: With its importances, where these are known.

    Returns:
        Names, at most `MOST_AXES` and the accuracy.
    """
    ranked = [one.setting for one in search.importance] or list(SPACE)
    names = list(dict.fromkeys(_axis(name) for name in [*ranked, *SPACE]))
    varied = [name for name in names if len({_value(trial, name) for trial in search.trials}) > 1]
    return [*varied[:MOST_AXES], ACCURACY]


def _axis(name: str) -> str:
    """Return the axis of a setting; rates of all optimizers share one."""
    return next((axis for axis, ending in RATES.items() if name.endswith(ending)), name)


def _own(trial: TrialSummary, axis: str) -> str:
    """Return the setting that stands on an axis for a trial."""
    return f"{trial.point.get('optimizer')}{RATES[axis]}" if axis in RATES else axis


def _value(trial: TrialSummary, axis: str) -> Any:
    if axis == ACCURACY:
        return trial.accuracy
    return trial.point.get(_own(trial, axis))


def _place(trial: TrialSummary, axis: str, search: SearchSummary) -> float | None:
    """Return where on an axis a trial stands, 0 for the lowest and 1 for the highest."""
    value = _value(trial, axis)
    if value is None:
        return None
    if axis == ACCURACY:
        known = [other.accuracy for other in search.trials if other.accuracy is not None]
        low, high = min(known), max(known)
        return (float(value) - low) / (high - low) if high > low else 1.0
    dimension = SPACE.get(_own(trial, axis))
    if dimension is None:
        return None
    if dimension.values:
        return (
            dimension.values.index(value) / max(1, len(dimension.values) - 1)
            if value in dimension.values
            else None
        )
    if dimension.log:
        return math.log(value / dimension.low) / math.log(dimension.high / dimension.low)
    return (float(value) - dimension.low) / (dimension.high - dimension.low)


def _line(search: SearchSummary, trial: TrialSummary, axes: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return the points of a trial's line."""
    if trial.accuracy is None:
        return []
    places = [(axis, _place(trial, axis, search)) for axis in axes]
    return [
        {"candidate": search.candidate, "trial": f"trial {trial.number}", "setting": axis, "place": place,
         "value": written(_value(trial, axis), percent=axis == ACCURACY), "score": trial.accuracy,
         "network": trial.words, "won": trial.won}
        for axis, place in places
        if place is not None
    ]  # fmt: skip


def written(value: Any, *, percent: bool = False) -> str:
    """Write a setting's value.

    >>> written(0.0213456), written("muon"), written(0.512, percent=True)
    ('0.0213', 'muon', '51.2 %')
    """
    if percent:
        return f"{100 * value:.1f} %"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
