"""Writes what a study's folder shows: the page, the tables beside it, and its charts as pictures."""

from __future__ import annotations

import io
from pathlib import Path

from bakeoff.errors import StudyError
from bakeoff.evidence.results import write_results
from bakeoff.evidence.summarise import gather
from bakeoff.evidence.summary import Evidence
from bakeoff.records import StudyFolder
from bakeoff.records.atomic import write_text, writing
from bakeoff.report.charts import Spec, standalone
from bakeoff.report.page import render_page
from bakeoff.report.view import Panel
from bakeoff.report.views import study_view, task_figures
from bakeoff.spec.study import slug

SCALE = 2.0  # pixels of a PNG for one of the drawing
COLORS = 96  # of a PNG: ten candidates with their shades


def write_report(folder: StudyFolder, *, images: bool = True, evidence: Evidence | None = None) -> Path:
    """Write `results.csv`, `results.json` and `report.html` from the study's records alone.

    Args:
        folder: A study, finished or not.
        images: Whether the kept test images go into the page.
        evidence: Of the study, where it is there already.

    Returns:
        The page's path. Equal records give equal bytes.

    Raises:
        StudyError: The folder holds no study, or its records contradict each other.
        ResourceError: The folder cannot be written to.
    """
    evidence = evidence or gather(folder)
    write_results(folder, folder.spec(), evidence.runs)
    write_text(folder.report_path, render_page(study_view(folder, images=images, evidence=evidence)))
    path: Path = folder.report_path
    return path


def write_charts(folder: StudyFolder, target: Path, evidence: Evidence | None = None) -> list[Path]:
    """Write every chart of the study as PNG and as SVG, for Markdown.

    Args:
        folder: A study.
        target: The folder to write to; made if it is not there.
        evidence: Of the study, where it is there already.

    Returns:
        The files, in the page's order.

    Raises:
        StudyError: No run of the study has left anything to draw.
    """
    written = draw_charts(evidence or gather(folder), target)
    if not written:
        raise StudyError(f"--charts: {folder.path} holds no run with a result, expected at least one")
    return written


def draw_charts(evidence: Evidence, target: Path) -> list[Path]:
    """Write every chart that there is, as `write_charts` does; none is no error."""
    written: list[Path] = []
    for index, task in enumerate(evidence.summary.tasks):
        own = [run for run in evidence.runs if run.record.task == task.name]
        for figure in task_figures(task, own, index):
            for panel in figure.panels:
                subtitle = [task.name, *([words] if (words := panel.marks_in_words(figure.marks)) else [])]
                chart = standalone(panel.spec, panel.title, subtitle, legend=bool(figure.legend))
                stem = target / f"{slug(task.name)}-{_kind(panel)}"
                written += _draw(chart, stem)
    return written


def _draw(chart: Spec, stem: Path) -> list[Path]:
    """Draw one chart; the PNG in few colours, which is a seventh of its size."""
    import vl_convert
    from PIL import Image

    svg: str = vl_convert.vegalite_to_svg(chart)
    picture = Image.open(io.BytesIO(vl_convert.vegalite_to_png(chart, scale=SCALE))).convert("RGB")
    png_path, svg_path = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.svg")
    with writing(png_path) as partial:
        picture.quantize(COLORS).save(partial, "PNG", optimize=True)
    write_text(svg_path, svg)
    return [png_path, svg_path]


def _kind(panel: Panel) -> str:
    """Return a panel's key without its task's number: ``task-1-train-loss`` is ``train-loss``."""
    return panel.key.split("-", 2)[2]
