from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from bakeoff.errors import StudyError
from bakeoff.evidence.agreement import agreement, paired, partings
from bakeoff.records import Predictions


def _predictions(answers: list[int], labels: list[int], index: list[int] | None = None) -> Predictions:
    top_NT = np.array([[answer, (answer + 1) % 3] for answer in answers], dtype=np.int16)
    return Predictions(
        index_N=np.array(index if index is not None else range(len(labels)), dtype=np.int32),
        label_N=np.array(labels, dtype=np.int16), loss_N=np.ones(len(labels), dtype=np.float32),
        top_NT=top_NT, probability_NT=np.full(top_NT.shape, 0.5, dtype=np.float32),
    )  # fmt: skip


LABELS = [0, 0, 0, 1, 1, 1, 2, 2]
FIRST = {0: _predictions([0, 0, 1, 1, 1, 2, 2, 0], LABELS), 1: _predictions([0, 0, 0, 1, 1, 2, 2, 0], LABELS)}
OTHER = [0, 1, 1, 1, 2, 1, 2, 0]
SECOND = {0: _predictions(OTHER, LABELS), 1: _predictions([0, 1, 1, 1, 2, 1, 0, 2], LABELS)}


def test_images_are_counted_by_who_is_right_as_by_hand() -> None:
    found = agreement(paired({0: FIRST[0]}, {0: SECOND[0]}))
    # The first is right on images 0 1 3 4 6, the second on 0 3 5 6.
    assert (found.both, found.first_only, found.second_only, found.neither) == (3, 2, 1, 2)
    assert found.same_answer == 5 / 8  # images 0, 2, 3, 6 and 7
    assert found.images == 8


def test_counts_of_several_seeds_are_means_and_make_up_all_images() -> None:
    found = agreement(paired(FIRST, SECOND))
    assert found.seeds == (0, 1)
    assert found.both == (3 + 2) / 2
    assert found.both + found.first_only + found.second_only + found.neither == found.images == 8


def test_kappa_is_that_of_scikit_learn() -> None:
    expected = [cohen_kappa_score(FIRST[k].top_NT[:, 0], SECOND[k].top_NT[:, 0]) for k in (0, 1)]
    assert agreement(paired(FIRST, SECOND)).kappa == pytest.approx(np.mean(expected), abs=1e-12)


def test_two_that_always_name_one_class_have_no_kappa() -> None:
    same = {0: _predictions([1] * 8, LABELS)}
    assert agreement(paired(same, same)).kappa is None


def test_images_are_matched_by_their_index_and_not_by_their_place() -> None:
    order = [5, 2, 7, 0, 1, 6, 4, 3]
    shuffled = {0: _predictions([OTHER[i] for i in order], [LABELS[i] for i in order], order)}
    assert agreement(paired({0: FIRST[0]}, shuffled)) == agreement(paired({0: FIRST[0]}, {0: SECOND[0]}))


def test_the_images_on_which_they_part_come_with_the_clearest_first() -> None:
    found = partings(paired(FIRST, SECOND))
    assert [(one.index, one.first_right, one.second_right) for one in found] == [
        (1, 2, 0), (4, 2, 0), (5, 0, 2), (2, 1, 0), (6, 2, 1), (7, 0, 1),
    ]  # fmt: skip
    assert (found[0].first_answer, found[0].second_answer, found[0].label) == (0, 1, 0)


def test_others_images_and_no_common_seed_are_refused() -> None:
    other = {0: _predictions([0] * 8, [1, *LABELS[1:]])}
    with pytest.raises(StudyError, match="tested on different images"):
        paired({0: FIRST[0]}, other)
    with pytest.raises(StudyError, match="no finished seed in common"):
        paired({0: FIRST[0]}, {1: SECOND[1]})
