"""Goldens: SciPy's binomtest on the images of one class, and counts made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import recall_score

from bakeoff.evidence.agreement import paired
from bakeoff.evidence.comparison import compare, holm, seeds_and_images
from bakeoff.evidence.per_class import class_differences, differences_in_words
from bakeoff.records import Predictions
from bakeoff.rng import generator

NAMES = ["boa", "goose", "snail"]


def answered(label_N: np.ndarray, right_N: np.ndarray) -> Predictions:
    images = len(label_N)
    return Predictions(
        index_N=np.arange(images), label_N=label_N, loss_N=np.ones(images, np.float32),
        top_NT=np.where(right_N, label_N, (label_N + 1) % 3)[:, None],
        probability_NT=np.ones((images, 1), np.float32),
    )  # fmt: skip


# Twenty boas, twelve geese, eight snails: the first is right on 18, 6 and 4; the second on 5, 7 and 4.
LABELS = np.repeat([0, 1, 2], [20, 12, 8])
FIRST = np.concatenate([np.arange(20) < 18, np.arange(12) < 6, np.arange(8) < 4])
SECOND = np.concatenate([np.arange(20) < 5, np.arange(12) < 7, np.arange(8) >= 4])


def test_each_class_is_tested_on_its_own_images_and_all_are_corrected() -> None:
    found = class_differences(paired({0: answered(LABELS, FIRST)}, {0: answered(LABELS, SECOND)}), NAMES)
    assert [one.name for one in found] == ["boa", "goose", "snail"]
    assert [one.images for one in found] == [20, 12, 8]
    assert [one.difference for one in found] == pytest.approx([13 / 20, -1 / 12, 0])
    golden = [stats.binomtest(*counts, 0.5).pvalue for counts in ((13, 13), (0, 1), (4, 8))]
    assert [one.p for one in found] == pytest.approx(golden, abs=1e-12)
    assert [one.p_holm for one in found] == pytest.approx(holm(golden))
    assert [one.told_apart for one in found] == [True, False, False]
    assert (found[0].first, found[0].second) == pytest.approx((0.9, 0.25))


def test_several_seeds_are_tested_over_seeds_and_images() -> None:
    random = generator(0, "classes")
    first, second = ({seed: answered(LABELS, random.random(40) < share) for seed in (0, 1, 4)}
                     for share in (0.9, 0.5))  # fmt: skip
    found = {one.name: one for one in class_differences(paired(first, second), NAMES)}
    outcome_SN = np.stack(
        [first[s].correct_N[20:32].astype(np.int8) - second[s].correct_N[20:32] for s in (0, 1, 4)]
    )
    assert (found["goose"].p, found["goose"].low, found["goose"].high) == seeds_and_images(outcome_SN)


def test_images_are_paired_by_their_index() -> None:
    order = generator(0, "order").permutation(40)
    turned = Predictions(**{k: v[order] for k, v in vars(answered(LABELS, SECOND)).items()})
    straight = class_differences(paired({0: answered(LABELS, FIRST)}, {0: answered(LABELS, SECOND)}), NAMES)
    assert class_differences(paired({0: answered(LABELS, FIRST)}, {0: turned}), NAMES) == straight


def test_words_name_the_classes_that_differ_or_the_one_that_comes_nearest() -> None:
    runs = {0: answered(LABELS, FIRST)}, {0: answered(LABELS, SECOND)}
    found = class_differences(paired(*runs), NAMES)
    assert differences_in_words("a", "b", found) == (
        "a and b can be told apart on 1 of 3 classes: boa, where a is better (90.0 % against 25.0 %)."
    )
    assert differences_in_words("a", "b", found[1:]) == (
        "a and b can be told apart on none of 2 classes by its images alone. They are furthest apart on "
        "goose (-8.3 points for a, of 12 images)."
    )
    same = class_differences(paired(runs[0], runs[0]), None)
    assert differences_in_words("a", "b", same) == "a and b are equally often right on every class."
    assert same[0].name == "class 0"


def test_classes_have_the_recall_of_scikit_learn() -> None:
    runs = answered(LABELS, FIRST), answered(LABELS, SECOND)
    rows = sorted(class_differences(paired({0: runs[0]}, {0: runs[1]}), NAMES), key=lambda row: row.label)
    for name, run in zip(("first", "second"), runs, strict=True):
        expected = recall_score(LABELS, run.top_NT[:, 0], average=None)
        assert [getattr(row, name) for row in rows] == pytest.approx(expected.tolist())


def test_with_one_class_alone_a_class_is_what_the_whole_is() -> None:
    random, labels = generator(0, "one class"), np.zeros(30, np.int64)
    first, second = ({seed: answered(labels, random.random(30) < 0.6) for seed in (0, 1)} for _ in range(2))
    row, whole = class_differences(paired(first, second), None)[0], compare("a", "b", first, second)
    assert (row.difference, row.low, row.high, row.p) == (whole.difference, whole.low, whole.high, whole.p)
