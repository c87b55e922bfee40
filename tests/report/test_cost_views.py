from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from studies import CANDIDATES, TASKS, make_study

from bakeoff.evidence.summarise import summarise_study
from bakeoff.evidence.summary import TaskSummary
from bakeoff.records import StudyFolder
from bakeoff.report.cost_views import cost_view
from bakeoff.report.figures import accuracy_figure
from bakeoff.report.view import Table
from bakeoff.report.views import study_view

TIMED = {
    "latency_seconds": 0.0123, "latency_p90_seconds": 0.0151, "images_per_second": 213.4, "batch": 32,
    "threads": 2,
}  # fmt: skip


def cells(table: Table, first: str) -> dict[str, tuple[str, str]]:
    row = next(row for row in table.rows if row.cells[0].text == first)
    names = [column.label for column in table.columns]
    return {name: (cell.text, cell.sub) for name, cell in zip(names, row.cells, strict=True)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """Model1 is timed and its energy read; model5 stands on model1; model4 is an older record."""
    made = make_study(tmp_path_factory.mktemp("cost") / "study", tasks=TASKS[1:], examples=False)
    for record in made.records():
        run = made.run(record.task, record.candidate, record.seed)
        if record.candidate == "model1":
            inference = TIMED if record.seed == 0 else {}
            run.write(replace(record, inference=inference, energy_joules=40_000.0 + record.seed * 1000))
        elif record.candidate == "model5":
            source = {"candidate": "model1", "train_seconds": 21.4, "total_seconds": 25.0}
            run.write(replace(record, source=source))
    return made


@pytest.fixture(scope="module")
def task(folder: StudyFolder) -> TaskSummary:
    return summarise_study(folder).tasks[0]


def test_every_cost_of_a_candidate_is_in_its_row(task: TaskSummary) -> None:
    words, table = cost_view(task, 3)
    assert table is not None
    row = cells(table, "model1")
    assert row["Training"] == ("22 s", "")
    assert row["Energy"] == ("41 kJ", "")
    assert row["Peak memory"] == ("612 MB", "")
    assert row["Parameters"] == ("8.5 M", "34 MB")
    assert row["Multiplications"] == ("102 M", "")
    assert row["One image"] == ("12.3 ms", "9 of 10 in 15.1 ms")
    assert row["Images a second"] == ("213", "batch of 32")
    assert "timed in fp32 on 2 threads" in words


def test_what_an_older_record_does_not_hold_is_said_not_to_be_measured(task: TaskSummary) -> None:
    _, table = cost_view(task, 3)
    assert table is not None
    row = cells(table, "model4")
    assert {row[name] for name in ("Energy", "One image", "Images a second")} == {("not measured", "")}


def test_training_counts_that_of_the_source_and_the_cheapest_comes_first(task: TaskSummary) -> None:
    _, table = cost_view(task, 3)
    assert table is not None
    assert cells(table, "model5")["Training"] == ("3 min", "with model1's")  # 131 s and 21 s
    assert [row.cells[0].text for row in table.rows] == ["model1", "model4", "model5"]


def test_who_is_behind_the_front_and_why_stands_in_the_table(task: TaskSummary) -> None:
    words, table = cost_view(task, 3)
    assert table is not None
    assert cells(table, "model1")["Accuracy and cost"] == ("on the front", "")
    assert cells(table, "model5")["Accuracy and cost"] == (
        "behind it",
        "as cheap and as good, or better: model4",
    )
    assert "Recommended, as the cheapest that is not significantly worse than the best: model4." in words


def test_a_study_of_older_records_has_no_column_of_energy(tmp_path: Path) -> None:
    older = summarise_study(make_study(tmp_path, candidates=CANDIDATES[:2], examples=False)).tasks[0]
    words, table = cost_view(older, 1)
    assert table is not None
    assert "Energy" not in [column.label for column in table.columns]
    assert "How long a prediction takes was not measured." in words


def test_a_task_without_a_result_says_nothing_of_cost(tmp_path: Path) -> None:
    runs = {("5 classes", "model1", 0)}
    empty = make_study(
        tmp_path, tasks=TASKS[:1], candidates=CANDIDATES[:1], seeds=[0], failed=runs, examples=False
    )
    assert cost_view(summarise_study(empty).tasks[0], 1) == ("", None)
    assert study_view(empty).tasks[0].cost is None


def test_the_chart_of_cost_joins_the_front_and_leaves_the_beaten_hollow(task: TaskSummary) -> None:
    figure = accuracy_figure(task, [], 0, 1)
    assert figure is not None
    layers = next(panel for panel in figure.panels if panel.key == "task-1-cost").spec["layer"]
    by_mark = [(layer["mark"]["type"], layer["mark"].get("filled"),
                sorted(row["candidate"] for row in layer["data"]["values"])) for layer in layers]  # fmt: skip
    assert ("line", None, ["model1", "model4"]) in by_mark
    assert ("point", True, ["model1", "model4"]) in by_mark
    assert ("point", False, ["model5"]) in by_mark
    seconds = {row["candidate"]: row["seconds"] for layer in layers for row in layer["data"]["values"]}
    assert seconds["model5"] == pytest.approx(131.0 * 1.01 + 21.4)
