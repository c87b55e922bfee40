from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from studies import CANDIDATES, TASKS, CandidateSketch, TaskSketch, make_study

from bakeoff.errors import StudyError
from bakeoff.evidence.results import result_rows
from bakeoff.records import StudyFolder
from bakeoff.report.control_views import recipe_table
from bakeoff.report.view import StudyView, Table
from bakeoff.report.views import study_view
from bakeoff.spec import study_from_dict


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


def test_published_figures_have_the_digits_that_they_were_published_with(tmp_path: Path) -> None:
    figures = {"accuracy": 0.2795, "validation_accuracy": [0.1354, 0.18, 0.2795]}
    net = CandidateSketch(name="model4", skill=2.6, published=figures)
    task = study_view(make_study(tmp_path / "s", candidates=[net], seeds=[0])).tasks[0]
    row = cells(task.results, "model4")
    assert row["Test accuracy: published"] == "27.95 %"
    assert re.fullmatch(r"\+\d+\.\d\d", row["Test accuracy: difference, points"])
    assert task.figures[1].table is not None
    epochs = [[cell.text for cell in line.cells] for line in task.figures[1].table.rows]
    assert ["model4", "13.54 %", "18.0 %", "27.95 %"] in epochs


def test_published_figures_that_are_edited_later_are_the_same_in_table_page_and_curves(
    tmp_path: Path,
) -> None:
    folder = make_study(tmp_path / "s", seeds=[0], examples=False)
    edited = {"accuracy": 0.5, "validation_accuracy": [0.11, 0.22, 0.33]}
    lock = folder.read_lock() or {}
    candidates = [
        {**c, "published": edited} if c["name"] == "model4" else c for c in lock["study"]["candidate"]
    ]
    folder.write_lock({**lock, "study": {**lock["study"], "candidate": candidates}})
    view = study_view(folder)
    assert cells(view.tasks[0].results, "model4")["Test accuracy: published"] == "50.0 %"
    layers = next(p for p in view.tasks[0].figures[1].panels if p.title == "Validation accuracy").spec[
        "layer"
    ]
    dashed = next(layer for layer in layers if layer["mark"].get("strokeDash"))
    assert [point["value"] for point in dashed["data"]["values"]] == [0.11, 0.22, 0.33]
    rows = [row for row in result_rows(folder) if row["candidate"] == "model4"]
    assert {(row["published_accuracy"], row["published_loss"]) for row in rows} == {(0.5, None)}


def test_intervals_over_seeds_and_images_are_said_to_be(view: StudyView) -> None:
    said = "95 % intervals over seeds (Student's t) and the 250 test images (Wilson; for losses Student's t)"
    assert said in view.tasks[0].results.caption


def with_lock(folder: StudyFolder, **values: Any) -> StudyFolder:
    folder.write_lock({**(folder.read_lock() or {}), **values})
    return folder


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ({"study": "leaves.toml", "flags": ["--data", "leaves=my photos"]},
         "leaves.toml --data 'leaves=my photos'"),
        ({"study": "my studies/a.toml", "flags": []}, "'my studies/a.toml'"),
        ({"study": "classic"}, "classic"),
        (None, "sketch.toml"),
        ({}, "sketch.toml"),
        ({"study": 5, "flags": "--data"}, "sketch.toml"),
    ],
)  # fmt: skip
def test_the_study_is_run_again_as_the_user_typed_it(tmp_path: Path, command: Any, shown: str) -> None:
    folder = make_study(tmp_path / "s", seeds=[0], examples=False)
    first, second, third, *_ = study_view(with_lock(folder, command=command)).commands
    assert first.text == f"bakeoff run {shown}"
    assert second.text == f"bakeoff run {shown} --seed 0 --out studies/sketch-seed-0"
    assert third.text == "bakeoff report studies/sketch"


def test_the_study_is_run_again_where_the_user_put_it(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "s", seeds=[0], examples=False)
    command = {"study": "classic", "flags": ["--threads", "1"], "out": "my runs"}
    first, second, third, check, events = study_view(with_lock(folder, command=command)).commands
    assert first.text == "bakeoff run classic --threads 1 --out 'my runs'"
    assert second.text == "bakeoff run classic --threads 1 --seed 0 --out studies/sketch-seed-0"
    assert third.text == "bakeoff report 'my runs'"
    assert check.text == "bakeoff verify 'my runs'"
    assert events.text.startswith("tensorboard --logdir 'my runs'/runs")


@pytest.mark.parametrize(
    ("resolved", "cores", "shown"),
    [
        ({"threads": 4}, 16, " --threads 4"),
        ({"threads": 8, "processes": 2}, 16, " --threads 8 --processes 2"),
        ({"threads": 16}, 16, ""),
        ({}, 16, ""),
        ({"threads": "4", "processes": None}, "16", ""),
    ],
)
def test_what_was_shared_among_cores_is_asked_for_again(
    tmp_path: Path, resolved: dict[str, Any], cores: Any, shown: str
) -> None:
    folder = make_study(tmp_path / "s", seeds=[0], examples=False)
    with_lock(folder, command={"study": "classic"}, resolved=resolved, environment={"cores": cores})
    assert study_view(folder).commands[0].text == f"bakeoff run classic{shown}"


@pytest.mark.parametrize(
    ("augmentation", "said"),
    [
        ({}, None),
        ({"crop": 4}, "Training figures are of images as they were shifted."),
        ({"flip": "random"}, "Training figures are of images as they were mirrored."),
        ({"crop": 4, "flip": "random"}, "Training figures are of images as they were shifted and mirrored."),
        ({"flip": "random", "cutmix": 1.0}, "Training figures are of images mixed from two"),
    ],
)
def test_a_reader_is_told_why_training_looks_worse_than_validation(
    tmp_path: Path, augmentation: dict[str, Any], said: str | None
) -> None:
    task = [TaskSketch(name="t", classes=3, test_images=60, validation_images=30)]
    only = [CandidateSketch(name="alone", skill=2.0, recipe={"augmentation": augmentation})]
    view = study_view(make_study(tmp_path / "s", tasks=task, candidates=only, seeds=[0]))
    caption = next(f.caption for f in view.tasks[0].figures if f.caption.startswith("Learning curves"))
    assert (said in caption) if said else ("Training figures" not in caption)


def test_a_reader_is_told_when_only_some_candidates_saw_changed_images(tmp_path: Path) -> None:
    task = [TaskSketch(name="t", classes=3, test_images=60, validation_images=30)]
    two = [
        CandidateSketch(name="plain", skill=2.0),
        CandidateSketch(name="flipped", skill=2.0, recipe={"augmentation": {"flip": "random"}}),
    ]
    view = study_view(make_study(tmp_path / "s", tasks=task, candidates=two, seeds=[0]))
    caption = next(f.caption for f in view.tasks[0].figures if f.caption.startswith("Learning curves"))
    assert "Training figures of some candidates are of images as they were mirrored." in caption


def test_a_note_on_the_published_figures_is_told(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "s", seeds=[0], examples=False)
    lock = folder.read_lock() or {}
    told = {"accuracy": 0.5, "note": "validated on the test images"}
    candidates = [
        {**c, "published": told} if c["name"] == "model4" else c for c in lock["study"]["candidate"]
    ]
    folder.write_lock({**lock, "study": {**lock["study"], "candidate": candidates}})
    assert "model4, as published: validated on the test images." in study_view(folder).tasks[0].notes


@pytest.mark.parametrize(
    ("resumed", "said"),
    [
        ([1, 0, 0], "1 run was interrupted and continued."),
        ([1, 2, 0], "2 runs were interrupted and continued."),
    ],
)
def test_interrupted_runs_are_counted(tmp_path: Path, resumed: list[int], said: str) -> None:
    task = [TaskSketch(name="t", classes=3, test_images=60, validation_images=30)]
    only = [CandidateSketch(name="alone", skill=2.0)]
    folder = make_study(tmp_path / "s", tasks=task, candidates=only, examples=False)
    for record, times in zip(list(folder.records()), resumed, strict=True):
        folder.run("t", "alone", record.seed).write(replace(record, resumed=times))
    assert said in study_view(folder).method


def test_what_was_noticed_about_the_images_is_said_in_words(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "s", seeds=[0], examples=False)
    details = {
        "leaks": {"train-test": 12, "train-validation": 1, "validation-test": 0},
        "ignored_files": {".heic": 3, ".txt": 1, "": 1}, "dark_16_bit": 2,
    }  # fmt: skip
    record = folder.read_task("5 classes")
    assert record is not None
    folder.write_task(replace(record, details={**record.details, **details}))
    table = study_view(folder).control[0]
    said = cells(table, "5 classes")["Remarks"].replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert said == (
        "12 test images are byte for byte among the training images; "
        "1 validation image is byte for byte among the training images; "
        "5 files ignored (.heic, no suffix and .txt); "
        "2 images of 16 bits hold 12 or fewer and come out almost black"
    )
    assert cells(table, "16 classes")["Remarks"] == ""


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"leaks": {"train-test": 0}, "ignored_files": {}, "dark_16_bit": 0},
        {"leaks": 5, "ignored_files": ["x"], "dark_16_bit": "many"},
    ],
)
def test_nothing_noticed_is_not_said(tmp_path: Path, details: dict[str, Any]) -> None:
    folder = make_study(tmp_path / "s", seeds=[0], examples=False)
    record = folder.read_task("5 classes")
    assert record is not None
    folder.write_task(replace(record, details=details))
    assert "Remarks" not in [column.label for column in study_view(folder).control[0].columns]


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
    *pairs, easiest, hardest = view.tasks[0].confusions
    assert all(re.fullmatch(r"(> )?\d+\s% sure", t.caption) for card in pairs for t in card.thumbs)
    assert all(t.words.startswith(f"{t.caption}: right in 9 of 9") for t in easiest.thumbs)
    assert all(", called " in thumb.caption for thumb in hardest.thumbs)
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
    folder = make_study(tmp_path / "s", tasks=task, candidates=only, seeds=[0], missing=missing)
    view = study_view(folder)
    assert view.missing == ("t: alone, seed 0",)
    assert view.tasks[0].figures == ()
    assert view.tasks[0].words.startswith("3 classes; images of")
    assert view.verdicts[0].badge == "not finished"
    next(folder.path.glob("tasks/*/task.json")).unlink()
    assert study_view(folder).tasks[0].words == ""


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


def test_settings_that_most_recipes_do_not_name_are_listed_where_one_does() -> None:
    def listed(**recipe: object) -> dict[str, str]:
        spec = study_from_dict({
            "name": "s", "recipe": recipe, "task": [{"name": "t", "data": "digits"}],
            "candidate": [{"name": "c", "model": "model1"}],
        }, "here")  # fmt: skip
        return {row.cells[0].text: row.cells[1].text for row in recipe_table(spec, 1).rows}

    usual = listed()
    assert usual["batch size"] == "64"
    assert not {"sizes", "test views", "optimizer: bias factor"} & set(usual)
    asked = listed(sizes=[[32, 0.7], [64, 0.3]], test_views="six", optimizer={"bias_factor": 64})
    assert asked["sizes"] == "32 pixels for 70 %, then 64 pixels for 30 %"
    assert (asked["test views"], asked["optimizer: bias factor"]) == ("six", "64")
    assert set(asked) - set(usual) == {"sizes", "test views", "optimizer: bias factor"}


@pytest.mark.parametrize(("seeds", "whom"), [([0], "trainings"), ([0, 1, 2], "candidates")])
def test_how_rarely_equals_are_told_apart_is_claimed_of_what_was_compared(
    tmp_path: Path, seeds: list[int], whom: str
) -> None:
    """One seed of each of five equal networks told some two apart in 30 % of studies (decision 0015)."""
    folder = make_study(
        tmp_path / "s", tasks=TASKS[:1], candidates=CANDIDATES[:2], seeds=seeds, examples=False
    )
    said = study_view(folder, images=False).tasks[0].pairs_words
    assert f"If all {whom} were equally good, at most one study in twenty" in said


def test_a_single_pair_is_told_as_one(tmp_path: Path) -> None:
    two = [CandidateSketch(name="one", skill=1.0), CandidateSketch(name="two", skill=1.0)]
    folder = make_study(tmp_path, tasks=TASKS[:1], candidates=two, seeds=[0])
    task = study_view(folder, images=False).tasks[0]
    assert task.pairs_words.startswith("The two cannot be told apart at 5 %.")
    assert task.pairs is not None
    assert "With one pair there is nothing to correct p for." in task.pairs.caption
