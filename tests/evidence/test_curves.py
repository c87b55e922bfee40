from __future__ import annotations

from pathlib import Path

import pytest
from studies import make_study

from bakeoff.evidence.curves import CurvePoint, learning_curves
from bakeoff.records import RunRecord
from bakeoff.spec import Published


def record(**values: object) -> RunRecord:
    base = {"identity": "i", "study": "s", "task": "t", "candidate": "c", "seed": 0, "status": "finished"}
    return RunRecord(**{**base, **values})  # type: ignore[arg-type]


def test_a_row_of_history_becomes_four_points() -> None:
    row = {"epoch": 2, "seconds": 7.5, "train_loss": 1.2, "train_accuracy": 0.4, "validation_loss": 1.3,
           "validation_accuracy": 0.35, "lr": 1e-3}  # fmt: skip
    points = learning_curves([record(history=[row], seed=4)])
    assert {(p.split, p.quantity): p.value for p in points} == {
        ("train", "loss"): 1.2, ("train", "accuracy"): 0.4,
        ("validation", "loss"): 1.3, ("validation", "accuracy"): 0.35,
    }  # fmt: skip
    where = {(p.candidate, p.seed, p.epoch, p.seconds, p.published) for p in points}
    assert where == {("c", 4, 2, 7.5, False)}


@pytest.mark.parametrize("lost", [None, float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_left_out(lost: float | None) -> None:
    rows = [{"epoch": 1, "train_loss": 2.0}, {"epoch": 2, "train_loss": lost}]
    points = learning_curves([record(history=rows, status="diverged")])
    assert [(p.epoch, p.value) for p in points] == [(1, 2.0)]


def test_the_published_curve_comes_once_for_all_seeds() -> None:
    published = Published(
        validation_accuracy=[0.1354, 0.1801], validation_loss=[4.1045, 3.7823], training_accuracy=[0.1208],
        loss=3.194,
    )  # fmt: skip
    points = learning_curves([record(seed=seed) for seed in (0, 1, 2)], {"c": published, "other": published})
    assert {p.candidate for p in points} == {"c"}
    assert [(p.split, p.quantity, p.epoch, p.value) for p in points] == [
        ("train", "accuracy", 1, 0.1208), ("validation", "accuracy", 1, 0.1354),
        ("validation", "accuracy", 2, 0.1801),
        ("validation", "loss", 1, 4.1045), ("validation", "loss", 2, 3.7823),
    ]  # fmt: skip
    assert all(p.published for p in points)


def test_a_study_on_disk_has_a_curve_for_each_run(tmp_path: Path) -> None:
    folder = make_study(tmp_path, seeds=[0, 1], diverged={("5 classes", "model4", 0)}, examples=False)
    published = {c.name: c.published for c in folder.spec().candidates if c.published}
    records = [r for r in folder.records() if r.task == "5 classes"]
    points = [p for p in learning_curves(records, published) if _shown(p)]

    def epochs(candidate: str, seed: int | None) -> list[float]:
        return [p.epoch for p in points if (p.candidate, p.seed) == (candidate, seed)]

    assert epochs("model5", 1) == [1, 2, 3]
    assert epochs("model4", 0) == [1, 2]  # it diverged in the third
    assert epochs("model4", None) == [1, 2, 3]
    assert epochs("model5", None) == []


def _shown(point: CurvePoint) -> bool:
    return (point.split, point.quantity) == ("validation", "loss")
