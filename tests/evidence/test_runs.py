from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from studies import make_study

from bakeoff.errors import StudyError
from bakeoff.evidence.results import result_rows, results_csv
from bakeoff.evidence.runs import as_recorded, load_runs
from bakeoff.records import StudyFolder


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return make_study(tmp_path, seeds=[0, 1], diverged={("5 classes", "model1", 1)}, examples=False)


def test_runs_come_in_the_studys_order_and_only_those_asked_for(folder: StudyFolder) -> None:
    everything = load_runs(folder)
    assert len(everything) == 2 * 3 * 2
    of_task = load_runs(folder, task="16 classes")
    assert [(run.record.candidate, run.record.seed) for run in of_task] == [
        (name, seed) for name in ("model1", "model4", "model5") for seed in (0, 1)
    ]


def test_a_run_that_did_not_finish_has_neither_predictions_nor_metrics(folder: StudyFolder) -> None:
    diverged = next(run for run in load_runs(folder) if not run.finished)
    assert (diverged.test, diverged.validation, diverged.metrics) == (None, None, {})
    assert diverged.metric("test_accuracy") is None


def test_metrics_are_proved_by_the_predictions(folder: StudyFolder) -> None:
    for run in load_runs(folder):
        if run.test is not None:
            assert run.metric("test_accuracy") == run.test.correct_N.mean()
            assert run.metric("test_loss") == pytest.approx(run.test.loss_N.mean(), rel=1e-6)


@pytest.mark.parametrize(("metric", "by"), [("test_accuracy", 0.01), ("validation_loss", -0.01)])
def test_a_record_that_its_predictions_contradict_is_refused(
    folder: StudyFolder, metric: str, by: float
) -> None:
    run = folder.run("5 classes", "model4", 0)
    record = run.read()
    assert record is not None
    run.write(replace(record, metrics={**record.metrics, metric: record.metrics[metric] + by}))
    with pytest.raises(StudyError, match=rf"record.json: {metric} is .* but its per-image predictions give"):
        load_runs(folder)


def test_a_loss_summed_in_single_precision_is_no_contradiction(folder: StudyFolder) -> None:
    run = folder.run("5 classes", "model4", 0)
    record = run.read()
    assert record is not None
    nearly = record.metrics["test_loss"] * (1 + 1e-6)
    run.write(replace(record, metrics={**record.metrics, "test_loss": nearly}))
    assert len(load_runs(folder)) == 12


def test_without_predictions_the_recorded_metrics_hold(folder: StudyFolder) -> None:
    run = folder.run("5 classes", "model4", 0)
    record = run.read()
    assert record is not None
    run.predictions_path.unlink()
    found = next(r for r in load_runs(folder) if r.record.identity == record.identity)
    assert found.test is None
    assert found.metrics == record.metrics


def test_a_damaged_file_of_predictions_is_one_line_and_no_traceback(folder: StudyFolder) -> None:
    path = folder.run("5 classes", "model4", 0).predictions_path
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(StudyError, match=r"predictions\.npz"):
        load_runs(folder)


def test_runs_that_are_known_are_not_read_and_give_the_same_table(folder: StudyFolder) -> None:
    read = {(run.record.task, run.record.candidate, run.record.seed): run for run in load_runs(folder)}
    known = {key: as_recorded(run.record, folder.run(*key)) for key, run in read.items()}
    proved = results_csv(result_rows(folder))
    assert results_csv(result_rows(folder, runs=load_runs(folder, known=known))) == proved
    to_come = dict.fromkeys([("5 classes", "model1", 0)])
    assert [run.record.seed for run in load_runs(folder, known=to_come)].count(0) == 5
    for key in known:
        folder.run(*key).record_path.unlink()
    assert load_runs(folder) == []
    assert results_csv(result_rows(folder, runs=load_runs(folder, known=known))) == proved
    some = {key: run for key, run in known.items() if key[0] == "5 classes"}
    assert [run.record.task for run in load_runs(folder, known=some)] == ["5 classes"] * 6
    assert load_runs(folder, task="16 classes", known=some) == []
