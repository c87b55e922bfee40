"""A network drawn from the rows of its layer table: SVG for a page, text for a terminal.

Numbers in, drawing out: the rows come from a record, and no network is built here. A
box is what a layer hands on. Its height follows the resolution and its width the
channels, both on a log scale, because they halve and double. Activations and norms join
the layer before them; equal layers in a row share a box; a network of very many layers
is drawn by resolution.

Colours come from classes and `currentColor`, so one drawing serves light and dark pages.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import groupby
from typing import Any

LEAST_FOLDED = 8  # layers of a source that take one row
MOST_BOXES = 35  # five lines of seven; a longer network is drawn by resolution

# Kinds that get no box of their own
_JOINS = ("norm", "activation", "dropout", "flatten", "identity", "parameters")
_MARKS = {"norm": "norm", "activation": "relu", "dropout": "dropout"}  # older tables name no activation
_TIMES = "\N{MULTIPLICATION SIGN}"
_CLASSES = {"conv": "conv", "pool": "pool", "dense": "dense", "input": "input"}

# Of the drawing, in its own units
_CELL, _COLUMNS, _MARGIN = 76, 7, 8
_TALL, _LOW = 78.0, 10.0  # height of the largest and of a 1x1 map
_WIDE, _THIN = 30.0, 6.0  # width of the most channels and of one
_SLANT = 0.24  # depth of a map's box by its height
_LINE = 168  # height of a line of boxes with its words

_STYLE = """
.bkf-net text{fill:currentColor;font:11px system-ui,sans-serif;text-anchor:middle}
.bkf-net .bkf-minor{opacity:.66}
.bkf-net .bkf-box{stroke:currentColor;stroke-opacity:.55;stroke-width:.8;stroke-linejoin:round}
.bkf-net .bkf-top{fill-opacity:.45}.bkf-net .bkf-side{fill-opacity:.62}.bkf-net .bkf-front{fill-opacity:.85}
.bkf-net .bkf-arrow{stroke:currentColor;stroke-opacity:.5;fill:none}
.bkf-net .bkf-input{fill:var(--net-input,#9aa3ad)}.bkf-net .bkf-conv{fill:var(--net-conv,#4c8fd6)}
.bkf-net .bkf-pool{fill:var(--net-pool,#e8973a)}.bkf-net .bkf-dense{fill:var(--net-dense,#4fae74)}
.bkf-net .bkf-other{fill:var(--net-other,#a77bca)}
""".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One box: a layer with what joins it, or several of them."""

    kind: str
    label: str  # "conv 3x3 /2"
    shape: tuple[int, ...]  # channels first, the batch left out
    parameters: int
    multiplications: int
    names: tuple[str, ...]  # of the layers that it stands for
    marks: tuple[str, ...] = ()  # "relu", "gelu", "norm", "dropout", in order
    count: int = 1

    @property
    def channels(self) -> int:
        """Channels of a map, or features of a vector."""
        return self.shape[-1] if len(self.shape) == 2 else self.shape[0]

    @property
    def side(self) -> int:
        """Rows or columns of a map, whichever are more; tokens of a sequence; 0 for a vector."""
        if len(self.shape) == 2:
            return self.shape[0]
        return max(self.shape[1:], default=0)

    @property
    def size(self) -> str:
        """The shape as people write it: 128@32x32 is 128 channels of 32 rows and columns."""
        if len(self.shape) == 1:
            return f"{self.channels}"
        rest = self.shape[:1] if len(self.shape) == 2 else self.shape[1:]
        return f"{self.channels}@" + _TIMES.join(map(str, rest))


def stages(rows: Sequence[Mapping[str, Any]], image_size: int | None = None) -> list[Stage]:
    """Decide which boxes are drawn.

    Args:
        rows: A layer table: name, kind, output_shape, parameters, multiplications, and
            detail ("3x3, stride 2") where there is one.
        image_size: Rows and columns of the images in pixels, for a first box; None leaves it out.

    Returns:
        The boxes in order of computation.
    """
    found = _merge_equal(_join(rows))
    if len(found) > MOST_BOXES:
        found = _merge_by_resolution(found)
    if image_size is None:
        return found
    image = Stage(kind="input", label="image", shape=(3, image_size, image_size), parameters=0,
                  multiplications=0, names=("image",))  # fmt: skip
    return [image, *found]


def fold_source(rows: Sequence[Mapping[str, Any]], source: str) -> list[Mapping[str, Any]]:
    """Put the layers that come from a source into a row for each part that moves or rests as one.

    Args:
        rows: A layer table; what comes from the source is called ``base.…``.
        source: The source's name, for the new rows.

    Returns:
        The table, shorter. Parts of fewer than eight layers stay as they are.

    >>> layer = {"kind": "conv", "output_shape": [4], "parameters": 2, "trainable": 0, "multiplications": 3}
    >>> rows = [layer | {"name": f"base.{n}"} for n in range(9)] + [layer | {"name": "head.output"}]
    >>> [(row["name"], row["kind"], row["parameters"]) for row in fold_source(rows, "model1")]
    [('base.0 to base.8, 9 layers', 'model1', 18), ('head.output', 'conv', 2)]
    """
    parts: list[list[Mapping[str, Any]]] = []
    before: bool | None = None  # whether the layers of the last part move; None until one has weights
    for row in rows:
        inside = str(row["name"]).startswith("base.")
        moves = bool(row["trainable"]) if row["parameters"] else before
        joins = parts and inside and str(parts[-1][0]["name"]).startswith("base.")
        if joins and (before is None or moves == before):
            parts[-1].append(row)
        else:
            parts.append([row])
        before = moves if inside else None
    return [row for part in parts for row in (part if len(part) < LEAST_FOLDED else [_folded(part, source)])]


def _folded(part: Sequence[Mapping[str, Any]], source: str) -> Mapping[str, Any]:
    """Sum the layers of a part up."""
    sums = {key: sum(row[key] for row in part) for key in ("parameters", "trainable", "multiplications")}
    return {
        "name": f"{part[0]['name']} to {part[-1]['name']}, {len(part)} layers", "kind": source,
        "output_shape": part[-1]["output_shape"], **sums,
    }  # fmt: skip


def draw_architecture(
    rows: Sequence[Mapping[str, Any]], *, title: str = "Network", image_size: int | None = None
) -> str:
    """Draw a network as an SVG element that scales to the width of its place.

    Args:
        rows: A layer table, as for `stages`.
        title: What the drawing shows, for the reader who hears it and for the pointer.
        image_size: Rows and columns of the images, pixels.

    Returns:
        The text of one `<svg>` element; equal rows give equal bytes.
    """
    boxes = stages(rows, image_size)
    lines = max(1, math.ceil(len(boxes) / _COLUMNS))
    columns = max(3, math.ceil(len(boxes) / lines))  # lines of equal length, as short as they can be
    width, height = columns * _CELL + 2 * _MARGIN, lines * _LINE
    name = _safe(f"{title}: {_in_words(boxes)}")
    scales = _Scales.of(boxes)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="bkf-net" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{name}" style="width:100%;max-width:{width}px;height:auto">',
        f"<title>{name}</title>",
        f"<style>{_STYLE}</style>",
    ]
    for index, stage in enumerate(boxes):
        line, column = divmod(index, columns)
        parts.append(_cell(stage, scales, _MARGIN + column * _CELL, line * _LINE, first=index == 0))
    if not boxes:
        parts.append(f'<text x="{width / 2:g}" y="{height / 2:g}">no layers</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def draw_text(rows: Sequence[Mapping[str, Any]], *, image_size: int | None = None) -> str:
    """Draw a network for a terminal: a line for each box, its bar as long as its map is wide.

    >>> row = {"name": "out", "kind": "dense", "output_shape": [8], "parameters": 0, "multiplications": 0}
    >>> print(draw_text([row]))
    dense  8  ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
    """
    boxes = stages(rows, image_size)
    if not boxes:
        return "no layers"
    scales = _Scales.of(boxes)
    labels = [_counted(stage) + "".join(f" + {mark}" for mark in stage.marks) for stage in boxes]
    wide, wider = max(map(len, labels)), max(len(stage.size) for stage in boxes)
    return "\n".join(
        f"{label:<{wide}}  {stage.size:<{wider}}  " + _bar(stage) * max(1, round(16 * scales.height(stage)))
        for label, stage in zip(labels, boxes, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Scales:
    """Shares of the largest, by logarithm: of resolution and of channels."""

    side: int
    features: int
    channels: int

    @classmethod
    def of(cls, boxes: Iterable[Stage]) -> _Scales:
        boxes = list(boxes)
        maps, vectors = [b for b in boxes if b.side], [b for b in boxes if not b.side]
        return cls(
            max((b.side for b in maps), default=1),
            max((b.channels for b in vectors), default=1),
            max((b.channels for b in maps), default=1),
        )

    def height(self, stage: Stage) -> float:
        return _share(stage.side, self.side) if stage.side else _share(stage.channels, self.features)

    def width(self, stage: Stage) -> float:
        return _share(stage.channels, self.channels) if stage.side else 0.1


def _share(value: int, largest: int) -> float:
    return math.log2(1 + value) / math.log2(1 + largest) if value > 0 and largest > 0 else 0.0


def _join(rows: Iterable[Mapping[str, Any]]) -> list[Stage]:
    """Turn rows into stages; norms, activations and the like join the layer before."""
    found: list[Stage] = []
    for row in rows:
        shape = tuple(int(n) for n in row["output_shape"])
        kind = str(row["kind"])
        # An unknown layer that neither learns nor changes the shape says nothing as a box.
        passes_on = kind not in _CLASSES and not row["parameters"] and found and found[-1].shape == shape
        if found and (kind in _JOINS or passes_on):
            found[-1] = _joined(found[-1], kind, row)
        elif shape and kind not in _JOINS:
            found.append(
                Stage(
                    kind=kind,
                    label=_label(kind, str(row.get("detail", ""))),
                    shape=shape,
                    parameters=int(row["parameters"]),
                    multiplications=int(row["multiplications"]),
                    names=(str(row["name"]),),
                )
            )
    return found


def _joined(stage: Stage, kind: str, row: Mapping[str, Any]) -> Stage:
    named = str(row.get("detail", "")) if kind == "activation" else ""
    mark = named or _MARKS.get(kind)
    marks = stage.marks if mark is None or mark in stage.marks else (*stage.marks, mark)
    return replace(stage, marks=marks, parameters=stage.parameters + int(row["parameters"]))


def _label(kind: str, detail: str) -> str:
    """Shorten: ``conv`` and ``3x3, stride 2`` to ``conv 3x3 /2``; a pool's stride says nothing new."""
    window, _, rest = detail.partition(",")
    step = rest.strip().removeprefix("stride ").split(",")[0]
    stride = f" /{step}" if kind == "conv" and step.isdigit() else ""
    return f"{kind} {window}".strip() + stride


def _merge_equal(found: Iterable[Stage]) -> list[Stage]:
    groups = groupby(found, key=lambda s: (s.kind, s.label, s.shape, s.marks))
    return [_together(list(group)) for _, group in groups]


def _merge_by_resolution(found: Iterable[Stage]) -> list[Stage]:
    """Draw one box for all layers of one resolution: the last one's shape, the sums of all."""
    merged: list[Stage] = []
    for side, group in groupby(found, key=lambda s: s.side):
        members = list(group)
        if not side:
            merged.extend(members)
            continue
        counts = Counter({kind: sum(s.count for s in members if s.kind == kind)
                          for kind in {s.kind: None for s in members}})  # fmt: skip
        kind = counts.most_common(1)[0][0]
        merged.append(replace(_together(members), kind=kind, label=kind, shape=members[-1].shape, marks=()))
    return merged


def _together(members: Sequence[Stage]) -> Stage:
    return replace(
        members[0],
        parameters=sum(s.parameters for s in members),
        multiplications=sum(s.multiplications for s in members),
        names=tuple(name for s in members for name in s.names),
        count=sum(s.count for s in members),
    )


def _cell(stage: Stage, scales: _Scales, left: float, top: float, *, first: bool) -> str:
    """Draw one box with the arrow that leads to it and its words."""
    tall = _LOW + (_TALL - _LOW) * scales.height(stage)
    wide = _THIN + (_WIDE - _THIN) * scales.width(stage)
    depth = tall * _SLANT if stage.side else 0.0
    middle, axis = left + _CELL / 2, top + 66
    x, y = middle - (wide + depth) / 2, axis - (tall - depth) / 2
    words = [_counted(stage), stage.size, _short(stage.parameters) if stage.parameters else ""]
    parts = ["<g>", f"<title>{_safe(_tooltip(stage))}</title>"]
    if not first:
        parts.append(_arrow(left, axis, x - 3))
    parts.extend(_box(_CLASSES.get(stage.kind, "other"), x, y, wide, tall, depth))
    for line, word in enumerate(words):
        minor = ' class="bkf-minor"' if line == 2 else ""
        parts.append(f'<text x="{middle:.1f}" y="{top + 128 + 14 * line:.1f}"{minor}>{_safe(word)}</text>')
    return "\n".join([*parts, "</g>"])


def _box(kind: str, x: float, y: float, wide: float, tall: float, depth: float) -> list[str]:
    """Draw a front, and for a map its top and side."""
    front = (
        f'<rect class="bkf-box bkf-front bkf-{kind}" x="{x:.1f}" y="{y:.1f}" '
        f'width="{wide:.1f}" height="{tall:.1f}"/>'
    )
    if not depth:
        return [front]
    top = [(x, y), (x + depth, y - depth), (x + wide + depth, y - depth), (x + wide, y)]
    side = [(x + wide, y), (x + wide + depth, y - depth), (x + wide + depth, y + tall - depth),
            (x + wide, y + tall)]  # fmt: skip
    return [_face("top", kind, top), _face("side", kind, side), front]


def _face(face: str, kind: str, corners: Iterable[tuple[float, float]]) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    return f'<polygon class="bkf-box bkf-{face} bkf-{kind}" points="{points}"/>'


def _arrow(left: float, axis: float, tip: float) -> str:
    """Lead from the border of the cell to its box; nothing where there is no room."""
    start = left - 2
    if tip - start < 5:
        return ""
    return f'<path class="bkf-arrow" d="M{start:.1f} {axis:.1f}H{tip:.1f}m-4 -3.5l4 3.5l-4 3.5"/>'


def _counted(stage: Stage) -> str:
    return f"{stage.count}{_TIMES} {stage.label}" if stage.count > 1 else stage.label


def _bar(stage: Stage) -> str:
    return "█" if stage.side else "▒"


def _tooltip(stage: Stage) -> str:
    names = stage.names if len(stage.names) <= 4 else (*stage.names[:2], "…", stage.names[-1])
    words = [", ".join(names), _counted(stage), stage.size, *stage.marks]
    words.append(f"{stage.parameters:,} parameters")
    if stage.multiplications:
        words.append(f"{stage.multiplications:,} multiplications")
    return " · ".join(words)


def _in_words(boxes: Sequence[Stage]) -> str:
    """Say what the drawing shows to whoever does not see it."""
    counts: Counter[str] = Counter()
    for stage in boxes:
        if stage.kind != "input":
            counts[stage.kind] += stage.count
    return ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "no layers"


def _short(count: int) -> str:
    """Write a count in at most three digits: ``590 k``, ``1.2 M``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            value = count / size
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return str(count)


def _safe(text: str) -> str:
    """Escape for XML; what XML cannot hold becomes a question mark."""
    return escape("".join(c if c.isprintable() else "?" for c in text))
