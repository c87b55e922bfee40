"""`bakeoff compare DIR A B` and `bakeoff compare DIR1 DIR2`: two candidates, or two studies, side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer


def compare(
    study: Annotated[Path, typer.Argument(help="A study's folder.")],
    others: Annotated[list[str], typer.Argument(help="Two of its candidates, or another study's folder.")],
    task: Annotated[str | None, typer.Option(help="Which task, when two candidates are compared.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write a page to this file.")] = None,
    form: Annotated[
        Literal["text", "json", "markdown"], typer.Option("--format", help="How it is printed.")
    ] = "text",
    no_images: Annotated[
        bool, typer.Option("--no-images", help="Leave the test images out of the page.")
    ] = False,
) -> None:
    """Compare two candidates of a study, or two studies, from their records alone."""
    from rich.console import Console

    from bakeoff import api
    from bakeoff.report.compare_terminal import render_comparison

    found = api.compare(study, *others, task=task, images=not no_images)
    page = found.write(out) if out is not None else None
    if form == "json":
        print(json.dumps(found.as_dict(), indent=1, ensure_ascii=False, allow_nan=False))
        return
    if form == "markdown":
        print(found.markdown())
        return
    console = Console()
    for part in render_comparison(found.view).renderables:
        console.print(part)
    if page is not None:
        console.print(f"Page: {page}", soft_wrap=True, markup=False, highlight=False)
