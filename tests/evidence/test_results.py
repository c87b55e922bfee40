from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from studies import make_study

from bakeoff.evidence.results import COLUMNS, result_rows, results_csv, results_json
from bakeoff.records import StudyFolder


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return make_study(
        tmp_path,
        seeds=[0, 1],
        diverged={("5 classes", "model1", 1)},
        failed={("16 classes", "model4", 0)},
        missing={("16 classes", "model5", 1)},
        examples=False,
    )


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_columns_come_in_the_order_that_readers_were_promised(folder: StudyFolder) -> None:
    header = results_csv(result_rows(folder)).splitlines()[0]
    assert header.startswith(
        "task,candidate,seed,status,control,model,parameters,trainable,epochs,train_seconds,total_seconds,"
        "images_per_second,validation_accuracy,test_loss,test_accuracy,published_loss,published_accuracy,"
    )
    assert len(set(COLUMNS)) == len(COLUMNS)


def test_scores_of_the_probabilities_are_those_that_the_run_recorded(folder: StudyFolder) -> None:
    records = {(r.task, r.candidate, r.seed): r for r in folder.records() if r.status == "finished"}
    for row in read(results_csv(result_rows(folder))):
        found = records.get((row["task"], row["candidate"], int(row["seed"])))
        if found is None:
            assert row["test_brier"] == row["test_ece"] == row["temperature"] == ""
            continue
        assert float(row["test_brier"]) == pytest.approx(found.calibration["before"]["brier"], abs=1e-6)
        assert float(row["test_ece"]) == pytest.approx(found.calibration["before"]["ece"], abs=1e-6)
        assert float(row["temperature"]) == pytest.approx(found.calibration["temperature"], abs=1e-6)


def test_an_older_record_leaves_these_empty(tmp_path: Path) -> None:
    older = make_study(tmp_path / "older", seeds=[0], examples=False, calibrated=False, full=True)
    for row in result_rows(older):
        assert row["test_brier"] is row["test_ece"] is row["temperature"] is None
        assert row["test_accuracy"] > 0


def test_a_run_that_is_not_there_yet_has_no_row(folder: StudyFolder) -> None:
    rows = result_rows(folder)
    assert len(rows) == 11
    assert ("16 classes", "model5", 1) not in [(row["task"], row["candidate"], row["seed"]) for row in rows]


def test_accuracies_are_those_of_the_predictions_on_disk(folder: StudyFolder) -> None:
    for row in read(results_csv(result_rows(folder))):
        if row["status"] == "finished":
            path = folder.run(row["task"], row["candidate"], int(row["seed"])).predictions_path
            with np.load(path) as arrays:
                right = int((arrays["test_top"][:, 0] == arrays["test_label"]).sum())
                images = len(arrays["test_label"])
                assert round(float(row["test_accuracy"]) * images, 3) == right
                assert float(row["test_loss"]) == pytest.approx(arrays["test_loss"].mean(), abs=2e-6)


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_a_run_that_did_not_finish_has_its_reason_and_empty_cells(folder: StudyFolder, status: str) -> None:
    row = next(row for row in read(results_csv(result_rows(folder))) if row["status"] == status)
    assert row["reason"] == {"diverged": "the loss became nan at step 54",
                             "failed": "RuntimeError: the fixture was told to fail"}[status]  # fmt: skip
    measured = [name for name in COLUMNS if name.startswith(("test_", "validation_"))]
    assert {row[name] for name in measured} == {""}
    assert row["published_accuracy"] == {"diverged": "0.516", "failed": "0.772"}[status]


def test_the_same_records_give_the_same_bytes(folder: StudyFolder) -> None:
    text = results_csv(result_rows(folder))
    assert text == results_csv(result_rows(StudyFolder(folder.path)))
    assert text.encode() == folder.csv_path.read_bytes()
    assert "\r" not in text
    assert text.endswith("\n")


def test_numbers_are_written_short_and_without_a_negative_zero(folder: StudyFolder) -> None:
    row = {**dict.fromkeys(COLUMNS), "test_loss": 0.30000000000000004, "test_accuracy": -1e-9, "seed": 3}
    found = read(results_csv([row]))[0]
    cells = (found["test_loss"], found["test_accuracy"], found["seed"], found["task"])
    assert cells == ("0.3", "0.0", "3", "")


def test_a_name_with_a_comma_and_a_reason_of_two_lines_stay_one_row() -> None:
    row = {**dict.fromkeys(COLUMNS), "candidate": 'my "net", v2', "reason": "RuntimeError:\n  out of memory"}
    text = results_csv([row])
    assert len(text.splitlines()) == 2
    assert read(text)[0]["candidate"] == 'my "net", v2'
    assert read(text)[0]["reason"] == "RuntimeError: out of memory"


def test_json_holds_the_same_rows(folder: StudyFolder) -> None:
    rows, spec = result_rows(folder), folder.spec()
    values = results_json(rows, spec)
    assert (values["study"], values["seeds"], len(values["runs"])) == ("sketch", [0, 1], len(rows))
    for written, plain in zip(read(results_csv(rows)), values["runs"], strict=True):
        assert {name: "" if v is None else str(v) for name, v in plain.items()} == written
    assert json.loads(folder.json_path.read_text(encoding="utf-8")) == values


def test_a_chosen_part_of_the_study_gives_the_rows_of_that_part(folder: StudyFolder) -> None:
    part = folder.spec().model_copy(update={"seeds": (1,)})
    assert {row["seed"] for row in result_rows(folder, part)} == {1}


def test_published_figures_are_the_studys_even_when_they_were_edited_after_training(
    folder: StudyFolder,
) -> None:
    lock = folder.read_lock() or {}
    candidates = [{**lock["study"]["candidate"][0], "published": {"accuracy": 0.6}},
                  *lock["study"]["candidate"][1:]]  # fmt: skip
    folder.write_lock({**lock, "study": {**lock["study"], "candidate": candidates}})
    shown = {row["candidate"]: row["published_accuracy"] for row in read(results_csv(result_rows(folder)))}
    assert shown == {"model1": "0.6", "model4": "0.772", "model5": ""}
    assert {row["published_loss"] for row in result_rows(folder) if row["candidate"] == "model1"} == {None}
