from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from studies import make_study

from bakeoff.evidence.deduplicated import deduplicated_results, without_images
from bakeoff.evidence.results import write_results
from bakeoff.evidence.runs import as_recorded, load_runs
from bakeoff.evidence.summarise import summarise_study
from bakeoff.records import Predictions, StudyFolder
from bakeoff.records.checks import TaskChecks

FIRST_TEST = 1250  # position of the first test image of "5 classes" in the fixture


def with_twins(folder: StudyFolder, exact: list[int], near: list[int]) -> None:
    record = folder.read_task("5 classes")
    assert record is not None
    folder.write_checks("5 classes", TaskChecks(
        data_fingerprint=record.data_fingerprint, split_digest=record.split_digest, images=1500,
        alike=0.9, test_exact=exact, test_near=near,
    ))  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return make_study(tmp_path / "study")


def test_images_are_left_out_by_their_position_among_all_images() -> None:
    predictions = Predictions(
        index_N=np.array([30, 10, 20]), label_N=np.array([3, 1, 2]), loss_N=np.array([0.3, 0.1, 0.2]),
        top_NT=np.array([[3], [1], [2]]), probability_NT=np.array([[0.7], [0.9], [0.8]]),
    )  # fmt: skip
    kept = without_images(predictions, {10, 99})
    assert kept.index_N.tolist() == [30, 20]
    assert kept.label_N.tolist() == kept.top_NT[:, 0].tolist() == [3, 2]
    assert kept.loss_N.tolist() == [0.3, 0.2]


def test_the_accuracy_without_twins_is_that_counted_by_hand(folder: StudyFolder) -> None:
    """Left out are ten images that model1 gets right with seed 0, so it can only lose by it."""
    (run,) = [
        r for r in load_runs(folder, task="5 classes") if (r.record.candidate, r.record.seed) == ("model1", 0)
    ]
    assert run.test is not None
    right = run.test.index_N[run.test.correct_N][:10].tolist()
    with_twins(folder, right[:4], right[4:])
    spec = folder.spec()
    write_results(folder, spec)
    told = json.loads(folder.json_path.read_text())["deduplicated"]
    recorded = [as_recorded(r.record, folder.run(r.record.task, r.record.candidate, r.record.seed))
                for r in load_runs(folder)]  # fmt: skip
    assert deduplicated_results(folder, spec, recorded)["deduplicated"] == told
    assert set(told) == {"5 classes"}
    assert told["5 classes"]["left_out"] == 10
    rows = {(row["candidate"], row["seed"]): row for row in told["5 classes"]["runs"]}
    assert len(rows) == 9
    expected = (int(run.test.correct_N.sum()) - 10) / 240
    assert rows["model1", 0] == {
        "candidate": "model1", "seed": 0, "test_images": 240, "test_accuracy": round(expected, 6),
    }  # fmt: skip
    summary = summarise_study(folder).tasks[0].candidate("model1")
    assert summary.deduplicated is not None
    assert summary.accuracy is not None
    seeds = [rows["model1", seed]["test_accuracy"] for seed in (0, 1, 2)]
    assert summary.deduplicated.mean == pytest.approx(np.mean(seeds), abs=1e-6)
    assert (summary.deduplicated.n, summary.deduplicated.over) == (3, "seeds and images")


def test_nothing_is_said_without_checks_and_nothing_changes_without_twins(folder: StudyFolder) -> None:
    before = folder.json_path.read_text()
    assert "deduplicated" not in json.loads(before)
    assert [row.deduplicated for row in summarise_study(folder).tasks[0].candidates] == [None] * 3
    with_twins(folder, [], [])
    write_results(folder, folder.spec())
    assert json.loads(folder.json_path.read_text())["deduplicated"] == {
        "5 classes": {"left_out": 0, "runs": []}
    }
    assert [row.deduplicated for row in summarise_study(folder).tasks[0].candidates] == [None] * 3


def test_a_test_set_of_twins_alone_has_no_accuracy_left(folder: StudyFolder) -> None:
    with_twins(folder, list(range(FIRST_TEST, FIRST_TEST + 250)), [])
    write_results(folder, folder.spec())
    rows = json.loads(folder.json_path.read_text())["deduplicated"]["5 classes"]["runs"]
    assert {(row["test_images"], row["test_accuracy"]) for row in rows} == {(0, None)}
    assert [row.deduplicated for row in summarise_study(folder).tasks[0].candidates] == [None] * 3


def test_the_ranking_stays_that_of_all_test_images(folder: StudyFolder) -> None:
    before = summarise_study(folder).tasks[0]
    with_twins(folder, list(range(FIRST_TEST, FIRST_TEST + 100)), [])
    after = summarise_study(folder).tasks[0]
    assert [replace(row, deduplicated=None) for row in after.candidates] == list(before.candidates)
    assert after.groups == before.groups
