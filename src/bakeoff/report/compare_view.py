"""What a page of comparison holds, in order: words and digits that are decided, nothing to compute.

Two candidates and two studies give the same kind of page. Built in `compare_views` and
`compare_study_views`; drawn as HTML, for a terminal and as Markdown.
"""

from __future__ import annotations

from dataclasses import dataclass

from bakeoff.report.view import Command, Confusion, Figure, Table, Tone


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page under one heading."""

    anchor: str
    eyebrow: str
    title: str
    paragraphs: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    folded: tuple[tuple[str, Table], ...] = ()  # what the fold says, and what is in it
    figures: tuple[Figure, ...] = ()
    cards: tuple[Confusion, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Said:
    """A verdict: what it is about, a badge, one sentence, and what that rests on."""

    about: str
    anchor: str
    badge: str
    tone: Tone
    said: str
    why: str


@dataclass(frozen=True, kw_only=True)
class CompareView:
    """The whole page."""

    eyebrow: str
    title: str
    lede: str
    verdicts: tuple[Said, ...]
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    commands: tuple[Command, ...]

    @property
    def has_charts(self) -> bool:
        """Whether the page needs the scripts that draw."""
        return any(section.figures for section in self.sections)
