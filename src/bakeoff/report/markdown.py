"""Views as Markdown that a forge renders: tables, a study for a pull request, a comparison.

Arranges and escapes; the words and digits are the view's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bakeoff.report.compare_view import CompareView
from bakeoff.report.view import Cell, Command, StudyView, Table


def study_markdown(view: StudyView) -> str:
    """Write a study in the length of a pull request: verdicts, results, pairs told apart, how to repeat it.

    Args:
        view: The study's page.

    Returns:
        Markdown without pictures.
    """
    lines = heading(view)
    for verdict, task in zip(view.verdicts, view.tasks, strict=True):
        lines += [f"### {plain_text(task.name)}: {plain_text(verdict.badge)}", ""]
        lines += [f"**{plain_text(verdict.said)}**", ""]
        lines += [plain_text(words) + "\n" for words in (verdict.why, task.words) if words]
        lines += [*table_lines(task.results), "", plain_text(task.results.caption), ""]
        if task.apart:
            lines += ["Told apart on the same test images, corrected for all pairs:", ""]
            lines += [f"- {plain_text(words)}" for words in task.apart] + [""]
        lines += [f"- {plain_text(words)}" for words in task.notes] + [""] * bool(task.notes)
    facts = ", ".join(f"{label.lower()}: {value}" for label, value in view.facts)
    lines += [f"Study `{view.name}`; {plain_text(facts)}.", ""]
    lines += ["<details><summary>Do it again</summary>", "", *command_lines(view.commands), "</details>", ""]
    return "\n".join(lines)


def comparison_markdown(view: CompareView) -> str:
    """Write a comparison: verdicts, then every section's words and tables.

    Args:
        view: The page.

    Returns:
        Markdown without charts and pictures.
    """
    lines = [f"## {plain_text(view.title)}", "", plain_text(view.lede), ""]
    for said in view.verdicts:
        lines += [f"**{plain_text(said.about)}: {plain_text(said.said)}**", ""]
        lines += [plain_text(said.why), ""] if said.why else []
    for section in view.sections:
        if not (section.tables or section.paragraphs):
            continue
        lines += [f"### {plain_text(section.title)}", ""]
        lines += [plain_text(words) + "\n" for words in section.paragraphs]
        for table in section.tables:
            lines += [plain_text(table.caption), "", *table_lines(table), ""]
    return "\n".join([*lines, *command_lines(view.commands)])


def heading(view: StudyView) -> list[str]:
    """Return a study's title, description and what is missing of it."""
    lines = [f"# {plain_text(view.title)}", ""]
    if view.description:
        lines += [plain_text(view.description), ""]
    if view.missing:
        lines += ["**Not finished.** Missing: " + plain_text("; ".join(view.missing)) + ".", ""]
    return lines


def command_lines(commands: Sequence[Command]) -> list[str]:
    """Return commands with their purposes, as blocks to copy."""
    lines = []
    for command in commands:
        lines += [command.purpose, "", "```sh", command.text, "```", ""]
    return lines


def table_lines(table: Table) -> list[str]:
    """Return a table; its lead row is bold."""
    heads = [plain_text(", ".join(filter(None, (column.group, column.label)))) for column in table.columns]
    ruler = ["---:" if column.numeric else "---" for column in table.columns]
    rows = [[_cell(cell, lead=row.lead) for cell in row.cells] for row in table.rows]
    return [f"| {' | '.join(cells)} |" for cells in (heads, ruler, *rows)]


def _cell(cell: Cell, *, lead: bool) -> str:
    text = plain_text(cell.text)
    main = f"**{text}**" if lead and text else text
    return f"{main}<br>{plain_text(cell.sub)}" if cell.sub else main


def plain_text(text: str) -> str:
    """Escape what Markdown and the HTML in it would take for markup."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", " ".join(escaped.split()))
