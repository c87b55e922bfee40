"""Which image is whose twin: within a part, across parts, under another label.

Copies of one file share what is near to any of them, so an image's twins are its exact
copies, then its near duplicates with all of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bakeoff.data.duplicates import NearPairs
from bakeoff.data.prepare import TaskData
from bakeoff.records.checks import CheckedImage, CheckedPair

Part = Literal["train", "validation", "test"]

PARTS: tuple[Part, ...] = ("train", "validation", "test")

_BEFORE: dict[Part, tuple[Part, ...]] = {
    "train": (),
    "validation": ("train",),
    "test": ("train", "validation"),
}


class Named:
    """A task's images by position, with what people call them."""

    def __init__(self, data: TaskData) -> None:
        self.labels: list[int] = data.labels_N.tolist()
        self.parts: list[Part] = ["train"] * len(data.keys)
        for part in PARTS:
            for index in getattr(data, part).tolist():
                self.parts[index] = part
        self._keys, self._class_ids = data.keys, data.class_ids

    def image(self, index: int) -> CheckedImage:
        """Name an image."""
        return CheckedImage(
            index=index, file=self._keys[index], part=self.parts[index],
            label=self._class_ids[self.labels[index]],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Link:
    """One way in which two images are twins."""

    other: int
    likeness: float  # 1 for an exact copy
    exact: bool
    mirrored: bool


class Twins:
    """Who is whose twin."""

    def __init__(self, named: Named, groups: Sequence[Sequence[int]], near: NearPairs) -> None:
        self._named = named
        self._members = {group[0]: list(group) for group in groups}
        self._head = {index: group[0] for group in groups for index in group}
        self._near: dict[int, list[tuple[int, float, bool]]] = {}
        for first, second, likeness, mirrored in zip(
            near.first_P.tolist(), near.second_P.tolist(), near.likeness_P.tolist(), near.mirrored_P.tolist(),
            strict=True,
        ):  # fmt: skip
            self._near.setdefault(first, []).append((second, likeness, mirrored))
            self._near.setdefault(second, []).append((first, likeness, mirrored))
        for others in self._near.values():
            others.sort(key=lambda other: (-other[1], other[0]))

    def involved(self) -> list[int]:
        """Return every image that has a twin, ascending."""
        heads = {*self._near, *self._members}
        return sorted({index for head in heads for index in self._members.get(head, [head])})

    def links(self, index: int) -> Iterator[Link]:
        """Yield an image's twins, exact ones first, then the likest; a placeholder may have thousands."""
        head = self._head.get(index, index)
        for other in self._members.get(head, []):
            if other != index:
                yield Link(other, 1.0, True, False)
        for near, likeness, mirrored in self._near.get(head, []):
            for other in self._members.get(near, [near]):
                yield Link(other, likeness, False, mirrored)

    def leaks(self) -> list[CheckedPair]:
        """Pair every held-out image with its likest twin in a part before it; test images first."""
        parts = self._named.parts
        pairs = self._paired(lambda index, other: parts[other] in _BEFORE[parts[index]])
        return sorted(pairs, key=lambda pair: (pair.first.part != "test", *_by_likeness(pair)))

    def conflicts(self) -> list[CheckedPair]:
        """Pair every image with its likest twin of another label, if it has one; no pair twice."""
        labels = self._named.labels
        pairs = {
            frozenset((pair.first.index, pair.second.index)): pair
            for pair in reversed(self._paired(lambda index, other: labels[other] != labels[index]))
        }
        return sorted(pairs.values(), key=_by_likeness)

    def repeats(self) -> list[CheckedPair]:
        """Pair every image with the likest earlier twin of the same part, if it has one."""
        parts = self._named.parts
        pairs = self._paired(lambda index, other: other < index and parts[other] == parts[index])
        return sorted(pairs, key=_by_likeness)

    def _paired(self, fits: Callable[[int, int], bool]) -> list[CheckedPair]:
        """Pair each image with the first of its twins that fits, in the order of the images."""
        pairs = []
        for index in self.involved():
            link = next((link for link in self.links(index) if fits(index, link.other)), None)
            if link is not None:
                pairs.append(self._pair(index, link))
        return pairs

    def _pair(self, index: int, link: Link) -> CheckedPair:
        return CheckedPair(
            first=self._named.image(index), second=self._named.image(link.other),
            exact=link.exact, likeness=round(link.likeness, 3), mirrored=link.mirrored,
        )  # fmt: skip


def _by_likeness(pair: CheckedPair) -> tuple[bool, float, int, int]:
    return (not pair.exact, -pair.likeness, pair.first.index, pair.second.index)
