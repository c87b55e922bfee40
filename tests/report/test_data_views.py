from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import altair
import numpy as np
import pytest
from studies import make_study

from bakeoff.evidence.findings import FINDINGS
from bakeoff.records import StudyFolder
from bakeoff.records.checks import CheckedClass, CheckedImage, CheckedPair, FlaggedImage, TaskChecks
from bakeoff.report.data_views import balance_chart
from bakeoff.report.page import render_page
from bakeoff.report.publish import publish
from bakeoff.report.view import DataView
from bakeoff.report.views import study_view
from bakeoff.report.words import MINUS

EVIL = "<b>ant</b>.png"


def image(index: int, part: str, label: int = 0, file: str = "") -> CheckedImage:
    return CheckedImage(index=index, file=file or f"{index}.png", part=part, label=f"n{label:08d}")  # type: ignore[arg-type]


def checked(folder: StudyFolder, **changes: object) -> StudyFolder:
    """Give the task of 5 classes checks in which 20 of its 250 test images are twins."""
    record = folder.read_task("5 classes")
    assert record is not None
    leak = CheckedPair(
        first=image(1250, "test", file=EVIL), second=image(7, "train", 1), exact=True, likeness=1.0
    )
    near = CheckedPair(
        first=image(1251, "test"), second=image(8, "validation"), exact=False, likeness=0.934, mirrored=True
    )
    values: dict[str, object] = {
        "counts": dict.fromkeys(FINDINGS, 0)
        | {"leaks": 20, "conflicts": 2, "dark": 5, "test_exact": 12, "test_near": 8},
        "leaks": [leak, near], "conflicts": [leak],
        "flagged": {"dark": [FlaggedImage(image=image(9, "train", 2), value=12.0)]},
        "test_exact": list(range(1250, 1262)), "test_near": list(range(1262, 1270)),
        "classes": [CheckedClass(id=f"n{k:08d}", train=200 + k, validation=25, test=50) for k in range(5)],
    }  # fmt: skip
    folder.write_checks("5 classes", TaskChecks(
        data_fingerprint=record.data_fingerprint, split_digest=record.split_digest, images=2500, alike=0.9,
        **{**values, **changes},  # type: ignore[arg-type]
    ))  # fmt: skip
    index = np.array([7, 8, 9, 1250, 1251])
    folder.write_check_images("5 classes", index, np.full((5, 16, 16, 3), 60, dtype=np.uint8))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return make_study(tmp_path / "study")


def data_of(folder: StudyFolder, **options: bool) -> DataView:
    data = study_view(folder, **options).tasks[0].data
    assert data is not None
    return data


def test_an_older_study_is_not_checked_and_nothing_is_guessed(folder: StudyFolder) -> None:
    data = data_of(folder)
    assert data.words.startswith("Not checked")
    assert (data.findings, data.galleries, data.balance, data.deduplicated) == (None, (), None, None)


def test_what_was_found_is_told_with_its_count_and_advice(folder: StudyFolder) -> None:
    data = data_of(checked(folder))
    assert data.words.endswith("Found: 20 leaks, 2 conflicts and 5 dark images.")
    assert data.findings is not None
    rows = {row.cells[0].text: row.cells for row in data.findings.rows}
    assert list(rows) == list(FINDINGS)
    assert rows["leaks"][1].text == "20"
    assert rows["leaks"][1].sub == "test: 12 exact, 8 near; validation: 0 exact, 0 near"
    assert rows["leaks"][2].text == FINDINGS["leaks"].advice
    assert (rows["blank"][1].text, rows["blank"][2].text) == ("0", "")


def test_pairs_and_poor_images_are_shown_with_their_words(folder: StudyFolder) -> None:
    leaks, dark = data_of(checked(folder)).galleries
    assert (leaks.title, dark.title) == (
        "Duplicates in another part (2 shown of 20)", "Darkest images (1 shown of 5)",
    )  # fmt: skip
    first, second = leaks.cards
    assert (first.title, len(first.thumbs)) == ("goldfish; salamander", 2)
    assert second.words == "test and validation: likeness 0.93, mirrored. 1251.png, 8.png"
    assert dark.thumbs[0].words == "bullfrog, training: 9.png, 12"


def test_without_images_pairs_are_still_named(folder: StudyFolder) -> None:
    (leaks,) = data_of(checked(folder), images=False).galleries
    assert [len(card.thumbs) for card in leaks.cards] == [0, 0]


def test_the_accuracy_without_twins_stands_beside_that_of_all(folder: StudyFolder) -> None:
    data = data_of(checked(folder))
    assert data.deduplicated_words.startswith(
        "20 test images (8.00 %) have a duplicate in training or validation"
    )
    assert data.deduplicated is not None
    view = study_view(folder).tasks[0]
    ours = {row.cells[0].text: row.cells[1].text for row in view.results.rows}
    for row in data.deduplicated.rows:
        name, every, kept, difference = (cell.text for cell in row.cells)
        assert every == ours[name]
        apart = float(kept.removesuffix(" %")) - float(every.removesuffix(" %"))
        assert float(difference.replace(MINUS, "-")) == pytest.approx(apart, abs=0.11)


def test_checked_and_without_a_twin_is_said(folder: StudyFolder) -> None:
    data = data_of(
        checked(folder, test_exact=[], test_near=[], leaks=[], conflicts=[], flagged={}, counts={})
    )
    assert data.deduplicated_words == "No test image was found to have a duplicate in training or validation."
    assert "nothing was found" in data.words
    assert data.deduplicated is None


def test_classes_that_differ_much_are_drawn_by_their_names(folder: StudyFolder) -> None:
    classes = [CheckedClass(id=f"n{k:08d}", train=10 * (k + 1), validation=1, test=1) for k in range(5)]
    data = data_of(checked(folder, counts={"imbalance": 3}, imbalance=5.0, classes=classes))
    assert data.balance is not None
    (panel,) = data.balance.panels
    assert [row["class"] for row in panel.spec["data"]["values"]] == [
        "alligator", "tailed frog", "bullfrog", "salamander", "goldfish",
    ]  # fmt: skip
    assert data.balance.caption == "Training images of each class; alligator: 50, goldfish: 10."
    assert 'data-chart="task-1-balance"' in render_page(study_view(folder))


@pytest.mark.parametrize("classes", [4, 200])
def test_the_chart_is_what_vega_lite_takes(classes: int) -> None:
    spec = balance_chart([(1000 - k, f"class {k}") for k in range(classes)])
    altair.Chart.from_dict(spec)
    assert ("y" in spec["encoding"] and spec["encoding"]["y"]["field"]) == (
        "class" if classes == 4 else "images"
    )


def test_tables_and_figures_are_numbered_in_the_order_of_the_page(folder: StudyFolder) -> None:
    page = render_page(study_view(checked(folder, imbalance=4.0, counts={"imbalance": 1, "leaks": 2})))
    for kind in ("Table", "Figure"):
        numbers = [int(number) for number in re.findall(rf"<b>{kind} (\d+)\.</b>", page)]
        assert numbers == list(range(1, len(numbers) + 1))


def test_file_names_are_escaped_and_equal_records_give_equal_bytes(folder: StudyFolder) -> None:
    checked(folder)
    first, second = (render_page(study_view(folder)) for _ in range(2))
    assert first == second
    assert EVIL not in first
    assert "&lt;b&gt;ant" in first


def test_a_published_study_keeps_its_checks_without_pictures(folder: StudyFolder, tmp_path: Path) -> None:
    checked(folder, unreadable=[{"file": "x.png", "reason": "cannot open /home/ann/photos/x.png"}])
    published = StudyFolder(publish(folder, tmp_path / "published").path)
    theirs, ours = published.read_checks("5 classes"), folder.read_checks("5 classes")
    assert theirs is not None
    assert ours is not None
    assert theirs.unreadable[0]["reason"] == "cannot open …/x.png"
    assert replace(theirs, unreadable=[]) == replace(ours, unreadable=[])
    assert published.read_check_images("5 classes") == {}
