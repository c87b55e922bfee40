"""The reliability diagram as data: how often a candidate is right, against how often it says so."""

from __future__ import annotations

from collections.abc import Sequence

from bakeoff.evidence.calibration import Bin
from bakeoff.report.charts import SCHEMA, Spec

HEIGHT = 170  # pixels; a page holds one for each candidate
_SHARE: Spec = {"format": "~%", "values": [0, 0.5, 1]}
_ENDS: Spec = {**_SHARE, "labelExpr": "datum.value == 0.5 ? '' : datum.label"}  # three would touch on a phone
_SCALE = {"domain": [0, 1], "nice": False}


def reliability_chart(
    candidate: str, order: Sequence[str], before: Sequence[Bin], after: Sequence[Bin]
) -> Spec:
    """Draw accuracy against confidence: a dot for each bin, the larger the more images it holds.

    Args:
        candidate: Whose.
        order: All candidates of the task in the study's order; it numbers the colours.
        before: Bins of what it says as it is; at least one.
        after: Bins of what it says after temperature scaling; may be empty.

    Returns:
        The chart.
    """
    most = max(found.images for found in before)
    x = {"field": "says", "type": "quantitative", "title": "it says", "scale": _SCALE, "axis": _ENDS}
    y = {"field": "right", "type": "quantitative", "title": "is right", "scale": _SCALE, "axis": _SHARE}
    tip = [
        {"field": "says", "type": "quantitative", "format": ".1%", "title": "says"},
        {"field": "right", "type": "quantitative", "format": ".1%", "title": "is right"},
        {"field": "images", "type": "quantitative", "format": ",", "title": "images"},
    ]
    size = {"field": "images", "type": "quantitative", "legend": None,
            "scale": {"type": "sqrt", "domain": [0, most], "range": [6, 160]}}  # fmt: skip
    color = {"field": "candidate", "type": "nominal", "scale": {"domain": list(order)}, "legend": None}
    place = {"x": x, "y": y}
    layers: list[Spec] = [
        {
            "data": {"values": [{"says": 0, "right": 0}, {"says": 1, "right": 1}]},
            "mark": {"type": "line", "strokeDash": [5, 4], "strokeWidth": 1.2, "style": "published"},
            "encoding": place,
        },
        {
            "data": {"values": [{"candidate": candidate, **row} for row in _rows(before)]},
            "layer": [
                {"mark": {"type": "line", "strokeWidth": 1.4, "opacity": 0.6},
                 "encoding": {**place, "color": color}},
                {"mark": {"type": "point", "filled": True, "opacity": 0.9},
                 "encoding": {**place, "color": color, "size": size, "tooltip": tip}},
            ],
        },
    ]  # fmt: skip
    if after:
        diamond = {"type": "point", "shape": "diamond", "size": 34, "strokeWidth": 1.4, "style": "published"}
        layers.append({
            "data": {"values": _rows(after)}, "mark": diamond, "encoding": {**place, "tooltip": tip},
        })  # fmt: skip
    return {
        "$schema": SCHEMA, "width": "container", "height": HEIGHT,
        "autosize": {"type": "fit", "contains": "padding"}, "layer": layers,
    }  # fmt: skip


def _rows(bins: Sequence[Bin]) -> list[Spec]:
    """Write numbers with as many digits as a pixel shows: a page holds hundreds of them."""
    return [
        {"says": round(found.confidence, 4), "right": round(found.accuracy, 4), "images": found.images}
        for found in bins
    ]
