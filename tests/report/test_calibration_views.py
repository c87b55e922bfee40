from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import altair
import pytest
from studies import CandidateSketch, TaskSketch, make_study

from bakeoff.evidence.calibration import Bin, read_calibration
from bakeoff.evidence.intervals import Interval
from bakeoff.evidence.summarise import summarise_study
from bakeoff.records import StudyFolder
from bakeoff.report.calibration_views import calibration_view
from bakeoff.report.page import render_page
from bakeoff.report.reliability import reliability_chart
from bakeoff.report.view import CalibrationView, Cell
from bakeoff.report.views import study_view

TASK = TaskSketch(name="t", classes=5, test_images=300, validation_images=200)
NETS = [
    CandidateSketch(name="fair", skill=3.0, sharpness=2.4),  # skill over the variance of its noise, 1.25
    CandidateSketch(name="loud", skill=2.6, sharpness=9.0),
    CandidateSketch(name="modest", skill=2.4, sharpness=0.3),
]


def make(path: Path, **options: object) -> StudyFolder:
    return make_study(path, tasks=[TASK], candidates=NETS, examples=False, **options)  # type: ignore[arg-type]


def calibration_of(folder: StudyFolder) -> CalibrationView:
    found = study_view(folder).tasks[0].calibration
    assert found is not None
    return found


def cells(view: CalibrationView, candidate: str) -> dict[str, Cell]:
    row = next(row for row in view.table.rows if row.cells[0].text == candidate)
    names = [f"{column.group}: {column.label}".removeprefix(": ") for column in view.table.columns]
    return dict(zip(names, row.cells, strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return make(tmp_path_factory.mktemp("calibration") / "s")


@pytest.fixture(scope="module")
def view(folder: StudyFolder) -> CalibrationView:
    return calibration_of(folder)


def test_every_number_is_the_mean_of_what_the_runs_recorded(
    folder: StudyFolder, view: CalibrationView
) -> None:
    stored = [read_calibration(r.calibration, "") for r in folder.records() if r.candidate == "loud"]
    known = [found for found in stored if found is not None]
    assert len(known) == 3

    def mean(*values: float) -> float:
        return sum(values) / 3

    row = cells(view, "loud")
    assert row["Temperature"].text == f"{mean(*(k.temperature for k in known)):.2f}"
    assert row["Error, points: as measured"].text == f"{100 * mean(*(k.before.ece for k in known)):.1f}"
    assert row["Log-loss, nats: as it is"].text == f"{mean(*(k.before.loss for k in known)):.3f}"
    assert row["Log-loss, nats: scaled"].text == f"{mean(*(k.after.loss for k in known)):.3f}"
    assert row["Brier score: as it is"].text == f"{mean(*(k.before.brier for k in known)):.3f}"
    assert row["Brier score: scaled"].text == f"{mean(*(k.after.brier for k in known)):.3f}"


def test_what_is_unsure_is_marked_and_what_is_sound_is_not(view: CalibrationView) -> None:
    tones = {name: cells(view, name)["Error, points: corrected"].tone for name in ("fair", "loud", "modest")}
    assert tones["loud"] == tones["modest"] == "warn"
    assert tones["fair"] == ""


def test_the_first_sentence_says_what_calibration_means_and_the_second_what_to_do(
    view: CalibrationView,
) -> None:
    assert view.words[0].startswith("A classifier is calibrated when it is as often right as it says")
    assert "the most accurate, says" in view.words[1]


def test_there_is_a_diagram_for_each_candidate_the_most_accurate_first(view: CalibrationView) -> None:
    assert [panel.title for panel in view.figure.panels] == [row.cells[0].text for row in view.table.rows]
    assert len({panel.key for panel in view.figure.panels}) == 3
    assert not view.folded


def test_older_records_have_errors_and_say_that_the_rest_was_not_recorded(tmp_path: Path) -> None:
    found = calibration_of(make(tmp_path / "s", calibrated=False))
    assert [column.label for column in found.table.columns] == [
        "Candidate", "it says", "is right", "as measured", "corrected",
    ]  # fmt: skip
    assert found.words[-1] == "Temperature and Brier score were not recorded for fair, loud and modest."
    assert [shape for shape, _ in found.figure.marks] == ["seed", "dashed"]


def test_older_records_whose_full_probabilities_are_there_have_everything(
    tmp_path: Path, view: CalibrationView
) -> None:
    found = calibration_of(make(tmp_path / "s", calibrated=False, full=True))
    assert found.table == view.table


def test_one_older_candidate_among_newer_ones_has_dashes(tmp_path: Path) -> None:
    folder = make(tmp_path / "s")
    for record in list(folder.records()):
        if record.candidate == "loud":
            folder.run("t", "loud", record.seed).write(replace(record, calibration={}))
    found = calibration_of(folder)
    assert found.words[-1] == "Temperature and Brier score were not recorded for loud."
    assert cells(found, "loud")["Temperature"].sub == "not recorded"
    assert (
        cells(found, "fair")["Temperature"].text != cells(found, "loud")["Temperature"].text == "\N{EN DASH}"
    )


def unfit(folder: StudyFolder, *names: tuple[str, int]) -> None:
    for name, seed in names:
        run = folder.run("t", name, seed)
        record = run.read()
        assert record is not None
        run.write(replace(record, calibration={**record.calibration, "unfitted": "too few mistakes"}))


def test_a_temperature_that_was_not_fitted_says_why(tmp_path: Path) -> None:
    folder = make(tmp_path / "s")
    unfit(folder, ("fair", 1), *((name, seed) for name in ("loud",) for seed in (0, 1, 2)))
    found = calibration_of(folder)
    assert cells(found, "fair")["Temperature"].sub == "1 of 3 runs not fitted: too few mistakes"
    assert cells(found, "loud")["Temperature"].sub == "not fitted: too few mistakes"
    by_name = {panel.title: len(panel.spec["layer"]) for panel in found.figure.panels}
    assert by_name == {"fair": 3, "loud": 2, "modest": 3}


def test_where_no_temperature_was_fitted_nothing_scaled_is_shown(tmp_path: Path) -> None:
    folder = make(tmp_path / "s")
    unfit(folder, *((net.name, seed) for net in NETS for seed in (0, 1, 2)))
    found = calibration_of(folder)
    assert [column.label for column in found.table.columns] == [
        "Candidate", "it says", "is right", "as measured", "corrected", "Temperature", "as it is", "as it is",
    ]  # fmt: skip
    assert not any("Temperature scaling" in words for words in found.words)
    assert [shape for shape, _ in found.figure.marks] == ["seed", "dashed"]


def test_a_task_without_a_finished_run_has_no_calibration(tmp_path: Path) -> None:
    lost = {("t", net.name, 0) for net in NETS}
    assert study_view(make(tmp_path / "s", seeds=[0], diverged=lost)).tasks[0].calibration is None


def test_many_candidates_fold_the_table_and_add_little_to_the_page(tmp_path: Path) -> None:
    many = [CandidateSketch(name=f"net {k}", skill=1 + 0.2 * k, sharpness=1.5) for k in range(14)]
    folder = make_study(tmp_path / "s", tasks=[TASK], candidates=many, examples=False)
    found = study_view(folder)
    assert found.tasks[0].calibration is not None
    assert found.tasks[0].calibration.folded
    without = replace(found, tasks=(replace(found.tasks[0], calibration=None),))
    assert len(render_page(found)) - len(render_page(without)) < 120_000


def test_the_diagram_is_sound_vega_lite_with_before_and_after() -> None:
    bins = [
        Bin(low=0.2, high=0.4, images=10, confidence=0.31, accuracy=0.2),
        Bin(low=0.8, high=1.0, images=90, confidence=0.95123456, accuracy=0.7),
    ]
    spec = reliability_chart("b", ["a", "b"], bins, bins[:1])
    altair.Chart.from_dict(spec)
    perfect, before, after = spec["layer"]
    assert [(row["says"], row["right"]) for row in perfect["data"]["values"]] == [(0, 0), (1, 1)]
    assert before["data"]["values"] == [
        {"candidate": "b", "says": 0.31, "right": 0.2, "images": 10},
        {"candidate": "b", "says": 0.9512, "right": 0.7, "images": 90},
    ]  # fmt: skip
    assert len(after["data"]["values"]) == 1
    assert len(reliability_chart("b", ["a", "b"], bins, [])["layer"]) == 2


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((0.0, 0.049), "its probabilities can be taken about as they are"),
        ((0.03, 0.18), "whether its probabilities can be taken as they are, this many images cannot tell"),
        ((0.051, 0.18), "it is too modest"),
    ],
)
def test_an_error_that_may_be_large_is_not_called_small(
    tmp_path: Path, ends: tuple[float, float], said: str
) -> None:
    task = summarise_study(make(tmp_path / "s", seeds=[0])).tasks[0]
    best = max(task.candidates, key=lambda row: row.accuracy.mean if row.accuracy else 0.0)
    assert best.calibration is not None
    error = Interval(mean=sum(ends) / 2, low=ends[0], high=ends[1], n=250, over="images")
    found = replace(best.calibration, confidence=0.6, accuracy=0.7, error=error)
    view = calibration_view(replace(task, candidates=(replace(best, calibration=found),)), 0, 1, 1)
    assert view is not None
    assert said in view.words[1]
