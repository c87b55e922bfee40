from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from studies import CANDIDATES, TASKS, CandidateSketch, make_study

from bakeoff.evidence.summarise import summarise_study
from bakeoff.records import StudyFolder
from bakeoff.report.terminal import render_study

LONG = "a candidate whose name is [bold]long[blink] and has brackets in it"


def text(folder: StudyFolder, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(render_study(folder))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    guessing = CandidateSketch(name=LONG, skill=0, recipe={"batch_size": 8}, train_seconds=19328)
    return make_study(
        tmp_path_factory.mktemp("study"),
        candidates=[*CANDIDATES, guessing],
        diverged={("5 classes", "model1", seed) for seed in (0, 1, 2)},
        missing={("16 classes", "model5", seed) for seed in (0, 1, 2)},
        examples=False,
    )


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_is_cut_and_no_line_is_too_long(folder: StudyFolder, width: int) -> None:
    shown = text(folder, width)
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    words = " ".join(shown.split())
    for row in ("86.1 ± 6.0 77.2 0.506 6.1 M 85 s 41", "diverged 51.6 - - - -", "not run yet"):
        assert row in words
    assert "5 h 2" in words  # 19,328 seconds


def test_verdict_and_symptoms_are_those_of_the_summary(folder: StudyFolder) -> None:
    words = " ".join(text(folder, 120).split())
    for task in summarise_study(folder).tasks:
        assert task.verdict in words
        for row in task.candidates:
            for symptom in row.symptoms:
                assert f"! {row.name}: {symptom.text}" in words


def test_a_name_is_not_taken_for_markup(folder: StudyFolder) -> None:
    assert f"! {LONG}: " in " ".join(text(folder, 120).split())


def test_groups_of_unequal_control_are_titled(folder: StudyFolder) -> None:
    lines = [line.strip() for line in text(folder, 120).splitlines()]
    assert lines.index("the task's recipe") < lines.index("batch_size 8 instead of 64")


def test_the_legend_says_over_what_intervals_are(tmp_path: Path) -> None:
    over_seeds = text(make_study(tmp_path / "a", tasks=TASKS[:1], examples=False), 80)
    over_images = text(make_study(tmp_path / "b", tasks=TASKS[:1], seeds=[0], examples=False), 80)
    legend = "±: 95 % interval of the mean over 3 seeds and the test images together."
    assert legend in " ".join(over_seeds.split())
    assert "[,]" not in over_seeds
    assert "[,]: 95 % interval of one seed over its test images." in over_images
    assert "±" not in over_images
    assert "1 seed each" in over_images


def test_runs_without_their_predictions_are_bounded_over_seeds_and_said_to_be(tmp_path: Path) -> None:
    folder = make_study(tmp_path, tasks=TASKS[:1], examples=False)
    for record in folder.records():
        folder.run(record.task, record.candidate, record.seed).predictions_path.unlink()
    assert "±: 95 % interval of the mean over 3 seeds." in text(folder, 80)


def test_a_published_accuracy_has_the_digits_that_it_was_published_with(tmp_path: Path) -> None:
    net = CandidateSketch(name="model4", skill=2.6, published={"accuracy": 0.2795})
    assert " 27.95 " in text(make_study(tmp_path, tasks=TASKS[:1], candidates=[net], examples=False), 80)
