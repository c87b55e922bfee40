"""Draws a view as one HTML file that needs nothing else: escapes and arranges, decides nothing."""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from typing import Literal

from jinja2 import Environment
from markupsafe import Markup

from bakeoff.pages import environment_of
from bakeoff.report.charts import PALETTE, page_config
from bakeoff.report.compare_view import CompareView
from bakeoff.report.vega import vega_script
from bakeoff.report.view import StudyView


def render_page(view: StudyView) -> str:
    """Return the page; equal views give equal bytes."""
    has_charts = any(task.figures or (task.data and task.data.balance) for task in view.tasks)
    return sealed(
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


def render_comparison_page(view: CompareView) -> str:
    """Return the page of a comparison; equal views give equal bytes."""
    return sealed(
        _environment()
        .get_template("compare.html")
        .render(
            view=view,
            css=_own("page.css"),
            script=_own("page.js"),
            chart_config=page_config(),
            vega=Markup(vega_script()) if view.has_charts else "",
        )
    )


def sealed(page: str) -> str:
    """End a page with a digest of all that stands before, by which an edit is told."""
    return f"{page}<!-- SHA-256 of all above: {hashlib.sha256(page.encode()).hexdigest()} -->\n"


def seal_of(page: str) -> tuple[str, Literal["fits", "broken", "missing"]]:
    """Tell whether a page is as it was written.

    Args:
        page: Its text.

    Returns:
        What stands before its digest, and whether the digest fits; older pages have none.

    >>> seal_of(sealed("<p>77.2 %</p>"))[1], seal_of(sealed("<p>77.2 %</p>").replace("7", "8"))[1]
    ('fits', 'broken')
    """
    found = re.search(r"<!-- SHA-256 of all above: (\w+) -->\n\Z", page)
    if found is None:
        return page, "missing"
    body = page[: found.start()]
    return body, "fits" if sealed(body) == page else "broken"


def _environment() -> Environment:
    environment = environment_of("bakeoff.report")
    environment.globals["colors"] = len(PALETTE)
    environment.filters["drawing"] = _drawing
    return environment


def _own(name: str) -> Markup:
    """Return one of this package's own texts, which need no escaping."""
    return Markup((resources.files("bakeoff.report") / "templates" / name).read_text(encoding="utf-8"))


def _drawing(svg: str) -> Markup:
    """Pass a drawing of `evidence.architecture` through; it has escaped its own words."""
    return Markup(svg)
