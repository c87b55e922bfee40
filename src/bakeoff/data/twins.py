"""Which image is whose twin: within a part, across parts, under another label.

Copies of one file share what is near to any of them, so an image's twins are its exact
copies, then its near duplicates with all of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bakeoff.data.duplicates import NearPairs
from bakeoff.data.prepare import TaskData
from bakeoff.records.checks import CheckedImage, CheckedPair
from bakeoff.spec.task import PARTS, Part

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


@dataclass(frozen=True, slots=True)
class _Copies:
    """Copies of one file: the first in each part, the first of each label. A placeholder has thousands."""

    by_part: dict[Part, int]
    by_label: dict[int, int]  # in the order of the images


class Twins:
    """Who is whose twin."""

    def __init__(self, named: Named, groups: Sequence[Sequence[int]], near: NearPairs) -> None:
        self._named = named
        self._members = {group[0]: list(group) for group in groups}
        self._head = {index: group[0] for group in groups for index in group}
        self._known: dict[int, _Copies] = {}
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

    def leaks(self) -> list[CheckedPair]:
        """Pair every held-out image with its likest twin in a part before it; test images first."""

        def fits(index: int, copies: _Copies) -> int | None:
            before = _BEFORE[self._named.parts[index]]
            return min((copies.by_part[part] for part in before if part in copies.by_part), default=None)

        return sorted(self._paired(fits), key=lambda pair: (pair.first.part != "test", *_by_likeness(pair)))

    def conflicts(self) -> list[CheckedPair]:
        """Pair every image with its likest twin of another label, if it has one; no pair twice."""

        def fits(index: int, copies: _Copies) -> int | None:
            own = self._named.labels[index]
            return next((other for label, other in copies.by_label.items() if label != own), None)

        pairs = {
            frozenset((pair.first.index, pair.second.index)): pair for pair in reversed(self._paired(fits))
        }
        return sorted(pairs.values(), key=_by_likeness)

    def repeats(self) -> list[CheckedPair]:
        """Pair every image with the likest earlier twin of the same part, if it has one."""

        def fits(index: int, copies: _Copies) -> int | None:
            other = copies.by_part.get(self._named.parts[index], index)
            return other if other < index else None

        return sorted(self._paired(fits), key=_by_likeness)

    def _paired(self, fits: Callable[[int, _Copies], int | None]) -> list[CheckedPair]:
        """Pair each image with the first of its twins that fits, in the order of the images."""
        pairs = []
        for index in self.involved():
            link = next(self._links(index, fits), None)
            if link is not None:
                pairs.append(self._pair(index, link))
        return pairs

    def _links(self, index: int, fits: Callable[[int, _Copies], int | None]) -> Iterator[Link]:
        """Yield of an image's exact copies, then of each near duplicate's, the first that fits."""
        head = self._head.get(index, index)
        exact = fits(index, self._copies(head))
        if exact is not None:
            yield Link(exact, 1.0, True, False)
        for near, likeness, mirrored in self._near.get(head, []):
            other = fits(index, self._copies(near))
            if other is not None:
                yield Link(other, likeness, False, mirrored)

    def _copies(self, head: int) -> _Copies:
        """Look up, or find out, what can be asked of an image's copies."""
        if head not in self._known:
            by_part: dict[Part, int] = {}
            by_label: dict[int, int] = {}
            for index in self._members.get(head, [head]):
                by_part.setdefault(self._named.parts[index], index)
                by_label.setdefault(self._named.labels[index], index)
            self._known[head] = _Copies(by_part, by_label)
        return self._known[head]

    def _pair(self, index: int, link: Link) -> CheckedPair:
        return CheckedPair(
            first=self._named.image(index), second=self._named.image(link.other),
            exact=link.exact, likeness=round(link.likeness, 3), mirrored=link.mirrored,
        )  # fmt: skip


def _by_likeness(pair: CheckedPair) -> tuple[bool, float, int, int]:
    return (not pair.exact, -pair.likeness, pair.first.index, pair.second.index)
