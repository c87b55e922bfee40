from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.data.split import Parts, cut
from bakeoff.errors import DataError
from bakeoff.spec.task import Part


def cut_all(labels: list[int], parts: list[Part | None] | None = None, **more: float | None) -> Parts:
    settings = {"test": 0.2, "validation": 0.1, "seed": 0, **more}
    class_ids = [f"c{label}" for label in range(max(labels) + 1)]
    return cut(np.array(labels), parts or [None] * len(labels), class_ids, **settings)  # type: ignore[arg-type]


@given(
    counts=st.lists(st.integers(3, 40), min_size=2, max_size=6),
    test=st.floats(0.01, 0.9), validation=st.floats(0.01, 0.9), seed=st.integers(0, 99),
)  # fmt: skip
def test_parts_are_disjoint_whole_and_stratified(
    counts: list[int], test: float, validation: float, seed: int
) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    parts = cut_all(labels, test=test, validation=validation, seed=seed)
    everyone = np.concatenate([parts.train, parts.validation, parts.test])
    assert sorted(everyone) == list(range(len(labels)))
    for label, count in enumerate(counts):
        three = (parts.train, parts.validation, parts.test)
        sizes = [int((np.array(labels)[part] == label).sum()) for part in three]
        assert min(sizes) >= 1
        wanted = test * count  # the nearest whole number, within what leaves one for each other part
        assert abs(sizes[2] - wanted) <= 0.5 or sizes[2] == 1 or sizes[2] >= count - 2


def test_shares_come_out_exactly_where_they_can() -> None:
    parts = cut_all([0] * 500 + [1] * 500, test=0.2, validation=0.1)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (720, 80, 200)


def test_the_seed_decides_and_nothing_else() -> None:
    labels = [0, 1] * 50
    first, same, other = (cut_all(labels, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first.test, same.test)
    assert not np.array_equal(first.test, other.test)
    assert not np.array_equal(first.validation, other.validation)


def test_a_class_is_cut_alike_whatever_classes_stand_beside_it() -> None:
    alone = cut_all([0] * 30 + [1] * 30)
    beside = cut_all([0] * 30 + [1] * 30 + [2] * 9)
    for part in ("train", "validation", "test"):
        assert set(getattr(alone, part)) == {index for index in getattr(beside, part) if index < 60}


def test_the_sources_own_parts_are_used_as_they_are() -> None:
    given_parts: list[Part | None] = (["train"] * 8 + ["validation"] * 2 + ["test"] * 2) * 2
    parts = cut_all([0] * 12 + [1] * 12, given_parts)
    assert parts.validation.tolist() == [8, 9, 20, 21]
    assert parts.test.tolist() == [10, 11, 22, 23]


def test_a_source_with_validation_but_no_test_is_tested_on_training_images() -> None:
    given_parts: list[Part | None] = (["train"] * 8 + ["validation"] * 2) * 2
    parts = cut_all([0] * 10 + [1] * 10, given_parts)
    assert parts.validation.tolist() == [8, 9, 18, 19]
    assert len(parts.test) == 4
    assert set(parts.test).isdisjoint(parts.validation)


def test_where_nothing_is_to_be_tested_all_but_validation_is_trained_on() -> None:
    parts = cut_all([0] * 20 + [1, 1], test=None)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (19, 3, 0)
    given_parts: list[Part | None] = (["train"] * 3 + ["test"]) * 2
    assert cut_all([0] * 4 + [1] * 4, given_parts, test=None).test.tolist() == [3, 7]
    with pytest.raises(DataError, match=r"class 'c1' has 1 image .* at least 2 \(train, validation\)"):
        cut_all([0, 0, 1], test=None)


def test_a_source_with_a_test_part_has_validation_cut_from_training() -> None:
    given_parts: list[Part | None] = (["train"] * 10 + ["test"] * 3) * 2
    parts = cut_all([0] * 13 + [1] * 13, given_parts)
    assert parts.test.tolist() == [10, 11, 12, 23, 24, 25]
    assert len(parts.validation) == 2


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_too_small_for_every_part_is_refused(count: int) -> None:
    with pytest.raises(DataError, match=rf"class 'c1' has {count} images? to train on, expected at least 3"):
        cut_all([0] * 9 + [1] * count)


def test_a_class_that_is_tested_but_not_trained_is_refused() -> None:
    with pytest.raises(DataError, match="test has classes without training images: 'c2'"):
        cut_all([0] * 5 + [1] * 5 + [2], [*["train"] * 10, "test"])  # type: ignore[list-item]


def test_a_class_that_is_validated_but_not_trained_is_refused() -> None:
    with pytest.raises(DataError, match="validation has classes without training images: 'c2'"):
        cut_all([0] * 5 + [1] * 5 + [2], [*["train"] * 10, "validation"])  # type: ignore[list-item]


@pytest.mark.parametrize("part", ["test", "validation"])
def test_a_class_that_the_sources_own_part_lacks_is_refused(part: Part) -> None:
    given_parts: list[Part | None] = [*["train"] * 15, part, part]  # type: ignore[list-item]
    message = f"data: the source's own {part} has no images of 'c1', expected every class"
    with pytest.raises(DataError, match=message):
        cut_all([0] * 5 + [1] * 5 + [2] * 5 + [0, 2], given_parts)


def test_the_digest_names_the_images_not_their_positions() -> None:
    parts = Parts(np.array([0]), np.array([2]), np.array([1]))
    text = json.dumps({"test": ["b"], "train": ["a"], "validation": ["c"]}, separators=(",", ":"))
    assert parts.digest(["a", "b", "c"]) == hashlib.sha256(text.encode()).hexdigest()


def test_the_draw_is_what_it_was_when_the_first_runs_were_made() -> None:
    # A run's identity contains the split: a change here makes every stored run stale.
    parts = cut_all([0] * 10 + [1] * 10)
    assert (parts.test.tolist(), parts.validation.tolist()) == ([2, 9, 13, 18], [0, 17])
