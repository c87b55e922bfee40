"""The chart of a comparison: differences with their intervals, one line each, around zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bakeoff.report.charts import SCHEMA, Spec

Side = Literal["first", "second", "better", "worse", "neither"]
_COLORS = {
    "first": "var(--c0)", "second": "var(--c1)", "better": "var(--good)", "worse": "var(--bad)",
    "neither": "var(--ink-2)",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Span:
    """A difference of accuracy with its interval, as fractions."""

    name: str
    difference: float
    low: float
    high: float
    side: Side  # of two candidates the better one, or what became of one, beyond luck


def difference_chart(spans: Sequence[Span], title: str) -> Spec:
    """Draw differences as points with their intervals, in the given order.

    Args:
        spans: At least one.
        title: Of the axis: what is subtracted from what.

    Returns:
        The chart, as wide as its place.
    """
    rows = [
        {"name": one.name, "difference": one.difference, "low": one.low, "high": one.high, "side": one.side}
        for one in spans
    ]
    label = "datum.value == 0 ? '0' : format(datum.value * 100, '+~g')"
    x = {"field": "difference", "type": "quantitative", "title": title,
         "axis": {"labelExpr": label, "tickCount": 7}}  # fmt: skip
    y = {"field": "name", "type": "nominal", "sort": [one.name for one in spans], "title": None,
         "axis": {"domain": False, "ticks": False}}  # fmt: skip
    color = {"field": "side", "type": "nominal", "legend": None,
             "scale": {"domain": list(_COLORS), "range": list(_COLORS.values())}}  # fmt: skip
    tip = [{"field": "name", "type": "nominal"}] + [
        {"field": field, "type": "quantitative", "format": "+.1%", "title": words}
        for field, words in (("difference", "difference"), ("low", "from"), ("high", "to"))
    ]
    place: dict[str, Any] = {"x": x, "y": y, "color": color, "tooltip": tip}
    ends = {**place, "x": {**x, "field": "low"}, "x2": {"field": "high"}}
    return {
        "$schema": SCHEMA, "width": "container", "height": 60 + 30 * len(rows),
        "autosize": {"type": "fit", "contains": "padding"},
        "layer": [
            {"data": {"values": [{"difference": 0}]}, "mark": {"type": "rule", "strokeDash": [2, 3]},
             "encoding": {"x": x}},
            {"data": {"values": rows}, "mark": {"type": "rule", "strokeWidth": 6, "opacity": 0.35,
                                                "strokeCap": "round"}, "encoding": ends},
            {"data": {"values": rows}, "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
             "encoding": place},
        ],
    }  # fmt: skip
