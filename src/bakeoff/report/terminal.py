"""A study's results in the terminal: the tables and verdicts of the page, readable from 80 columns on.

Words and digits come from `evidence`; this module arranges them. Every text is set as
`rich.text.Text`, so a name with brackets is not taken for markup.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bakeoff.evidence.intervals import Interval
from bakeoff.evidence.summarise import summarise_study
from bakeoff.evidence.summary import CandidateSummary, StudySummary, TaskSummary
from bakeoff.evidence.words import count, listing, number, percent, percent_interval, published_percent
from bakeoff.records import StudyFolder
from bakeoff.spec import StudySpec
from bakeoff.units import format_seconds

_NONE = "-"


def render_study(folder: StudyFolder, spec: StudySpec | None = None) -> Group:
    """Render a study from its records alone.

    Args:
        folder: The study, finished or not.
        spec: Which tasks, candidates and seeds, when not all those of the folder's lock.

    Returns:
        What a `rich` console prints: a heading, then for each task a table, its verdict and its symptoms.

    Raises:
        StudyError: The folder holds no study, or a record contradicts its predictions.
    """
    return render_summary(summarise_study(folder, spec))


def render_summary(study: StudySummary) -> Group:
    """Render a study that is summarised already."""
    seeds = f"{len(study.seeds)} seed{'s' if len(study.seeds) != 1 else ''}"
    if any(task.planned < len(task.candidates) * len(study.seeds) for task in study.tasks):
        seeds = f"up to {seeds}"
    runs = f"{study.ended} of {study.planned} runs have ended"
    heading = Text.assemble((study.title, "bold"), f"\n{runs}, {seeds} each")
    return Group(heading, *(Padding(render_task(task), (1, 0, 0, 0)) for task in study.tasks))


def render_task(task: TaskSummary) -> Group:
    """Render one task: its table, what the intervals are over, the verdict, the symptoms."""
    parts: list[RenderableType] = [_task_heading(task), _table(task)]
    parts.extend(Text(line, style="dim") for line in _legend(task))
    parts.append(Text(task.verdict, style="bold"))
    symptoms = [(row.name, symptom.text) for row in task.candidates for symptom in row.symptoms]
    parts.extend(Padding(Text(f"! {name}: {text}", style="yellow"), (0, 0, 0, 2)) for name, text in symptoms)
    return Group(*parts)


def _task_heading(task: TaskSummary) -> Text:
    facts = []
    if task.classes is not None:
        facts.append(f"{task.classes} classes")
    if task.test_images is not None:
        facts.append(f"{task.test_images} test images")
    if task.guess is not None:
        facts.append(f"guessing reaches {percent(task.guess)}")
    return Text.assemble((task.name, "bold underline"), ("  " + ", ".join(facts), "dim") if facts else "")


def _table(task: TaskSummary) -> Table:
    table = Table(box=None, padding=(0, 1), collapse_padding=True, pad_edge=False, header_style="dim")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("candidate", overflow="fold", min_width=9)
    for title in ("test accuracy, %", "published", "loss", "params", "training", "images/s"):
        table.add_column(title, justify="right", no_wrap=title != "published")
    sections = _sections(task)
    for title, rows in sections:
        if len(sections) > 1:
            table.add_row("", Text(title, style="italic dim"))
        for rank, name in rows:
            table.add_row(rank, *_cells(task.candidate(name)), style="bold" if rank == "1" else "")
    return table


def _sections(task: TaskSummary) -> list[tuple[str, list[tuple[str, str]]]]:
    """List the control groups by title, with ranks and names; candidates that never ran come last."""
    sections = []
    for group in task.groups:
        ranked = [(str(rank), name) for rank, name in enumerate(group.ranking, start=1)]
        sections.append((group.title, ranked + [("", name) for name in group.unranked]))
    shown = {name for _, rows in sections for _, name in rows}
    waiting = [("", row.name) for row in task.candidates if row.name not in shown]
    return [*sections, ("not run yet", waiting)] if waiting else sections


def _cells(row: CandidateSummary) -> tuple[Text, ...]:
    published = row.published.accuracy if row.published else None
    at_least = row.published.at_least_as_accurate if row.published else None
    tone = "" if at_least is None else "green" if at_least else "red"
    return (
        Text(row.name),
        Text(_ending(row) if row.accuracy is None else percent_interval(row.accuracy)),
        Text(_NONE if published is None else published_percent(published).removesuffix(" %"), style=tone),
        Text(_NONE if row.loss is None else number(row.loss.mean)),
        Text(_NONE if row.parameters is None else count(row.parameters)),
        Text(_NONE if row.train_seconds is None else format_seconds(row.train_seconds)),
        Text(_NONE if row.images_per_second is None else _rate(row.images_per_second)),
    )


def _rate(per_second: float) -> str:
    return f"{per_second:.0f}" if per_second >= 10 else f"{per_second:.2g}"


def _ending(row: CandidateSummary) -> str:
    """Say why a candidate has no accuracy."""
    endings = [name for name in ("diverged", "failed") if row.statuses[name]]
    if row.statuses["finished"]:
        return "not tested"
    return " and ".join(endings) or "not run yet"


def _legend(task: TaskSummary) -> list[str]:
    """Say over what the intervals of this table are; nothing when there are none."""
    found: Sequence[Interval] = [row.accuracy for row in task.candidates if row.accuracy is not None]
    lines = []
    for over, what in (("seeds and images", " and the test images together"), ("seeds", "")):
        seeds = sorted({interval.n for interval in found if interval.over == over and interval.n > 1})
        if seeds:
            lines.append(f"±: 95 % interval of the mean over {listing([str(n) for n in seeds])} seeds{what}.")
    if any(interval.over == "images" for interval in found):
        lines.append("[,]: 95 % interval of one seed over its test images.")
    return lines
