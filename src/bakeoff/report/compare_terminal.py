"""A comparison in the terminal: verdicts, words and tables of its page, without charts and pictures."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from bakeoff.report.compare_view import CompareView
from bakeoff.report.view import Cell, Table

MOST_ROWS = 16  # of a table; the page has all
_TONES = {"good": "green", "warn": "yellow", "bad": "red", "": ""}


def render_comparison(view: CompareView) -> Group:
    """Arrange a comparison for a `rich` console.

    Args:
        view: What its page says.

    Returns:
        What the console prints; every text as it is, never taken for markup.
    """
    parts: list[RenderableType] = [Text.assemble((view.title, "bold"), f"\n{view.lede}")]
    for said in view.verdicts:
        style = _TONES[said.tone]
        why = f"\n{said.why}" if said.why else ""
        words = Text.assemble((f"{said.about}: {said.badge}\n", style), (said.said, "bold"), why)
        parts.append(Padding(words, (1, 0, 0, 0)))
    for section in view.sections:
        if not (section.paragraphs or section.tables):
            continue
        parts.append(Padding(Text(section.title, style="bold underline"), (1, 0, 0, 0)))
        parts += [Text(words) for words in section.paragraphs]
        for table in section.tables:
            parts += [Padding(_grid(table), (1, 0, 0, 0)), Text(_caption(table), style="dim")]
    return Group(*parts)


def _caption(table: Table) -> str:
    hidden = len(table.rows) - MOST_ROWS
    return table.caption + (f" {hidden} more rows are on the page (--out)." if hidden > 0 else "")


def _grid(table: Table) -> Grid:
    grid = Grid(box=None, padding=(0, 1), collapse_padding=True, pad_edge=False, header_style="dim")
    for column in table.columns:
        head = f"{column.group}, {column.label}" if column.group else column.label
        grid.add_column(Text(head), justify="right" if column.numeric else "left", overflow="fold")
    for row in table.rows[:MOST_ROWS]:
        grid.add_row(*(_text(cell) for cell in row.cells), style="bold" if row.lead else "")
    return grid


def _text(cell: Cell) -> Text:
    sub = f"\n{cell.sub}" if cell.sub else ""
    return Text.assemble((cell.text, _TONES[cell.tone]), (sub, "dim"))
