"""Draws a `StudyView` as one HTML file that needs nothing else: escapes and arranges, decides nothing."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bakeoff.report.charts import PALETTE, page_config
from bakeoff.report.vega import vega_script
from bakeoff.report.view import StudyView


def render_page(view: StudyView) -> str:
    """Return the page; equal views give equal bytes."""
    has_charts = any(task.figures or (task.data and task.data.balance) for task in view.tasks)
    return (
        _environment()
        .get_template("page.html")
        .render(
            view=view,
            css=_own("page.css"),
            script=_own("page.js"),
            chart_config=page_config(),
            vega=Markup(vega_script()) if has_charts else "",
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("bakeoff.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.globals["colors"] = len(PALETTE)
    environment.filters["json_script"] = _json_script
    environment.filters["drawing"] = _drawing
    return environment


def _own(name: str) -> Markup:
    """Return one of this package's own texts, which need no escaping."""
    return Markup((resources.files("bakeoff.report") / "templates" / name).read_text(encoding="utf-8"))


def _json_script(value: Any) -> Markup:
    """Write JSON for a script element: nothing in it can close the element."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _drawing(svg: str) -> Markup:
    """Pass a drawing of `evidence.architecture` through; it has escaped its own words."""
    return Markup(svg)
