"""What a page says of a search: its trials, its charts, its winner."""

from __future__ import annotations

from pathlib import Path

import altair
import pytest
import searches
from studies import TASKS, make_study

from bakeoff.records import StudyFolder
from bakeoff.report.page import render_page
from bakeoff.report.publish import publish
from bakeoff.report.search_charts import MOST_AXES
from bakeoff.report.view import SearchView, StudyView
from bakeoff.report.views import study_view


@pytest.fixture(scope="module")
def view(searched: StudyFolder) -> StudyView:
    return study_view(searched)


@pytest.fixture(scope="module")
def shown(view: StudyView) -> SearchView:
    return view.tasks[0].searches[0]


def test_every_run_that_searched_has_its_part_and_no_other_has(view):
    assert [one.title for one in view.tasks[0].searches] == [
        f"What model4 tried, seed {seed}" for seed in (0, 1)
    ]
    keys = [p.key for task in view.tasks for s in task.searches for f in s.figures for p in f.panels]
    assert len(set(keys)) == len(keys)


def test_the_words_say_what_was_tried_refused_and_found(shown):
    told = " ".join(shown.words)
    assert told.startswith("14 trials in ")
    assert "of a budget of 10 min" in told
    higher = sum("," in row.cells[2].text for row in shown.trials.rows)
    assert 1 < higher < 6
    first = "(of the first network; others for as long)"
    assert f"Trained were 14 for 2 epochs {first} at 32 pixels; {higher} for 6 epochs {first} at 64" in told
    assert "Filters refused before training: 1 proposal by parameters." in told


def test_the_table_has_every_trial_the_winner_first_and_why_each_ended(shown):
    assert len(shown.trials.rows) == 14
    first = shown.trials.rows[0]
    assert first.lead
    assert first.cells[-1].text == "won: trained to the end"
    ends = [row.cells[-1].text for row in shown.trials.rows]
    assert "diverged: the loss was nan" in ends
    assert any(end.startswith("stopped: ") for end in ends)


def test_the_charts_are_valid_and_hold_every_trial(shown):
    for panel in shown.figures[0].panels:
        altair.Chart.from_dict(dict(panel.spec))
        assert panel.description
    progress, settings = shown.figures[0].panels
    dots = progress.spec["layer"][1]["data"]["values"]
    assert len(dots) == 13  # one diverged
    axes = settings.spec["layer"][0]["encoding"]["x"]["sort"]
    assert axes[-1] == "accuracy"
    assert 3 <= len(axes) <= MOST_AXES + 1
    places = [row["place"] for layer in settings.spec["layer"] for row in layer["data"]["values"]]
    assert min(places) >= 0
    assert max(places) <= 1


def test_a_search_of_one_trial_is_shown_without_settings_and_importance(tmp_path):
    alone = searches.searched(make_study(tmp_path / "study", tasks=TASKS[:1], seeds=[0]), "model1", trials=1)
    found = study_view(alone).tasks[0].searches[0]
    assert len(found.figures[0].panels) == 1
    assert found.importance is None
    assert found.importance_words.startswith("Too few trials")


def test_the_winners_code_is_escaped_and_can_be_copied(view):
    page = render_page(view)
    assert "&lt;not a network&gt;" in page
    assert "<not a network>" not in page


def test_a_study_without_its_journals_has_its_page_without_them(searched, tmp_path):
    published = publish(searched, tmp_path / "published").path
    kept = StudyFolder(published).run("5 classes", "model4", 0)
    assert kept.trials_path.exists()
    assert len(study_view(StudyFolder(published)).tasks[0].searches) == 2
    kept.trials_path.unlink()
    assert len(study_view(StudyFolder(published)).tasks[0].searches) == 1


def test_a_damaged_journal_is_said(searched: StudyFolder, tmp_path: Path):
    from bakeoff.errors import StudyError

    published = StudyFolder(publish(searched, tmp_path / "published").path)
    published.run("5 classes", "model4", 0).trials_path.write_text("nonsense\n")
    with pytest.raises(StudyError, match="is damaged in line 1"):
        study_view(published)
