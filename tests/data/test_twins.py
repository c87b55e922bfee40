"""Who is whose twin, held against all pairs looked at one by one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bakeoff.data import twins
from bakeoff.data.duplicates import NearPairs, exact_groups
from bakeoff.data.twins import PARTS, Named, Twins

BEFORE = {"train": (), "validation": ("train",), "test": ("train", "validation")}


def named(parts: list[str], labels: list[int]) -> Named:
    """Name images of some parts and labels."""
    data: Any = SimpleNamespace(
        keys=[str(k) for k in range(len(parts))], labels_N=np.array(labels), class_ids=["a", "b", "c"],
        **{part: np.array([k for k, own in enumerate(parts) if own == part], dtype=int) for part in PARTS},
    )  # fmt: skip
    return Named(data)


def near(pairs: dict[tuple[int, int], float]) -> NearPairs:
    """Lay near duplicates out."""
    return NearPairs(
        first_P=np.array([a for a, _ in pairs], dtype=np.int64),
        second_P=np.array([b for _, b in pairs], dtype=np.int64),
        mirrored_P=np.zeros(len(pairs), dtype=bool),
        likeness_P=np.array(list(pairs.values()), dtype=np.float32),
    )


@pytest.mark.parametrize("seed", range(20))
def test_every_list_is_that_of_all_pairs(seed: int) -> None:
    draw = np.random.default_rng(seed)
    count = 24
    parts = [PARTS[k] for k in draw.integers(3, size=count)]
    labels = draw.integers(3, size=count).tolist()
    files = [str(k) for k in draw.integers(12, size=count)]
    groups = exact_groups(files)
    heads = sorted({files.index(file) for file in files})
    drawn = {(a, b): round(0.9 + 0.001 * k, 3) for k, (a, b) in enumerate(
        (a, b) for a in heads for b in heads if a < b and draw.random() < 0.2)}  # fmt: skip

    def likeness(a: int, b: int) -> float:
        if files[a] == files[b]:
            return 2.0  # before every near duplicate
        first, second = sorted((files.index(files[a]), files.index(files[b])))
        return drawn.get((first, second), 0.0)

    def likest(a: int, fitting: list[int]) -> int | None:
        twin = [b for b in fitting if b != a and likeness(a, b)]
        return min(twin, key=lambda b: (-likeness(a, b), b), default=None)

    found = Twins(named(parts, labels), groups, near(drawn))
    everyone = range(count)
    leaks = {a: likest(a, [b for b in everyone if parts[b] in BEFORE[parts[a]]]) for a in everyone}
    repeats = {a: likest(a, [b for b in range(a) if parts[b] == parts[a]]) for a in everyone}
    others = {a: likest(a, [b for b in everyone if labels[b] != labels[a]]) for a in everyone}
    assert {p.first.index: p.second.index for p in found.leaks()} == _there(leaks)
    assert {p.first.index: p.second.index for p in found.repeats()} == _there(repeats)
    told = {frozenset((p.first.index, p.second.index)) for p in found.conflicts()}
    assert told == {frozenset(pair) for pair in _there(others).items()}


def _there(pairs: dict[int, int | None]) -> dict[int, int]:
    return {a: b for a, b in pairs.items() if b is not None}


def test_copies_of_one_placeholder_are_not_held_against_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    link = twins.Link
    monkeypatch.setattr(twins, "Link", lambda *values: made.append(values) or link(*values))
    images = 600
    found = Twins(named(["train"] * images, [0] * images), [list(range(images))], near({}))
    assert (len(found.leaks()), len(found.conflicts()), len(found.repeats())) == (0, 0, images - 1)
    assert len(made) < 2 * images
