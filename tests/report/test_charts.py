from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import altair
import pytest
import vl_convert

from bakeoff.report.charts import PALETTE, Bar, Line, accuracy_chart, cost_chart, curve_chart, standalone

BARS = [
    Bar(candidate="b", mean=0.8, low=0.75, high=0.85, by_seed={0: 0.79, 1: 0.81}, published=0.7, seconds=90),
    Bar(candidate="a", mean=0.5, low=None, high=None, by_seed={0: 0.5}, published=None, seconds=20),
]
LINES = [
    Line(candidate="a", source="seed 0", epochs=[1, 2], values=[0.4, 0.5]),
    Line(candidate="b", source="seed 0", epochs=[1, 2], values=[0.7, 0.8]),
    Line(candidate="b", source="published", epochs=[1, 2], values=[0.6, 0.7]),
]
ALL = {
    "accuracy": accuracy_chart(BARS, ["a", "b"], 0.2),
    "cost": cost_chart(BARS, ["a", "b"]),
    "curves": curve_chart(LINES, ["a", "b"], percent=True, logarithmic=False),
    "logarithmic": curve_chart(LINES, ["a", "b"], percent=False, logarithmic=True),
    "nothing published": accuracy_chart(BARS[1:], ["a", "b"], 0.2),
}


@pytest.mark.parametrize("name", list(ALL))
def test_a_chart_is_valid_vega_lite_for_altair(name: str) -> None:
    altair.Chart.from_dict(ALL[name], validate=True)


@pytest.mark.parametrize("legend", [False, True])
@pytest.mark.parametrize("name", list(ALL))
def test_a_chart_outside_the_page_is_valid_too(name: str, legend: bool) -> None:
    whole = standalone(ALL[name], "title", ["a", "b"], legend=legend)
    altair.Chart.from_dict(whole, validate=True)


@pytest.mark.parametrize("name", list(ALL))
def test_colours_are_numbered_by_the_study_whatever_is_shown(name: str) -> None:
    encodings = [layer["encoding"] for layer in ALL[name]["layer"]]
    domains = [encoding["color"]["scale"]["domain"] for encoding in encodings if "color" in encoding]
    assert domains
    assert all(domain == ["a", "b"] for domain in domains)


def test_no_layer_is_empty() -> None:
    def rows(chart: dict[str, Any]) -> list[int]:
        return [len(layer["data"]["values"]) for layer in chart["layer"]]

    assert all(min(rows(chart)) > 0 for chart in ALL.values())
    assert len(ALL["nothing published"]["layer"]) == len(ALL["accuracy"]["layer"]) - 2  # band, diamond


def test_every_seed_and_the_published_value_is_a_point() -> None:
    values = [row["accuracy"] for layer in ALL["accuracy"]["layer"] for row in layer["data"]["values"]]
    assert {0.79, 0.81, 0.7, 0.5, 0.2} <= set(values)


def test_names_in_the_cost_chart_do_not_lie_over_each_other() -> None:
    near = [
        Bar(candidate=f"net {k}", mean=0.8, low=0.7, high=0.85, by_seed={}, published=None, seconds=60 + k)
        for k in range(4)
    ]
    layer = cost_chart(near, [bar.candidate for bar in near])["layer"][-1]
    heights = sorted(row["label"] for row in layer["data"]["values"])
    assert min(b - a for a, b in pairwise(heights)) > 0.01


def test_many_names_are_left_to_the_legend() -> None:
    many = [
        Bar(candidate=f"net {k}", mean=0.5, low=None, high=None, by_seed={}, published=None, seconds=60)
        for k in range(9)
    ]
    marks = [layer["mark"]["type"] for layer in cost_chart(many, [bar.candidate for bar in many])["layer"]]
    assert marks == ["point"]


def test_the_palette_is_that_of_the_style_sheet() -> None:
    from importlib import resources

    css = (resources.files("bakeoff.report") / "templates" / "page.css").read_text(encoding="utf-8")
    light = css[: css.index("@media")]
    assert all(f"--c{number}: {color}" in light for number, color in enumerate(PALETTE))


@pytest.mark.parametrize("last", [44.5, 400.0])
def test_axes_of_long_trainings_are_in_plain_numbers(last: float) -> None:
    epochs = [float(epoch) for epoch in range(1, int(last) + 1)] + [last]
    line = Line(candidate="a", source="seed 0", epochs=epochs, values=[40 - epoch / 40 for epoch in epochs])
    chart = curve_chart([line], ["a"], percent=False, logarithmic=False)
    picture = vl_convert.vegalite_to_svg(standalone(chart, "loss", ["a"], legend=False))
    labels = re.findall(r"<text[^>]*>([^<]*)</text>", picture)
    assert {"20", "40"} <= set(labels) or {"100", "200", "300", "400"} <= set(labels)
    assert not [label for label in labels if re.search(r"\de[+-]?\d", label)]
