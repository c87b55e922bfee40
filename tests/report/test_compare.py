"""The pages of comparison: what they say, and that page, terminal, Markdown and JSON say the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from studies import CANDIDATES, TASKS, make_study

import bakeoff
from bakeoff.api import Comparison
from bakeoff.errors import ConfigError, StudyError
from bakeoff.evidence.candidate_pair import CandidatePair
from bakeoff.evidence.study_pair import StudyPair
from bakeoff.evidence.words import percent
from bakeoff.records import StudyFolder
from bakeoff.report.page import seal_of

EVIL = "<script>alert('x')<!-- & \"co\""

PROGRAM = """
import sys
import bakeoff
found = bakeoff.compare(*sys.argv[1:4], task="5 classes")
found.table(), found.markdown(), found.as_dict()
print("IMPORTED", sorted({"torch", "torchvision", "timm", "altair", "sklearn"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def pair(sound: StudyFolder) -> Comparison:
    return bakeoff.compare(sound.path, "model4", "model1", task="5 classes")


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    newer = [replace(CANDIDATES[0], skill=2.4), CANDIDATES[1], replace(CANDIDATES[2], name=EVIL)]
    return make_study(tmp_path_factory.mktemp("newer") / "study", name="newer", candidates=newer)


@pytest.fixture(scope="module")
def two(sound: StudyFolder, newer: StudyFolder) -> Comparison:
    return bakeoff.compare(sound.path, newer.path)


def test_the_verdict_of_two_candidates_names_the_better_one_and_what_it_rests_on(pair: Comparison) -> None:
    said = pair.view.verdicts[0]
    assert isinstance(pair.evidence, CandidatePair)
    assert pair.evidence.comparison is not None
    size = f"{100 * pair.evidence.comparison.difference:.1f} points"
    assert (
        said.said == f"model4 is better than model1, by more than luck: {size} of test accuracy (p < 0.001)."
    )
    assert (said.badge, said.tone) == ("more than luck", "good")
    assert "On the same 250 test images, seeds 0, 1 and 2" in said.why
    assert "among all 3 pairs of the task" in said.why
    assert "model4 takes 3.9 times the training time." in said.why


def test_the_order_of_the_two_does_not_change_the_verdict(sound: StudyFolder, pair: Comparison) -> None:
    turned = bakeoff.compare(sound.path, "model1", "model4", task="5 classes").view.verdicts[0]
    assert turned.said == pair.view.verdicts[0].said


def test_two_that_are_alike_are_not_told_apart(sound: StudyFolder) -> None:
    said = bakeoff.compare(sound.path, "model4", "model5", task="5 classes").view.verdicts[0]
    assert said.said.startswith("model4 and model5 cannot be told apart: ")
    assert (said.badge, said.tone) == ("not told apart", "warn")


def test_every_part_is_there_and_its_numbers_are_the_evidences(pair: Comparison) -> None:
    assert [section.anchor for section in pair.view.sections] == [
        "side", "agreement", "classes", "images", "curves",
    ]  # fmt: skip
    found = pair.evidence
    assert isinstance(found, CandidatePair)
    assert found.first.accuracy is not None
    assert found.agreement is not None
    side = pair.view.sections[0].tables[0].rows[0]
    assert [cell.text for cell in side.cells[:2]] == ["Test accuracy", percent(found.first.accuracy.mean)]
    right_wrong = pair.view.sections[1].tables[0].rows[0].cells
    assert right_wrong[2].text == percent(found.agreement.first_only / 250)
    classes = pair.view.sections[2].tables[0]
    assert {row.cells[0].text for row in classes.rows} == set(found.task.record.class_names)  # type: ignore[union-attr]
    images = pair.view.sections[3]
    assert images.cards[0].title == "Only or mostly model4 is right"
    assert images.cards[0].thumbs[0].uri.startswith("data:image/png")


def test_pictures_can_be_left_out(sound: StudyFolder) -> None:
    found = bakeoff.compare(sound.path, "model4", "model1", task="5 classes", images=False)
    assert all(not section.cards for section in found.view.sections)


def test_the_page_is_whole_sealed_and_the_same_each_time(pair: Comparison, tmp_path: Path) -> None:
    page = pair.write(tmp_path / "a.html").read_text()
    assert pair.write(tmp_path / "b.html").read_text() == page
    assert seal_of(page)[1] == "fits"
    assert page.count("data-chart=") == 7


def test_names_are_escaped_everywhere(two: Comparison, newer: StudyFolder, tmp_path: Path) -> None:
    found = bakeoff.compare(newer.path, EVIL, "model1", task="5 classes")
    for comparison in (two, found):
        page = comparison.write(tmp_path / "page.html").read_text()
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page
        assert "<script>" not in comparison.markdown().partition("```")[0]  # in a block it is text


def test_two_studies_say_who_got_better_and_what_only_one_has(two: Comparison) -> None:
    assert isinstance(two.evidence, StudyPair)
    said = two.view.verdicts[0]
    assert said.said == "From sketch to newer, model1 got better, by more than luck."
    assert (said.badge, said.tone) == ("better", "good")
    assert "the comparisons are paired" in said.why
    section = two.view.sections[0]
    assert f"Only in newer: {EVIL}." in section.paragraphs
    assert [row.cells[-1].text for row in section.tables[0].rows] == ["better", "not told apart"]
    assert dict(two.view.facts)["Candidates compared"] == "4"


def test_a_study_beside_itself_differs_in_nothing(sound: StudyFolder) -> None:
    found = bakeoff.compare(sound.path, sound.path)
    assert found.view.title == "first and second"
    assert found.view.sections[-1].paragraphs[0].startswith("Nothing that both recorded differs")
    assert [verdict.tone for verdict in found.view.verdicts] == ["warn", "warn"]


def test_terminal_and_markdown_hold_the_verdicts_and_tables_of_the_page(
    pair: Comparison, two: Comparison
) -> None:
    for comparison in (pair, two):
        text, markdown = comparison.table(200), comparison.markdown()
        for said in comparison.view.verdicts:
            assert said.said in text
            assert said.said.replace("<", "&lt;") in markdown
        table = comparison.view.sections[0].tables[0]
        lines = [line for line in markdown.splitlines() if line.startswith(f"| {table.columns[0].label} |")]
        assert len(lines[0].split("|")) == len(table.columns) + 2
        assert all(row.cells[1].text in text for row in table.rows)


def test_the_json_holds_the_numbers_unrounded(pair: Comparison, two: Comparison) -> None:
    values = json.loads(json.dumps(pair.as_dict(), allow_nan=False))
    assert isinstance(pair.evidence, CandidatePair)
    assert pair.evidence.comparison is not None
    assert values["comparison"]["difference"] == pair.evidence.comparison.difference
    assert len(values["classes"]) == 5
    studies = json.loads(json.dumps(two.as_dict(), allow_nan=False))
    assert studies["tasks"][0]["candidates"][0]["verdict"] == "better"


def test_other_numbers_of_things_are_refused(sound: StudyFolder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="got 3 things beside"):
        bakeoff.compare(sound.path, "a", "b", "c")
    with pytest.raises(ConfigError, match="--task: belongs to two candidates"):
        bakeoff.compare(sound.path, sound.path, task="5 classes")
    with pytest.raises(StudyError, match=r"holds no study: .*or the names of two candidates"):
        bakeoff.compare(sound.path, "model1")
    with pytest.raises(StudyError, match="holds no study"):
        bakeoff.compare(tmp_path, sound.path)


def test_a_comparison_needs_no_torch(sound: StudyFolder) -> None:
    command = [sys.executable, "-c", PROGRAM, str(sound.path), "model4", "model1"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ})
    assert done.stdout.splitlines()[-1] == "IMPORTED []"


def test_other_controls_are_said_before_anything_is_ranked(troubled: StudyFolder) -> None:
    said = bakeoff.compare(troubled.path, "model4", "other batch", task="5 classes").view.verdicts[0]
    assert (said.badge, said.tone) == ("other controls", "warn")
    assert "under different controls (batch_size 64 and 8)" in said.why


def test_a_candidate_without_seeds_in_common_still_has_a_page(tmp_path: Path) -> None:
    folder = make_study(
        tmp_path / "s", tasks=TASKS[:1], seeds=[0, 1],
        missing={("5 classes", "model1", 0), ("5 classes", "model4", 1)},
    )  # fmt: skip
    found = bakeoff.compare(folder.path, "model4", "model1")
    assert "no finished seed in common" in found.view.verdicts[0].why
    assert [section.anchor for section in found.view.sections] == ["side", "curves"]
    assert found.write(tmp_path / "page.html").exists()
