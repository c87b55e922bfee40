"""`bakeoff check DATA`: what is wrong with the images, before anything is trained on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bakeoff.cli.arguments import Decoders, Download, Images

if TYPE_CHECKING:
    from rich.console import Console

    from bakeoff.data.source import Progress


def check(
    data: Images,
    classes: Annotated[
        int | None, typer.Option(min=2, help="Only the first N classes, in sorted order.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Pixels that images are looked at in.  [their own size, at most 64]")
    ] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(help="Exit with 1 when any of these was found, such as leaks,unreadable; or 'all'."),
    ] = None,
    format_: Annotated[
        Literal["table", "json"], typer.Option("--format", help="What to print, or to write to --out.")
    ] = "table",
    out: Annotated[Path | None, typer.Option(help="Write to this file.")] = None,
    decoders: Decoders = None,
    download: Download = True,
) -> int:
    """Look for unreadable files, duplicates, leaks, wrong labels and images that show nothing.

    Nothing is changed. Exit codes: 0; 1 when something of --fail-on was found; 2 for wrong input.
    """
    from rich.console import Console

    from bakeoff import api

    kinds = api.finding_names(fail_on)
    with _progress(Console(stderr=True)) as tell:
        found = api.check(
            data, classes=classes, image_size=image_size, decoders=decoders, download=download, progress=tell
        )
    if out is not None:
        from bakeoff.records.atomic import write_text

        write_text(out, found.json() if format_ == "json" else found.table())
    elif format_ == "json":
        print(found.json(), end="")
    else:
        console = Console()
        console.print(found.render())
    failed = found.failed(kinds)
    if failed:
        told = ", ".join(f"{count:,} {kind}" for kind, count in failed.items())
        typer.echo(f"bakeoff check: --fail-on: found {told}", err=True)
    return 1 if failed else 0


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    """Draw one bar for each stage; in a pipe or a log file, say nothing."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        stages = {}

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage, total=total)
            bars.update(stages[stage], completed=done, total=total)

        yield tell
