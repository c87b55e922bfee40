"""`bakeoff settings`: what a study file may say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from bakeoff.spec.reference import Table

FORMS = ("table", "markdown", "json-schema")


def settings(
    name: Annotated[
        str | None, typer.Argument(help="Of one table of the file, such as recipe or candidate.  [all]")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="table, markdown, or json-schema for an editor's completion.")
    ] = "table",
) -> None:
    """List every key that a study file may have: what it accepts, its default, what it means."""
    from rich.console import Console

    from bakeoff.spec.reference import markdown, schema, tables

    if form not in FORMS:
        raise ConfigError(f"--format: got '{form}', expected one of {', '.join(FORMS)}")
    if form != "table" and name is not None:
        raise ConfigError(
            f"--format: got '{form}' for one table, expected no name, as it is of the whole file"
        )
    if form == "json-schema":
        print(json.dumps(schema(), indent=2, ensure_ascii=False))
    elif form == "markdown":
        print(markdown(), end="")
    else:
        console = Console()
        for table in tables(name):
            _show(console, table)
        console.print("Try a file: bakeoff run FILE --dry-run. One table: bakeoff settings recipe.")


def _show(console: Console, table: Table) -> None:
    """Print a table of a study file, a key to a paragraph."""
    from rich.table import Table as Grid
    from rich.text import Text

    console.print(Text(f"{table.name}: {table.where.replace('`', '')}", style="bold"))
    console.print(Text(table.about))
    grid = Grid.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, min_width=16)
    for key in table.keys:
        default = f", {key.default}" if key.default == "required" else f"; {key.default} by default"
        accepts = Text(key.accepts + default * bool(key.default), style="dim")
        grid.add_row(Text(f"  {key.name}"), Text("\n").join([Text(key.about), accepts]))
    console.print(grid)
    console.print()
