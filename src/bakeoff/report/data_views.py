"""What is wrong with a task's images, in words, tables and pictures, and what that does to the accuracies."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bakeoff.evidence.findings import FINDINGS, IMAGE_KINDS, shown_findings
from bakeoff.evidence.summary import CandidateSummary, TaskSummary
from bakeoff.evidence.words import listing, percent, points
from bakeoff.records import TaskRecord
from bakeoff.records.checks import CheckedImage, CheckedPair, FlaggedImage, TaskChecks
from bakeoff.report.charts import SCHEMA, Spec
from bakeoff.report.figures import color_numbers
from bakeoff.report.view import (
    Cell,
    DataView,
    Figure,
    Gallery,
    PairCard,
    Panel,
    Row,
    Table,
    Thumb,
    Tone,
    numbers,
    row,
    words,
)
from bakeoff.report.words import MISSING, grouped, plural, range_words, typeset

Images = Mapping[int, np.ndarray]  # rows x columns x 3, uint8, by index

MOST_BARS = 30  # classes with a name each; more are drawn as steps, the largest first

_KINDS = {
    "blank": "Blank",
    "dark": "Darkest",
    "bright": "Brightest",
    "pale": "Palest",
    "blurred": "Blurriest",
}
_PARTS = {"train": "training", "validation": "validation", "test": "test"}
_NOT_CHECKED = "Not checked: this study was run before checks of the images were kept."
_NO_TWINS = "No test image was found to have a duplicate in training or validation."
_CAPTION = (
    "Results without the test images that have an exact or near duplicate in training or validation. The "
    "intervals are made as those of the results above."
)


def data_view(
    task: TaskSummary, copies: Images, index: int, *, table: Callable[[], int], figure: Callable[[], int]
) -> DataView | None:
    """Decide what the page says about a task's images.

    Args:
        task: The task, with its checks.
        copies: Small copies of the images that are shown.
        index: The task's number in the page, from 0.
        table: Gives the next table its number.
        figure: Gives the next figure its number.

    Returns:
        Words, tables and pictures; None before the images were read.
    """
    if task.record is None:
        return None
    checks = task.checks
    if checks is None:
        return DataView(words=_NOT_CHECKED)
    found = checks.found(FINDINGS)
    twins = len(checks.test_twins)
    findings = _findings_table(checks, table()) if found else None  # before the next: tables are numbered
    return DataView(
        words=_words(checks, found), findings=findings,
        galleries=_galleries(checks, copies, _names(task.record)),
        balance=_balance(checks, task, index, figure) if found.get("imbalance") else None,
        deduplicated_words=_twins_words(checks, twins, task.test_images) if checks.alike or twins else "",
        deduplicated=_deduplicated_table(task, table) if twins else None,
    )  # fmt: skip


def _names(record: TaskRecord | None) -> dict[str, str]:
    return dict(zip(record.class_ids, record.class_names, strict=True)) if record else {}


def _words(checks: TaskChecks, found: Mapping[str, int]) -> str:
    """Say what was looked at, and in one sentence what was found."""
    looked = f"{plural(checks.images, 'image')} were looked at, before anything was trained on them"
    near = (
        "" if checks.alike else " Near duplicates were not looked for: the files have too few pixels to tell."
    )
    if not found:
        return f"{looked}; nothing was found that should not be there.{near}"
    told = listing(
        [plural(count, FINDINGS[kind].one, FINDINGS[kind].many) for kind, count in found.items()],
        most=len(found),
    )
    return f"{looked}. Found: {told}.{near}"


def _findings_table(checks: TaskChecks, number: int) -> Table:
    """List every kind that was looked for, also those of which nothing was found."""
    rows = []
    for kind, known in FINDINGS.items():
        count = checks.counts.get(kind)
        tone: Tone = "" if not count else "warn" if kind in IMAGE_KINDS else "bad"
        rows.append(row(
            Cell(text=kind, sub=known.words),
            Cell(text=MISSING if count is None else grouped(count), tone=tone, sub=_made_of(kind, checks)),
            known.advice if count else "",
        ))  # fmt: skip
    columns = (words("Looked for"), numbers("Found"), words("What to do"))
    caption = "What was looked for in the images. Only files that cannot be read were left out because of it."
    return Table(number=number, caption=caption, columns=columns, rows=tuple(rows))


def _made_of(kind: str, checks: TaskChecks) -> str:
    """Say what a count is made of."""
    counts = checks.counts
    if kind == "leaks" and counts.get(kind):
        return "; ".join(
            f"{part}: {counts.get(f'{part}_exact', 0)} exact, {counts.get(f'{part}_near', 0)} near"
            for part in ("test", "validation")
        )
    if kind == "imbalance" and counts.get(kind):
        return f"largest : smallest = {checks.imbalance:.3g} : 1"
    return ""


def _twins_words(checks: TaskChecks, twins: int, test_images: int | None) -> str:
    if not twins:
        return _NO_TWINS
    share = f" ({percent(twins / test_images)})" if test_images else ""
    verb = "has" if twins == 1 else "have"
    exact = len(checks.test_exact)
    return (
        f"{plural(twins, 'test image')}{share} {verb} a duplicate in training or validation, "
        f"{grouped(exact)} of them the very same file. "
        "A network may know these by heart; so accuracies are given without them, too."
    )


def _deduplicated_table(task: TaskSummary, table: Callable[[], int]) -> Table | None:
    """Put the accuracy without twins beside that of all test images."""
    colors = color_numbers(task)
    rows = [_deduplicated_row(candidate, colors) for candidate in task.candidates if candidate.deduplicated]
    if not rows:
        return None
    columns = (
        words("Candidate"), numbers("all", "Test accuracy"), numbers("without duplicates", "Test accuracy"),
        numbers("difference, points", "Test accuracy"),
    )  # fmt: skip
    return Table(number=table(), caption=_CAPTION, columns=columns, rows=tuple(rows))


def _deduplicated_row(candidate: CandidateSummary, colors: Mapping[str, int]) -> Row:
    every, kept = candidate.accuracy, candidate.deduplicated
    if every is None or kept is None:
        raise ValueError(f"{candidate.name}: no accuracy to put beside that without duplicates")
    return row(
        Cell(text=candidate.name, color=colors[candidate.name]),
        *(Cell(text=percent(one.mean), sub=range_words(one.low, one.high, percent)) for one in (every, kept)),
        typeset(points(kept.mean - every.mean, 2)).removesuffix(" points"),
    )


def _galleries(checks: TaskChecks, copies: Images, names: Mapping[str, str]) -> tuple[Gallery, ...]:
    """Show findings as pictures, the clearest of each kind; without pictures, pairs are still named."""
    shown = shown_findings(checks)
    pairs = (
        ("Duplicates in another part", checks.counts.get("leaks", 0), shown.leaks,
         "Held-out images beside their twin in a part before them."),
        ("Duplicates under another label", checks.counts.get("conflicts", 0), shown.conflicts,
         "One picture under two labels, as far as it is not shown above."),
        ("Duplicates within a part", checks.counts.get("duplicates", 0), shown.repeats,
         "Images beside an earlier one of the same part, as far as not shown above."),
    )  # fmt: skip
    galleries = [
        Gallery(
            title=f"{title} ({len(some)} shown of {grouped(max(count, len(some)))})", words=told,
            cards=tuple(_card(pair, copies, names) for pair in some), opened=some is not shown.repeats,
        )
        for title, count, some, told in pairs
        if some
    ]  # fmt: skip
    for kind, images in shown.images:
        thumbs = tuple(_flagged_thumb(one, copies, names) for one in images if one.image.index in copies)
        if thumbs:
            count = max(checks.counts.get(kind, 0), len(thumbs))
            title = f"{_KINDS[kind]} images ({len(thumbs)} shown of {grouped(count)})"
            galleries.append(Gallery(title=title, words=f"{FINDINGS[kind].words}.", thumbs=thumbs))
    return tuple(galleries)


def _card(pair: CheckedPair, copies: Images, names: Mapping[str, str]) -> PairCard:
    first, second = (names.get(image.label, image.label) for image in (pair.first, pair.second))
    parts = [_PARTS[image.part] for image in (pair.first, pair.second)]
    how = "the same file" if pair.exact else f"likeness {pair.likeness:.2f}"
    mirrored = ", mirrored" if pair.mirrored else ""
    return PairCard(
        title=first if first == second else f"{first}; {second}",
        words=f"{parts[0]} and {parts[1]}: {how}{mirrored}. {pair.first.file}, {pair.second.file}",
        thumbs=tuple(
            _thumb(image, copies, names) for image in (pair.first, pair.second) if image.index in copies
        ),
    )


def _flagged_thumb(one: FlaggedImage, copies: Images, names: Mapping[str, str]) -> Thumb:
    return _thumb(one.image, copies, names, f", {one.value:g}")


def _thumb(image: CheckedImage, copies: Images, names: Mapping[str, str], more: str = "") -> Thumb:
    name = names.get(image.label, image.label)
    return Thumb(
        uri=_jpeg(copies[image.index]), size=64, words=f"{name}, {_PARTS[image.part]}: {image.file}{more}"
    )


def _jpeg(image_HWC: np.ndarray) -> str:
    """Write a picture into the page, in a quarter of a PNG's bytes; equal pixels give equal bytes."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image_HWC)).save(file, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _balance(checks: TaskChecks, task: TaskSummary, index: int, figure: Callable[[], int]) -> Figure:
    """Draw the training images of each class."""
    names = _names(task.record)
    counted = sorted(((c.train, names.get(c.id, c.id)) for c in checks.classes), key=lambda c: (-c[0], c[1]))
    few = [f"{name}: {grouped(count)}" for count, name in (counted[0], counted[-1])]
    panel = Panel(
        key=f"task-{index + 1}-balance", title="Training images of each class",
        spec=balance_chart(counted),
        description=f"Training images of {len(counted)} classes, the largest first; {few[0]}, {few[1]}.",
    )  # fmt: skip
    caption = f"Training images of each class; {few[0]}, {few[1]}."
    return Figure(number=figure(), caption=caption, panels=(panel,))


def balance_chart(counted: Sequence[tuple[int, str]]) -> Spec:
    """Draw how many images each class has.

    Args:
        counted: Counts and names, the largest first.

    Returns:
        The chart: a named bar a class, or one outline when there are many.
    """
    named = len(counted) <= MOST_BARS
    rows = [
        {"class": name, "rank": rank, "images": count} for rank, (count, name) in enumerate(counted, start=1)
    ]
    images = {"field": "images", "type": "quantitative", "title": "training images"}
    tip = [
        {"field": "class", "type": "nominal"}, {"field": "images", "type": "quantitative", "format": ",d"},
    ]  # fmt: skip
    by_name = {"field": "class", "type": "nominal", "sort": None, "title": None}
    by_rank = {"field": "rank", "type": "quantitative", "title": "classes, the largest first"}
    return {
        "$schema": SCHEMA,
        "width": "container",
        "height": max(80, 20 * len(counted)) if named else 160,
        "autosize": {"type": "fit", "contains": "padding"},
        "data": {"values": rows},
        "mark": {"type": "bar"} if named else {"type": "area", "interpolate": "step"},
        "encoding": {"x": images, "y": by_name, "tooltip": tip} if named else {"x": by_rank, "y": images},
    }
