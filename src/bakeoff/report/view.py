"""What the page holds, in order: words and digits that are decided, nothing to compute.

A renderer (the page, a Markdown file) escapes and arranges these, and decides nothing.
Built in `views`, `task_views` and `control_views`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Tone = Literal["", "good", "warn", "bad"]
_SHAPES = {
    "seed": "dot", "mean": "bar", "interval": "band", "published": "diamond", "guess": "dotted line",
    "line": "line", "dashed": "dashed line",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of a table."""

    text: str
    sub: str = ""  # a second line, smaller
    tone: Tone = ""
    color: int | None = None  # a candidate's number, for its dot


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table."""

    label: str
    numeric: bool = False
    group: str = ""  # columns side by side with the same group share a heading


def words(label: str, group: str = "") -> Column:
    """Make a column of words."""
    return Column(label=label, group=group)


def numbers(label: str, group: str = "") -> Column:
    """Make a column of numbers, set to the right."""
    return Column(label=label, numeric=True, group=group)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row; the first cell is its heading."""

    cells: tuple[Cell, ...]
    lead: bool = False  # of the best candidates
    heading: str = ""  # starts a group of rows


def row(*cells: str | Cell) -> Row:
    """Make a row of texts and cells."""
    return Row(cells=tuple(cell if isinstance(cell, Cell) else Cell(text=cell) for cell in cells))


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with its caption; `pairs` is a list of names and values, without a head."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    kind: Literal["cards", "pairs", "wide"] = "cards"
    number: int | None = None
    folded: str = ""  # what a reader presses to see it; empty for one that is open

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """List the headings above the columns, with how many columns each spans; none without any."""
        spans: list[tuple[str, int]] = []
        for column in self.columns:
            if spans and column.group and spans[-1][0] == column.group:
                spans[-1] = (column.group, spans[-1][1] + 1)
            else:
                spans.append((column.group, 1))
        return tuple(spans) if any(name for name, _ in spans) else ()


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One chart."""

    key: str  # its id in the page, its file name outside
    title: str
    spec: Mapping[str, Any]  # Vega-Lite
    description: str  # what a reader hears who cannot see it
    marks: tuple[str, ...] = ()  # shapes of the figure's marks that this chart has

    def marks_in_words(self, meanings: Sequence[tuple[str, str]]) -> str:
        """Say what its marks mean, for a chart that stands outside the page."""
        return ", ".join(f"{_SHAPES[shape]}: {words}" for shape, words in meanings if shape in self.marks)


@dataclass(frozen=True, kw_only=True)
class Legend:
    """The candidates of a chart, with their colour numbers."""

    candidate: str
    color: int


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Charts side by side under one caption."""

    number: int
    caption: str
    panels: tuple[Panel, ...]
    legend: tuple[Legend, ...] = ()  # lights one candidate at a time
    marks: tuple[tuple[str, str], ...] = ()  # what a mark means: its shape, its words
    table: Table | None = None  # the same numbers, to read


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a task's evidence says."""

    task: str
    anchor: str
    badge: str
    tone: Tone
    said: str  # one sentence
    why: str  # what it rests on


@dataclass(frozen=True, kw_only=True)
class Thumb:
    """A small copy of an image."""

    uri: str  # data:image/...;base64,...
    size: int  # pixels it is drawn at
    words: str
    caption: str = ""  # to be read below it


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Two classes that are taken for each other."""

    title: str
    words: str
    thumbs: tuple[Thumb, ...]


@dataclass(frozen=True, kw_only=True)
class Network:
    """A candidate's network."""

    candidate: str
    color: int
    words: str
    drawing: str  # SVG, drawn and escaped by `evidence.architecture`
    layers: Table
    penalties: Table | None = None  # that a probe was chosen from


@dataclass(frozen=True, kw_only=True)
class HeatCell:
    """Where one candidate looked in one image."""

    uri: str  # data:image/...
    alt: str
    answer: str  # the class that it answered
    verdict: str  # "right" or "wrong"
    sure: str  # the probability of its answer
    tone: Tone
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class HeatRow:
    """One image with all candidates."""

    uri: str
    size: int  # pixels it is drawn at
    name: str  # of its class
    words: str
    cells: tuple[HeatCell, ...]
    heading: str = ""  # starts a group of rows


@dataclass(frozen=True, kw_only=True)
class HeatColumn:
    """One candidate over all images."""

    candidate: str
    color: int
    lines: tuple[str, ...]  # how its maps came about


@dataclass(frozen=True, kw_only=True)
class HeatTable:
    """The same images for all candidates of a task, side by side."""

    words: tuple[str, ...]
    columns: tuple[HeatColumn, ...]
    rows: tuple[HeatRow, ...]
    scale: tuple[str, ...]  # colours, from no evidence to most
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CalibrationView:
    """How far the candidates' confidence can be trusted."""

    words: tuple[str, ...]
    figure: Figure  # a small diagram for each candidate
    table: Table
    folded: bool  # whether the table waits to be opened


@dataclass(frozen=True, kw_only=True)
class LabelErrorsView:
    """Images worth a look; a card shows one image, or none where pictures are left out."""

    words: str
    labels: tuple[Confusion, ...]
    outliers_words: str
    outliers: tuple[Confusion, ...]


@dataclass(frozen=True, kw_only=True)
class PairCard:
    """Two images side by side that show the same picture."""

    title: str
    words: str
    thumbs: tuple[Thumb, ...]


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Images of one kind of finding."""

    title: str
    words: str
    cards: tuple[PairCard, ...] = ()
    thumbs: tuple[Thumb, ...] = ()
    opened: bool = False  # or shown only when asked for


@dataclass(frozen=True, kw_only=True)
class DataView:
    """What is wrong with a task's images, and what that does to the accuracies."""

    words: str
    findings: Table | None = None  # None when the images were not checked
    galleries: tuple[Gallery, ...] = ()
    balance: Figure | None = None  # only of classes that differ much
    deduplicated_words: str = ""
    deduplicated: Table | None = None


@dataclass(frozen=True, kw_only=True)
class SearchView:
    """What one search tried, and what it found."""

    title: str
    words: tuple[str, ...]
    figures: tuple[Figure, ...]
    winner: Table  # its settings
    trials: Table
    importance: Table | None  # None where too little was tried
    importance_words: str
    code: str  # of the network, to paste; empty where it is not here


@dataclass(frozen=True, kw_only=True)
class TaskView:
    """Everything about one task."""

    name: str
    anchor: str
    words: str  # images, classes, split
    results: Table
    notes: tuple[str, ...]
    figures: tuple[Figure, ...]
    pairs: Table | None
    other_pairs: Table | None
    pairs_words: str
    confusions_words: str
    confusions: tuple[Confusion, ...]
    networks: tuple[Network, ...]
    apart: tuple[str, ...] = ()  # a sentence for each pair that is told apart
    heat: HeatTable | None = None  # None where no candidate was asked where it looked
    calibration: CalibrationView | None = None
    label_errors: LabelErrorsView | None = None
    cost_words: str = ""
    cost: Table | None = None
    classes_words: str = ""
    classes: Table | None = None  # where winner and runner-up differ
    measures: Table | None = None
    data: DataView | None = None
    searches: tuple[SearchView, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Command:
    """Something to type."""

    purpose: str
    text: str


@dataclass(frozen=True, kw_only=True)
class StudyView:
    """The whole page."""

    name: str
    title: str
    description: str
    facts: tuple[tuple[str, str], ...]
    verdicts: tuple[Verdict, ...]
    missing: tuple[str, ...]  # runs that are planned and not there
    control_words: str
    control: tuple[Table, ...]
    tasks: tuple[TaskView, ...]
    failures: Table | None
    commands: tuple[Command, ...]
    provenance: tuple[Table, ...]
    method: tuple[str, ...]  # how the numbers were made, in words
