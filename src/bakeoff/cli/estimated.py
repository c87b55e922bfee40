"""The table of what a study will cost."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bakeoff.evidence.words import count
from bakeoff.study import Estimate
from bakeoff.study.estimate import EstimateRow
from bakeoff.units import format_bytes, format_seconds


def estimate_table(estimate: Estimate) -> Table:
    """Arrange an estimate as a table that fits 80 columns: a row a candidate, a line above each task's."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), collapse_padding=True, header_style="dim")
    table.add_column("candidate", no_wrap=True, overflow="ellipsis")
    for name in ("to run", "done", "weights", "images/s", "time", "memory", "disk"):
        table.add_column(name, justify="right", no_wrap=True)
    tasks = list(dict.fromkeys(row.task for row in estimate.rows))
    for task in tasks:
        if len(tasks) > 1:
            table.add_row(Text(task, style="dim"))
        for row in (row for row in estimate.rows if row.task == task):
            table.add_row(Text(row.candidate), str(row.runs), str(row.done), *_costs(row))
    return table


def _costs(row: EstimateRow) -> tuple[RenderableType, ...]:
    if row.problem or not row.runs:
        return ("", "", Text("no network", style="red") if row.problem else "", "", "")
    if row.searched:
        return ("", Text("search", style="dim"), format_seconds(row.seconds), "", "")
    if row.external:
        return (
            "", Text("external", style="dim"), format_seconds(row.seconds), "", format_bytes(row.disk_bytes),
        )  # fmt: skip
    return (
        count(row.parameters), f"{row.images_per_second:.0f}", format_seconds(row.seconds),
        format_bytes(row.memory_bytes), format_bytes(row.disk_bytes),
    )  # fmt: skip
