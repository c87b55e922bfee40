"""Two candidates of a study, or two studies, beside each other; from records alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.errors import ConfigError, StudyError
from bakeoff.records import StudyFolder

if TYPE_CHECKING:
    from bakeoff.evidence.candidate_pair import CandidatePair
    from bakeoff.evidence.study_pair import StudyPair
    from bakeoff.report.compare_view import CompareView


@dataclass(frozen=True)
class Comparison:
    """Two candidates or two studies beside each other: the evidence, and its page."""

    evidence: CandidatePair | StudyPair
    view: CompareView

    def table(self, width: int = 120) -> str:
        """Return verdicts, words and tables as text, for lines of so many characters."""
        from rich.console import Console

        from bakeoff.report.compare_terminal import render_comparison

        console = Console(width=width, no_color=True, force_terminal=False)
        with console.capture() as capture:
            console.print(render_comparison(self.view))
        return capture.get()

    def markdown(self) -> str:
        """Return the same as Markdown."""
        from bakeoff.report.markdown import comparison_markdown

        return comparison_markdown(self.view)

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        from bakeoff.evidence.candidate_pair import CandidatePair
        from bakeoff.report.compare_json import pair_as_dict, studies_as_dict

        found = self.evidence
        return pair_as_dict(found) if isinstance(found, CandidatePair) else studies_as_dict(found)

    def write(self, path: str | Path) -> Path:
        """Write the page, one file that needs nothing else, and return where it is."""
        from bakeoff.records.atomic import write_text
        from bakeoff.report.page import render_comparison_page

        write_text(Path(path), render_comparison_page(self.view))
        return Path(path)

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(self.table())}</pre>"


def compare(
    study: str | Path, *others: str | Path, task: str | None = None, images: bool = True
) -> Comparison:
    """Compare two candidates of a study, or two studies, from their records alone.

    Args:
        study: A study's folder.
        others: The names of two of its candidates, or one other study's folder.
        task: Of two candidates: in which task, where several have both.
        images: Whether kept test images go into the page.

    Returns:
        The evidence, and how it is shown.

    Raises:
        UnknownNameError: There is no such candidate or task; the nearest name is told.
        ConfigError: Neither two candidates nor one other study was given.
        StudyError: A folder holds no study, or there is nothing to compare.
    """
    from bakeoff.evidence.candidate_pair import pair_candidates
    from bakeoff.evidence.study_pair import pair_studies
    from bakeoff.report.compare_study_views import studies_view
    from bakeoff.report.compare_views import candidates_view

    first = StudyFolder(Path(study))
    if len(others) == 2:
        pair = pair_candidates(first, str(others[0]), str(others[1]), task)
        return Comparison(pair, candidates_view(pair, first, images=images))
    if len(others) != 1:
        raise ConfigError(
            f"compare: got {len(others)} things beside {study}, expected two candidates or another study"
        )
    if task is not None:
        raise ConfigError("--task: belongs to two candidates of one study")
    second = StudyFolder(Path(others[0]))
    first.spec()
    if second.read_lock() is None:
        raise StudyError(
            f"{second.path} holds no study: expected a file study.lock in it, or the names of two candidates"
        )
    studies = pair_studies(first, second)
    return Comparison(studies, studies_view(studies, first, second))
