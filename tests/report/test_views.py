from __future__ import annotations

from pathlib import Path

import pytest
from studies import CandidateSketch, TaskSketch, make_study

from bakeoff.errors import StudyError
from bakeoff.records import StudyFolder
from bakeoff.report.view import StudyView, Table
from bakeoff.report.views import study_view


def cells(table: Table, first: str) -> dict[str, str]:
    """Return a row's texts under their columns' full names."""
    row = next(row for row in table.rows if row.cells[0].text == first)
    names = [f"{column.group}: {column.label}".removeprefix(": ") for column in table.columns]
    return dict(zip(names, [cell.text for cell in row.cells], strict=True))


@pytest.fixture(scope="module")
def view(sound: StudyFolder) -> StudyView:
    return study_view(sound)


@pytest.fixture(scope="module")
def trouble(troubled: StudyFolder) -> StudyView:
    return study_view(troubled)


def test_ours_stand_beside_the_published_figures(view: StudyView, sound: StudyFolder) -> None:
    ours = [r.metrics for r in sound.records() if (r.task, r.candidate) == ("5 classes", "model4")]
    accuracy = sum(metrics["test_accuracy"] for metrics in ours) / 3
    loss = sum(metrics["test_loss"] for metrics in ours) / 3
    row = cells(view.tasks[0].results, "model4")
    assert row["Test accuracy: ours"] == f"{100 * accuracy:.1f} %"
    assert row["Test accuracy: published"] == "77.2 %"
    assert row["Test accuracy: difference, points"] == f"{100 * (accuracy - 0.772):+.1f}"
    assert row["Test loss, nats: published"] == "0.724"
    assert row["Test loss, nats: difference"] == f"{loss - 0.724:+.3f}".replace("-", "\N{MINUS SIGN}")
    assert row["Runs"] == "3 of 3"


def test_a_candidate_without_published_figures_has_empty_cells_there(view: StudyView) -> None:
    row = cells(view.tasks[0].results, "model5")
    assert row["Test accuracy: published"] == row["Test accuracy: difference, points"] == ""


def test_the_most_accurate_comes_first_and_is_the_only_one_in_bold(view: StudyView) -> None:
    rows = view.tasks[0].results.rows
    shares = [float(row.cells[1].text.removesuffix(" %")) for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert [row.lead for row in rows] == [True, False, False]


def test_top_5_is_shown_only_where_it_can_be_below_1(view: StudyView) -> None:
    shown = [any(column.label == "Top-5" for column in task.results.columns) for task in view.tasks]
    assert shown == [False, True]


def test_every_task_has_one_verdict_that_says_whether_it_is_luck(view: StudyView) -> None:
    assert [verdict.task for verdict in view.verdicts] == ["5 classes", "16 classes"]
    for verdict, task in zip(view.verdicts, view.tasks, strict=True):
        assert task.pairs is not None
        second = task.results.rows[1].cells[0].text
        pair = next(row for row in task.pairs.rows if row.cells[0].text.endswith(f"and {second}"))
        told_apart = pair.cells[-1].text != "not told apart"
        assert (verdict.badge == "more than luck") == told_apart


def test_all_pairs_are_compared_and_none_twice(view: StudyView) -> None:
    assert view.tasks[0].pairs is not None
    names = [row.cells[0].text for row in view.tasks[0].pairs.rows]
    assert len(names) == len(set(names)) == 3


def test_tables_and_figures_are_numbered_through_the_page(view: StudyView) -> None:
    figures = [figure.number for task in view.tasks for figure in task.figures]
    shown = [table for task in view.tasks for table in (task.results, task.pairs)]
    tables = [table.number for table in (*shown, *view.control, *view.provenance) if table]
    assert figures == list(range(1, len(figures) + 1))
    assert tables == list(range(1, len(tables) + 1))


def test_the_published_epochs_are_drawn_over_our_curves(view: StudyView) -> None:
    curves = view.tasks[0].figures[1]
    panel = next(panel for panel in curves.panels if panel.title == "Validation accuracy")
    published = [
        point["value"]
        for layer in panel.spec["layer"]
        if layer["mark"].get("strokeDash")
        for point in layer["data"]["values"]
    ]
    assert published == [0.42, 0.61, 0.772]
    assert "model4" in curves.caption


def test_kept_images_are_shown_and_can_be_left_out(sound: StudyFolder, view: StudyView) -> None:
    assert all(card.thumbs for card in view.tasks[0].confusions)
    bare = study_view(sound, images=False)
    assert not any(card.thumbs for task in bare.tasks for card in task.confusions)
    assert [card.title for card in bare.tasks[0].confusions] == [
        card.title for card in view.tasks[0].confusions if not card.title.startswith("Recognised")
    ]


def test_every_key_of_the_recipe_is_listed(view: StudyView) -> None:
    recipe = next(table for table in view.control if table.caption.startswith("The recipe"))
    listed = {row.cells[0].text: row.cells[1].text for row in recipe.rows}
    assert listed["length"] == "3 epochs"
    assert listed["batch size"] == "64"
    assert listed["optimizer"] == "adam"
    assert "optimizer: momentum" not in listed  # adam reads none
    assert {"augmentation: cutmix", "label smoothing", "early stop", "class weights"} <= set(listed)


def test_missing_runs_are_named(trouble: StudyView) -> None:
    assert trouble.missing == ("16 classes: model5, seeds 0, 2",)
    assert trouble.verdicts[1].badge == "provisional"
    assert cells(trouble.tasks[1].results, "model5")["Runs"] == "1 of 3"


def test_failures_and_divergences_come_with_their_reasons(trouble: StudyView) -> None:
    assert trouble.failures is not None
    ends = [(row.cells[0].text, row.cells[3].text, row.cells[4].text) for row in trouble.failures.rows]
    assert ends.count(("model1", "diverged", "the loss became nan at step 54")) == 3
    assert ("model5", "failed", "RuntimeError: the fixture was told to fail") in ends


def test_a_candidate_under_its_own_control_is_ranked_apart(trouble: StudyView) -> None:
    rows = trouble.tasks[0].results.rows
    own = next(row for row in rows if row.cells[0].text == "other batch")
    assert "batch_size 8 instead of 64" in own.heading
    assert own.lead
    departures = next(table for table in trouble.control if table.caption.startswith("Departures"))
    texts = [cell.text for cell in departures.rows[0].cells]
    assert texts == ["other batch", "5 classes", "batch size", "64", "8"]


def test_symptoms_are_told_under_the_table(trouble: StudyView) -> None:
    assert any("overconfident" in words for words in trouble.tasks[0].notes)


def test_one_seed_and_one_candidate_give_an_interval_over_images(tmp_path: Path) -> None:
    only = [CandidateSketch(name="alone", skill=2.0)]
    task = [TaskSketch(name="t", classes=3, test_images=60, validation_images=30)]
    view = study_view(make_study(tmp_path / "s", tasks=task, candidates=only, seeds=[7]))
    assert view.verdicts[0].badge == "nothing to compare"
    assert view.tasks[0].pairs is None
    assert "Wilson" in view.tasks[0].results.caption
    assert " to " in view.tasks[0].results.rows[0].cells[1].sub.replace("\N{NO-BREAK SPACE}", " ")


def test_a_study_whose_runs_all_diverged_has_a_page_without_results(tmp_path: Path) -> None:
    only = [CandidateSketch(name="alone", skill=2.0)]
    task = [TaskSketch(name="t", classes=3, test_images=60, validation_images=30)]
    folder = make_study(tmp_path / "s", tasks=task, candidates=only, seeds=[0], diverged={("t", "alone", 0)})
    view = study_view(folder)
    assert view.verdicts[0].badge == "no result"
    assert view.failures is not None
    assert [figure.panels[0].title for figure in view.tasks[0].figures] == ["Validation accuracy"]


def test_a_study_without_any_run_says_what_is_missing(tmp_path: Path) -> None:
    only = [CandidateSketch(name="alone", skill=2.0)]
    task = [TaskSketch(name="t", classes=3, test_images=60, validation_images=30)]
    missing = {("t", "alone", 0)}
    view = study_view(make_study(tmp_path / "s", tasks=task, candidates=only, seeds=[0], missing=missing))
    assert view.missing == ("t: alone, seed 0",)
    assert view.tasks[0].figures == ()
    assert view.verdicts[0].badge == "not finished"


def test_many_candidates_fold_the_pairs_that_do_not_matter_most(tmp_path: Path) -> None:
    many = [CandidateSketch(name=f"net {k}", skill=1 + 0.2 * k) for k in range(7)]
    task = [TaskSketch(name="t", classes=3, test_images=60, validation_images=30)]
    found = study_view(make_study(tmp_path / "s", tasks=task, candidates=many, seeds=[0])).tasks[0]
    assert found.pairs is not None
    assert found.other_pairs is not None
    best = found.results.rows[0].cells[0].text
    assert all(row.cells[0].text.startswith(f"{best} and") for row in found.pairs.rows)
    assert len(found.pairs.rows) + len(found.other_pairs.rows) == 21


def test_a_folder_that_holds_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"holds no study: expected a file study\.lock"):
        study_view(StudyFolder(tmp_path))
