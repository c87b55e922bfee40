"""What is wrong with images, for the terminal: a table of findings, then the worst of each by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bakeoff.evidence.findings import FINDINGS, IMAGE_KINDS
from bakeoff.records.checks import CheckedPair, TaskChecks
from bakeoff.units import format_seconds

NAMED = 5  # findings of a kind, by name


def render_checks(source: str, image_size: int, checks: TaskChecks) -> Group:
    """Arrange checks for the terminal.

    Args:
        source: What was looked at.
        image_size: Pixels it was looked at in.
        checks: What was found.

    Returns:
        A headline, the table, the worst findings by name and what can be done.
    """
    parts = {part: sum(getattr(c, part) for c in checks.classes) for part in ("train", "validation", "test")}
    told = ", ".join(f"{count:,} {part}" for part, count in parts.items())
    found = checks.found(FINDINGS)
    return Group(
        Text(f"{source}: {len(checks.classes):,} classes, {told} images, looked at in {image_size} pixels"),
        Text(_files(checks), style="dim"),
        _table(checks),
        *(part for kind in found for part in _named(kind, checks)),
        Text(_end(checks, found)),
    )


def _files(checks: TaskChecks) -> str:
    modes = ", ".join(f"{count:,} {mode}" for mode, count in checks.modes.items())
    sides = [
        f"{name} {low:g} to {high:g} (median {median:g})"
        for name, values in (("widths", checks.widths), ("heights", checks.heights))
        if len(values) == 3
        for low, median, high in [values]
    ]
    return "files: " + "; ".join(filter(None, (modes, *sides)))


def _table(checks: TaskChecks) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("finding", no_wrap=True)
    table.add_column("count", justify="right", no_wrap=True)
    table.add_column("what it is")
    for kind, known in FINDINGS.items():
        count = checks.counts.get(kind, 0)
        style = "" if not count else "bold yellow" if kind in IMAGE_KINDS else "bold red"
        table.add_row(
            Text(kind, style=style), Text(f"{count:,}", style=style), escape(_what(kind, checks, known.words))
        )
    return table


def _what(kind: str, checks: TaskChecks, words: str) -> str:
    """Add to a finding's words what its count is made of."""
    counts = checks.counts
    if kind == "leaks" and counts.get("leaks"):
        return f"{words}: {_of(counts, 'test')}; {_of(counts, 'validation')}"
    if kind == "imbalance" and counts.get("imbalance"):
        return f"{words}; the largest has {checks.imbalance:.3g} times those of the smallest"
    return words


def _of(counts: dict[str, int], part: str) -> str:
    return f"{counts.get(f'{part}_exact', 0):,} exact and {counts.get(f'{part}_near', 0):,} near of {part}"


def _named(kind: str, checks: TaskChecks) -> Iterator[Text]:
    """Yield a heading, the worst of a kind and what to do."""
    lines = list(_lines(kind, checks))
    yield Text(f"{kind}:", style="bold")
    for line in lines[:NAMED]:
        yield Text(f"  {line}")
    count = checks.counts[kind]
    if len(lines[:NAMED]) < len(lines) or (kind in IMAGE_KINDS and count > NAMED):
        yield Text(f"  and more; --format json lists {len(lines):,}", style="dim")
    yield Text(f"  -> {FINDINGS[kind].advice}", style="dim")


def _lines(kind: str, checks: TaskChecks) -> Sequence[str]:
    if kind == "unreadable":
        return [f"{entry['file']}: {entry['reason']}" for entry in checks.unreadable]
    if kind == "imbalance":
        largest = max(c.train for c in checks.classes)
        small = sorted(checks.classes, key=lambda c: c.train)
        return [f"{c.id}: {c.train:,} training images, the largest has {largest:,}" for c in small][
            : checks.counts[kind]
        ]
    if kind in IMAGE_KINDS:
        return [f"{one.image.file} ({one.value:g})" for one in checks.flagged.get(kind, [])]
    pairs = {"leaks": checks.leaks, "conflicts": checks.conflicts, "duplicates": checks.repeats}[kind]
    return [pair_words(pair) for pair in pairs]


def pair_words(pair: CheckedPair) -> str:
    """Say which two images are the same picture, and how alike they are."""
    how = "exact" if pair.exact else f"likeness {pair.likeness:.2f}{', mirrored' if pair.mirrored else ''}"
    first, second = (f"{image.file} ({image.part}, {image.label})" for image in (pair.first, pair.second))
    return f"{first} = {second}: {how}"


def _end(checks: TaskChecks, found: dict[str, int]) -> str:
    looked = (
        ""
        if checks.alike
        else " Near duplicates were not looked for: the images have too few pixels to tell."
    )
    took = f"Looked for {format_seconds(checks.seconds)}, decoding apart."
    return f"{'Nothing was found. ' if not found else ''}{took}{looked}"
