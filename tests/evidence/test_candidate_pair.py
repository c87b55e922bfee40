from __future__ import annotations

from pathlib import Path

import pytest
from studies import CANDIDATES, TASKS, CandidateSketch, make_study

from bakeoff.errors import ConfigError, StudyError, UnknownNameError
from bakeoff.evidence.candidate_pair import pair_candidates
from bakeoff.evidence.comparison import find_comparison
from bakeoff.evidence.summarise import summarise_study
from bakeoff.records import StudyFolder


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return make_study(
        tmp_path_factory.mktemp("pair") / "study",
        candidates=[
            *CANDIDATES,
            CandidateSketch(name="small batch", skill=2.0, task="5 classes", recipe={"batch_size": 8}),
            CandidateSketch(name="late", skill=2.0, task="5 classes"),
        ],
        missing={("5 classes", "late", 0)},
        failed={("16 classes", "model5", seed) for seed in (0, 1, 2)},
    )


def test_a_pair_is_that_of_the_task_and_its_counts_fit_together(study: StudyFolder) -> None:
    pair = pair_candidates(study, "model5", "model1", "5 classes")
    assert pair.comparison is not None
    assert pair.agreement is not None
    task = summarise_study(study).tasks[0]
    assert pair.among_all == find_comparison(task.comparisons, "model5", "model1")
    assert pair.among_all is not None
    assert pair.among_all.p_holm >= pair.comparison.p
    assert pair.agreement.first_only == pytest.approx(pair.comparison.first_only)
    assert sum(row.difference * row.images for row in pair.classes) / 250 == pytest.approx(
        pair.comparison.difference
    )
    right = sum((one.first_right - one.second_right) / one.seeds for one in pair.partings)
    assert right / 250 == pytest.approx(pair.comparison.difference)
    assert pair.same_control


def test_other_controls_are_named_and_not_ranked(study: StudyFolder) -> None:
    pair = pair_candidates(study, "model1", "small batch")
    assert not pair.same_control
    assert pair.differences() == {"batch_size": (64, 8)}
    assert pair.among_all is None
    assert pair.comparison is not None


def test_only_seeds_in_common_are_paired(study: StudyFolder) -> None:
    pair = pair_candidates(study, "model1", "late")
    assert pair.comparison is not None
    assert pair.comparison.seeds == (1, 2)


def test_without_a_seed_in_common_they_are_compared_as_strangers(tmp_path: Path) -> None:
    folder = make_study(
        tmp_path / "s", tasks=TASKS[:1], seeds=[0, 1],
        missing={("5 classes", "model1", 0), ("5 classes", "model4", 1)},
    )  # fmt: skip
    pair = pair_candidates(folder, "model4", "model1")
    assert pair.comparison is None
    assert pair.agreement is None
    assert pair.unpaired is not None
    assert pair.unpaired.seeds == ((0,), (1,))


@pytest.mark.parametrize(
    ("names", "task", "kind", "said"),
    [
        (("modle4", "model1"), None, UnknownNameError, "compare: got 'modle4'; did you mean 'model4'?"),
        (("model4", "model1"), None, ConfigError, "are both in '5 classes', '16 classes'; name one of them"),
        (("model4", "model1"), "5 clases", UnknownNameError, "--task: got '5 clases'; did you mean"),
        (("model4", "late"), "16 classes", ConfigError, "task '16 classes' does not have both"),
        (("model4", "model4"), None, ConfigError, "got 'model4' twice, expected two candidates"),
        (("model4", "model5"), "16 classes", StudyError, "no run of 'model5' in task '16 classes'"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_in_one_line(
    study: StudyFolder, names: tuple[str, str], task: str | None, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind) as caught:
        pair_candidates(study, *names, task)
    assert said in str(caught.value)
