from __future__ import annotations

from pathlib import Path

from studies import CANDIDATES, TASKS, CandidateSketch, make_study

from bakeoff.evidence.summarise import summarise_study
from bakeoff.report.class_views import MOST_CLASSES, class_view, measures_table
from bakeoff.report.views import study_view


def test_the_classes_of_winner_and_runner_up_are_listed_the_most_different_first(tmp_path: Path) -> None:
    task = summarise_study(make_study(tmp_path, tasks=TASKS[1:], examples=False)).tasks[0]
    words, table = class_view(task)
    assert table is not None
    assert words.startswith("model4 and model5 can be told apart on none of 16 classes by its images alone.")
    assert len(table.rows) == MOST_CLASSES
    assert [column.label for column in table.columns][2:4] == ["model4", "model5"]
    first = task.by_class[0]
    assert table.rows[0].cells[0].text == first.name
    assert table.rows[0].cells[2].text == f"{100 * first.first:.1f} %"
    assert "the 10 with the largest differences of 16 classes" in table.caption


def test_a_class_that_one_never_predicts_is_told_apart(tmp_path: Path) -> None:
    blind = CandidateSketch(name="blind", skill=2.5, never=3)
    task = summarise_study(make_study(tmp_path, candidates=[CANDIDATES[1], blind], examples=False)).tasks[0]
    words, table = class_view(task)
    assert table is not None
    assert "tailed frog, where model4 is better" in words
    assert table.rows[0].cells[-1].text == "model4 is better"


def test_a_single_candidate_has_measures_and_no_classes(tmp_path: Path) -> None:
    folder = make_study(tmp_path, tasks=TASKS[:1], candidates=CANDIDATES[:1], seeds=[0], examples=False)
    task = summarise_study(folder).tasks[0]
    assert class_view(task) == ("", None)
    table = measures_table(task)
    assert table is not None
    row = task.candidates[0]
    assert row.macro_f1 is not None
    assert table.rows[0].cells[3].text == f"{row.macro_f1.mean:.3f}"
    assert all("\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}" in cell.sub for cell in table.rows[0].cells[1:4])
    assert study_view(folder).tasks[0].measures == table


def test_top5_is_left_out_where_it_is_always_right(tmp_path: Path) -> None:
    task = summarise_study(make_study(tmp_path, seeds=[0], examples=False)).tasks
    labels = [[column.label for column in measures_table(one).columns] for one in task]  # type: ignore[union-attr]
    assert [one.classes for one in task] == [5, 16]
    assert ["Top-5 accuracy" in names for names in labels] == [False, True]
