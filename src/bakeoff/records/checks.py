"""What the checks of a task's images found, as plain values: `tasks/<task>/checks.json`.

Counts are of everything; lists are cut off, each after as many entries as `LISTED` or
`WORST` say. `bakeoff check --format json` writes exactly these fields.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

from pydantic import TypeAdapter

from bakeoff.spec.task import Part

VERSION = 2  # of what is looked for and how; raised, everything is looked at again
LISTED = 200  # pairs in a list, and unreadable files
WORST = 50  # images of a kind, the worst first


@dataclass(frozen=True, kw_only=True)
class CheckedImage:
    """An image, by its position among the task's images and by its name."""

    index: int
    file: str
    part: Part
    label: str  # the id of its class


@dataclass(frozen=True, kw_only=True)
class CheckedPair:
    """Two images that show the same picture."""

    first: CheckedImage
    second: CheckedImage
    exact: bool  # the very same file
    likeness: float  # 1 for the same; see `data.duplicates`
    mirrored: bool = False  # one is the other's mirror image


@dataclass(frozen=True, kw_only=True)
class FlaggedImage:
    """An image to look at, and what was measured of it."""

    image: CheckedImage
    value: float


@dataclass(frozen=True, kw_only=True)
class CheckedClass:
    """How many images a class has in each part."""

    id: str
    train: int
    validation: int
    test: int


@dataclass(frozen=True, kw_only=True)
class TaskChecks:
    """Everything that was found about a task's images."""

    # Of which images
    data_fingerprint: str
    split_digest: str
    images: int  # that could be read
    version: int = VERSION
    alike: float = 0.0  # likeness from which two images are near duplicates; 0 when none were looked for
    # How many: see `data.checks.FINDINGS` for the words
    counts: dict[str, int] = field(default_factory=dict)
    imbalance: float = 1.0  # training images of the largest class for one of the smallest
    classes: list[CheckedClass] = field(default_factory=list)
    modes: dict[str, int] = field(default_factory=dict)  # how the files store pixels, Pillow's names
    widths: list[float] = field(default_factory=list)  # smallest, median, largest; pixels of the files
    heights: list[float] = field(default_factory=list)
    unreadable: list[dict[str, str]] = field(default_factory=list)  # file, reason
    # Which: a held-out image with its likest twin in a part that is trained on or chosen by; twins with
    # other labels; twins in one part, the likest first
    leaks: list[CheckedPair] = field(default_factory=list)
    conflicts: list[CheckedPair] = field(default_factory=list)
    repeats: list[CheckedPair] = field(default_factory=list)
    # Every test image with an exact or a near twin in training or validation, by its position; never cut off
    test_exact: list[int] = field(default_factory=list)
    test_near: list[int] = field(default_factory=list)  # that is not in test_exact
    # "blank", "dark", ...: the worst first
    flagged: dict[str, list[FlaggedImage]] = field(default_factory=dict)
    seconds: float = 0.0  # that looking took, decoding apart

    @property
    def test_twins(self) -> frozenset[int]:
        """Positions of the test images that a network may have seen before, in one guise or another."""
        return frozenset((*self.test_exact, *self.test_near))

    def found(self, kinds: Iterable[str]) -> dict[str, int]:
        """Return the counts above zero of some kinds of findings."""
        return {kind: self.counts[kind] for kind in kinds if self.counts.get(kind)}


@cache
def checks_adapter() -> TypeAdapter[TaskChecks]:
    """Make what checks the types of stored checks, once."""
    return TypeAdapter(TaskChecks)
