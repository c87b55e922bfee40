from __future__ import annotations

import math

import numpy as np
import pytest

from bakeoff.evidence.predictions import WORST_LOSS, summarise_probabilities


def test_classes_come_best_first_and_ties_by_the_lower_index() -> None:
    row = np.float32([[0.1, 0.2, 0.2, 0.1, 0.2, 0.1, 0.1]])
    kept = summarise_probabilities(row, np.array([0]), np.array([41]))
    assert kept.top_NT.tolist() == [[1, 2, 4, 0, 3]]
    assert kept.probability_NT.tolist() == row[:, [1, 2, 4, 0, 3]].tolist()
    assert kept.index_N.tolist() == [41]


def test_ties_among_many_classes_keep_the_order_of_the_index() -> None:
    # Past 16 values NumPy's default sort is no insertion sort, and would mix equal ones.
    row = np.zeros((1, 200), dtype=np.float32)
    row[0, [3, 190]] = 0.5
    assert summarise_probabilities(row, np.array([0]), np.array([0])).top_NT.tolist() == [[3, 190, 0, 1, 2]]


def test_few_classes_are_all_kept() -> None:
    kept = summarise_probabilities(np.float32([[0.2, 0.8], [0.6, 0.4]]), np.array([1, 1]), np.array([3, 9]))
    assert kept.top_NT.tolist() == [[1, 0], [0, 1]]
    assert kept.correct_N.tolist() == [True, False]


def test_the_loss_is_minus_the_logarithm_of_the_labels_own_probability() -> None:
    kept = summarise_probabilities(np.float32([[0.5, 0.25, 0.25], [0, 0, 1]]), np.array([1, 2]), np.arange(2))
    assert kept.loss_N.tolist() == pytest.approx([math.log(4), 0.0])
    assert math.copysign(1, kept.loss_N[1]) == 1  # not -0.0, which would be printed so


def test_a_label_of_probability_zero_costs_a_finite_loss() -> None:
    kept = summarise_probabilities(np.float32([[0, 1]]), np.array([0]), np.array([0]))
    assert kept.loss_N[0] == pytest.approx(87.3365, abs=1e-3)  # -ln of the smallest normal float32, 2**-126
    assert pytest.approx(126 * math.log(2)) == WORST_LOSS


def test_types_are_those_that_a_record_keeps() -> None:
    kept = summarise_probabilities(np.full((3, 200), 0.005), np.array([0, 1, 199]), np.arange(3))
    types = {name: value.dtype.name for name, value in vars(kept).items()}
    assert types == {"index_N": "int32", "label_N": "int16", "loss_N": "float32", "top_NT": "int16",
                     "probability_NT": "float32"}  # fmt: skip


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([[0.5, math.nan], [0.5, 0.5]], [0, 1], "not finite for 1 of 2 images; the network diverged"),
        ([[0.5, math.inf], [0.5, 0.5]], [0, 1], "not finite"),
        ([[-0.1, 1.1], [0.5, 0.5]], [0, 1], "at least 0"),
        ([[0.5, 0.5], [0.5, 0.5]], [0, 2], "expected 0 to 1"),
        ([[0.5, 0.5], [0.5, 0.5]], [-1, 1], "expected 0 to 1"),
        ([[0.5, 0.5], [0.5, 0.5]], [0], "shapes"),
        ([0.5, 0.5], [0, 1], "shape"),
    ],
)
def test_what_is_no_probability_or_label_is_refused(probabilities: list, labels: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        summarise_probabilities(np.float32(probabilities), np.array(labels), np.arange(len(labels)))
