"""The charts as data: numbers in, Vega-Lite out, drawn by the page or by `vl-convert`.

A chart holds no colours of its own: candidates are numbered through `config.range.category`,
which the page fills with its style sheet's variables (so light, dark and paper need no second
drawing) and `write_charts` with the light palette. The specifications are written out and
not built by Altair, which took 0.2 s for each (measured 2026-11-23, two cores); the tests
have Altair check them against Vega-Lite's schema.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bakeoff.units import format_seconds

Spec = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"  # a name, never fetched
MOST_NAMES = 8  # of candidates, written beside their points; more would lie over each other
FEW_EPOCHS = 12  # up to here each epoch has a dot; a single one would be invisible without

# Light palette of page.css (--c0 to --c13), for pictures outside the page.
PALETTE = (
    "#2f6db5", "#d26a1e", "#2a8a57", "#b23a88", "#7a5cc4",
    "#0d8794", "#b8372f", "#8a6a2f", "#6d7d14", "#5c6b7c",
    "#c59a12", "#45a5de", "#63b233", "#d97aa3",
)  # fmt: skip
_TIME_TICKS = (
    0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 43200, 86400,
    172800, 345600, 604800,
)  # seconds  # fmt: skip
_TIME_LABEL = (
    "datum.value >= 86400 ? format(datum.value / 86400, '~g') + ' d'"
    " : datum.value >= 3600 ? format(datum.value / 3600, '~g') + ' h'"
    " : datum.value >= 60 ? format(datum.value / 60, '~g') + ' min'"
    " : format(datum.value, '~g') + ' s'"
)
_STANDINGS = {"front": "on the front", "perhaps": "perhaps on the front", "behind": "behind the front"}
_HIGHLIGHT: Spec = {"name": "highlight", "value": ""}  # the one candidate to light; empty lights all
_LIT: Spec = {
    "condition": {"test": "highlight == '' || datum.candidate == highlight", "value": 0.85}, "value": 0.08,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One candidate in the charts of accuracy and cost; fractions and seconds."""

    candidate: str
    mean: float
    low: float | None  # interval over seeds or images; None when there is none
    high: float | None
    by_seed: Mapping[int, float]
    published: float | None
    seconds: float | None  # of training, its source's included, mean over seeds
    standing: str = "front"  # between accuracy and cost: "front", "perhaps" or "behind"
    group: str = ""  # candidates of one control have one front


@dataclass(frozen=True, kw_only=True)
class Line:
    """One learning curve: a seed of ours, or what was published."""

    candidate: str
    source: str  # "seed 0", "published"
    epochs: Sequence[float]
    values: Sequence[float]


def accuracy_chart(bars: Sequence[Bar], order: Sequence[str], chance: float) -> Spec:
    """Draw each candidate's seeds, mean, interval and published accuracy on one line.

    Args:
        bars: The candidates, best first.
        order: All candidates of the task in the study's order; it numbers the colours.
        chance: Accuracy of guessing, a fraction, drawn as a reference.

    Returns:
        The chart; empty layers are left out.
    """
    means, seeds, published = _accuracy_rows(bars)
    x = {"field": "accuracy", "type": "quantitative", "title": "test accuracy",
         "axis": {"format": "~%", "tickCount": 6}}  # fmt: skip
    y = {"field": "candidate", "type": "nominal", "sort": [bar.candidate for bar in bars], "title": None,
         "axis": {"domain": False, "ticks": False}}  # fmt: skip
    place = {"x": x, "y": y, "color": color_of(order)}
    ends = {**place, "x": {**x, "field": "low"}, "x2": {"field": "high"}}
    ends_tip = [tip_of("low", ".2%", "from"), tip_of("high", ".2%", "to")]
    mean_tip = [tip_of("candidate"), tip_of("accuracy", ".2%", "mean"), *ends_tip]
    one_tip = [tip_of("candidate"), tip_of("seed"), tip_of("accuracy", ".2%")]
    published_tip = [tip_of("candidate"), tip_of("accuracy", ".2%", "published")]
    with_ends = [row for row in means if row["low"] is not None and row["high"] is not None]
    band = {"type": "rule", "strokeWidth": 7, "opacity": 0.28, "strokeCap": "round"}
    diamond = {"type": "point", "shape": "diamond", "size": 95, "strokeWidth": 1.8, "style": "published"}
    return chart_of(
        _height(bars),
        [
            layer_of([{"accuracy": chance}], {"type": "rule", "strokeDash": [2, 3]}, {"x": x}),
            layer_of(with_ends, band, ends, mean_tip),
            layer_of(seeds, {"type": "point", "filled": True, "size": 26, "opacity": 0.75}, place, one_tip),
            layer_of(means, {"type": "tick", "thickness": 3, "size": 20}, place, mean_tip),
            layer_of(published, diamond, {"x": x, "y": y}, published_tip),
        ],
    )


def cost_chart(bars: Sequence[Bar], order: Sequence[str]) -> Spec:
    """Draw accuracy against seconds of training (logarithmic), a named point for each candidate.

    Those behind the front are hollow; a line in steps joins those on it, for each control.

    Args:
        bars: The candidates; at least one with seconds above 0.
        order: All candidates of the task in the study's order; it numbers the colours.

    Returns:
        The chart; a candidate without a time is not in it.
    """
    rows = _cost_rows([bar for bar in bars if bar.seconds is not None and bar.seconds > 0])
    seconds = [row["seconds"] for row in rows]
    low, high = min(seconds) / 1.8, max(seconds) * 1.8
    x = {
        "field": "seconds", "type": "quantitative",
        "title": "training time of a run, its source's included (logarithmic)",
        "scale": {"type": "log", "domain": [low, high], "nice": False},
        "axis": {"values": _time_ticks(low, high), "labelExpr": _TIME_LABEL},
    }  # fmt: skip
    y = {"field": "accuracy", "type": "quantitative", "title": "test accuracy", "scale": {"zero": False},
         "axis": {"format": "~%", "tickCount": 5}}  # fmt: skip
    tip = [tip_of("candidate"), tip_of("accuracy", ".2%"), tip_of("time", title="training"),
           tip_of("standing", title="accuracy and cost")]  # fmt: skip
    place = {"x": x, "y": y, "color": color_of(order), "opacity": _LIT}
    ends = {**place, "y": {**y, "field": "low"}, "y2": {"field": "high"}}
    on_front = [row for row in rows if row["standing"] == "on the front"]
    several = Counter(group for group, _ in {(row["group"], row["seconds"]) for row in on_front})
    steps = {"type": "line", "interpolate": "step-after", "strokeWidth": 1.2, "strokeDash": [2, 3],
             "style": "front"}  # fmt: skip
    behind = [row for row in rows if row["standing"] == "behind the front"]
    dot = {"type": "point", "filled": True, "size": 90, "opacity": 1}
    layers = [
        layer_of([row for row in on_front if several[row["group"]] > 1], steps,
               {"x": x, "y": y, "detail": {"field": "group"}}),
        layer_of([row for row in rows if row["low"] is not None], {"type": "rule", "strokeWidth": 1.5}, ends),
        layer_of([row for row in rows if row not in behind], dot, place, tip),
        layer_of(behind, {**dot, "filled": False, "strokeWidth": 1.8}, place, tip),
    ]  # fmt: skip
    name = {**place, "y": {**y, "field": "label"}, "text": {"field": "candidate"}}
    if len(rows) <= MOST_NAMES:
        layers.append(layer_of(rows, {"type": "text", "baseline": "bottom", "dy": -6, "limit": 130}, name))
    return {**chart_of(min(_height(bars), 360), layers), "params": [_HIGHLIGHT]}


def curve_chart(lines: Sequence[Line], order: Sequence[str], *, percent: bool, logarithmic: bool) -> Spec:
    """Draw one quantity by epoch: a line for each seed, published values dashed in the same colour.

    Args:
        lines: The curves; points that are not numbers are left out before.
        order: All candidates of the task in the study's order; it numbers the colours.
        percent: The values are fractions, to be read as per cent.
        logarithmic: The values span more than a linear axis shows.

    Returns:
        The chart, with a parameter `highlight` that names the one candidate to light.
    """
    rows: list[Spec] = [
        {"candidate": line.candidate, "source": line.source, "epoch": epoch, "value": value}
        for line in lines
        for epoch, value in zip(line.epochs, line.values, strict=True)
    ]
    ours = [row for row in rows if row["source"] != "published"]
    theirs = [row for row in rows if row["source"] == "published"]
    epochs = sorted({epoch for line in lines for epoch in line.epochs})
    few = len(epochs) <= FEW_EPOCHS
    levels: Spec = {"values": _log_ticks([row["value"] for row in rows])} if logarithmic else {"tickCount": 5}
    ticks: Spec = {"values": epochs} if few else {"tickMinStep": 1, "tickCount": 6}
    place = {
        "x": {"field": "epoch", "type": "quantitative", "title": "epoch", "axis": {"format": "~r", **ticks},
              "scale": {"nice": False, "zero": False}},
        "y": {"field": "value", "type": "quantitative", "title": None,
              "scale": {"type": "log"} if logarithmic else {"zero": False},
              "axis": {"format": "~%" if percent else "~r", **levels}},
        "color": color_of(order), "detail": {"field": "source"},
        "opacity": _LIT,
    }  # fmt: skip
    tip = [
        tip_of("candidate"),
        tip_of("source"),
        tip_of("epoch"),
        tip_of("value", ".2%" if percent else ".4f"),
    ]
    dots = {"type": "point", "filled": True, "size": 20}
    spec = chart_of(240, [
        layer_of(ours, {"type": "line", "strokeWidth": 1.7}, place, tip),
        layer_of(ours if few else [], dots, place, tip),
        layer_of(theirs, {"type": "line", "strokeWidth": 1.7, "strokeDash": [5, 4]}, place, tip),
        layer_of(theirs, {"type": "point", "shape": "diamond", "size": 55, "strokeWidth": 1.6}, place, tip),
    ])  # fmt: skip
    return {**spec, "params": [_HIGHLIGHT]}


def config(ink: str, ink_2: str, line: str, palette: Sequence[str], font: str) -> Spec:
    """Return Vega-Lite's configuration for a set of colours; any CSS colour, variables too, will do."""
    text = {"labelColor": ink_2, "titleColor": ink_2, "labelFont": font, "titleFont": font}
    return {
        "background": "transparent",
        "font": font,
        "view": {"stroke": None},
        "range": {"category": list(palette)},
        "axis": {
            **text, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "gridColor": line,
            "domainColor": line, "tickColor": line, "labelLimit": 190, "labelPadding": 6, "titlePadding": 8,
        },
        "axisY": {"domain": False, "ticks": False},
        "axisDiscrete": {"labelColor": ink, "labelFontSize": 13, "grid": True},
        "axisX": {"grid": True},
        "legend": {**text, "labelFontSize": 12, "orient": "bottom", "columns": 4, "title": None},
        "title": {"color": ink, "font": font, "fontSize": 14, "anchor": "start", "subtitleColor": ink_2,
                  "subtitleFont": font},
        "rule": {"color": ink_2},
        "text": {"color": ink, "font": font, "fontSize": 12},
        "style": {"published": {"color": ink, "filled": False, "opacity": 1}, "front": {"stroke": ink_2}},
    }  # fmt: skip


def page_config() -> Spec:
    """Return the configuration whose colours are the style sheet's variables."""
    palette = [f"var(--c{number})" for number in range(len(PALETTE))]
    return config("var(--ink)", "var(--ink-2)", "var(--line)", palette, "system-ui, sans-serif")


def standalone(spec: Mapping[str, Any], title: str, subtitle: Sequence[str], *, legend: bool) -> Spec:
    """Return a chart that stands outside the page: light, 640 pixels wide, with title and legend."""
    light = config("#16191d", "#565d67", "#dfe3e8", PALETTE, "DejaVu Sans, Helvetica, Arial, sans-serif")
    whole = {**spec, "width": 640, "height": spec["height"] + 70, "background": "#ffffff", "padding": 14}
    whole["config"] = light
    whole["title"] = {"text": title, "subtitle": list(subtitle), "offset": 14}
    if legend and not _names_on_axis(spec):
        coloured = next(layer for layer in spec["layer"] if "color" in layer["encoding"])
        whole["layer"] = [_with_legend(layer) if layer is coloured else layer for layer in spec["layer"]]
    return whole


def _names_on_axis(spec: Mapping[str, Any]) -> bool:
    """Tell whether an axis says which candidate is which, so that colours need not."""
    return any(layer["encoding"].get("y", {}).get("field") == "candidate" for layer in spec["layer"])


def _with_legend(layer: Spec) -> Spec:
    """Show the legend of a layer's colours, which the page draws itself."""
    color = {**layer["encoding"]["color"], "legend": {}, "title": None}
    return {**layer, "encoding": {**layer["encoding"], "color": color}}


def chart_of(height: int, layers: Sequence[Spec | None]) -> Spec:
    """Lay the layers that have rows over each other, as wide as their place."""
    return {
        "$schema": SCHEMA,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        "layer": [layer for layer in layers if layer is not None],
    }


def _height(bars: Sequence[Bar]) -> int:
    """Give each candidate a line of its own, and a few of them no less room than a chart needs."""
    return max(220, 60 + 34 * len(bars))


def layer_of(
    rows: Sequence[Mapping[str, Any]], mark: Spec, encoding: Spec, tooltip: Sequence[Spec] = ()
) -> Spec | None:
    """Make one layer; None without rows, because an empty scale has no ends."""
    if not rows:
        return None
    tip = {"tooltip": list(tooltip)} if tooltip else {}
    return {"data": {"values": [dict(row) for row in rows]}, "mark": mark, "encoding": {**encoding, **tip}}


def tip_of(field: str, form: str | None = None, title: str | None = None) -> Spec:
    """Say a field in the tooltip; numbers with a form, all else as it is."""
    shape = {"type": "quantitative", "format": form} if form else {"type": "nominal"}
    return {"field": field, **shape, **({"title": title} if title else {})}


def color_of(order: Sequence[str]) -> Spec:
    """Number the candidates' colours by their order in the study, whatever a chart shows of them."""
    return {"field": "candidate", "type": "nominal", "scale": {"domain": list(order)}, "legend": None}


def _accuracy_rows(bars: Sequence[Bar]) -> tuple[list[Spec], list[Spec], list[Spec]]:
    """Return the rows of means, of single seeds and of published values."""
    means = [{"candidate": b.candidate, "accuracy": b.mean, "low": b.low, "high": b.high} for b in bars]
    seeds = [
        {"candidate": b.candidate, "seed": seed, "accuracy": value}
        for b in bars
        for seed, value in b.by_seed.items()
    ]
    published = [{"candidate": b.candidate, "accuracy": b.published} for b in bars if b.published is not None]
    return means, seeds, published


def _cost_rows(bars: Sequence[Bar]) -> list[Spec]:
    """Return a row for each candidate; its name stands above its interval, and above its neighbour's name."""
    tops = {bar.candidate: bar.mean if bar.high is None else bar.high for bar in bars}
    span = max(tops.values()) - min(bar.mean if bar.low is None else bar.low for bar in bars)
    line = max(0.09 * span, 1e-3)  # height of a name, as accuracy
    times = [math.log(bar.seconds or 1.0) for bar in bars]
    near = 0.2 * (max(times) - min(times) + 1.2)  # width of a name, as the logarithm of seconds
    rows: list[Spec] = []
    for bar in sorted(bars, key=lambda bar: tops[bar.candidate]):
        label = tops[bar.candidate]
        for other in rows:
            beside = abs(math.log(other["seconds"]) - math.log(bar.seconds or 1.0)) < near
            if beside and abs(label - other["label"]) < line:
                label = other["label"] + line
        rows.append({
            "candidate": bar.candidate, "accuracy": bar.mean, "low": bar.low, "high": bar.high,
            "label": label, "seconds": bar.seconds, "time": format_seconds(bar.seconds or 0),
            "standing": _STANDINGS[bar.standing], "group": bar.group,
        })  # fmt: skip
    return rows


def _log_ticks(values: Sequence[float]) -> list[float]:
    """Choose round numbers around positive values: 1, 2, 5 of each decade, or decades when these are many."""
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    steps = (1, 2, 5) if last - first <= 2 else (1,)
    return [step * 10.0**decade for decade in range(first, last + 1) for step in steps]


def _time_ticks(low: float, high: float) -> list[float]:
    """Choose round times inside a range; at most six."""
    inside = [tick for tick in _TIME_TICKS if low <= tick <= high]
    return inside if len(inside) <= 6 else inside[:: -(-len(inside) // 6)]
