"""The checks that a study keeps of its images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_study
from scenes import faulty_folder

from bakeoff.data.prepare import TaskData
from bakeoff.evidence.findings import shown_findings
from bakeoff.records import StudyFolder
from bakeoff.study.images import DataOptions
from bakeoff.study.progress import Quiet


class Ear(Quiet):
    """Remembers the stages and the images."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, str]] = []
        self.data: TaskData | None = None

    def on_prepare(self, task: str, phase: str, done: int, total: int) -> None:
        if (task, phase) not in self.stages:
            self.stages.append((task, phase))

    def on_data(self, task: str, data: TaskData) -> None:
        self.data = data


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyFolder, Ear]:
    folder = tmp_path_factory.mktemp("faulty")
    faulty_folder(folder / "images")
    task: dict[str, Any] = {"name": "faulty", "data": str(folder / "images"), "image_size": 48}
    values = small_study.study(task=[task], candidate=[{"name": "plain", "model": "net.py:plain"}])
    ear = Ear()
    options = DataOptions(on_corrupt="exclude", cache_dir=folder / "cache", decoders=1)
    outcome = small_study.train(folder, values, listener=ear, options=options)
    return outcome.folder, ear


def test_a_study_keeps_what_its_images_hold_and_pictures_of_it(trained: tuple[StudyFolder, Ear]) -> None:
    folder, ear = trained
    checks = folder.read_checks("faulty")
    assert checks is not None
    assert ear.data is not None
    assert (checks.counts["leaks"], checks.counts["conflicts"], checks.counts["unreadable"]) == (5, 4, 1)
    copies = folder.read_check_images("faulty")
    assert sorted(copies) == shown_findings(checks).indices
    for index, copy in copies.items():
        np.testing.assert_array_equal(copy, ear.data.images_NHWC[index])


def test_the_listener_hears_how_far_it_is(trained: tuple[StudyFolder, Ear]) -> None:
    _, ear = trained
    assert ear.stages == [
        ("faulty", "decoding"), ("faulty", "measuring images"), ("faulty", "looking for near duplicates"),
    ]  # fmt: skip


def test_the_accuracy_without_twins_is_in_the_results(trained: tuple[StudyFolder, Ear]) -> None:
    folder, _ = trained
    import json

    told = json.loads(folder.json_path.read_text())["deduplicated"]["faulty"]
    assert told["left_out"] == 5
    assert told["runs"][0]["test_images"] == 5  # of ten


def test_another_study_of_the_same_images_does_not_look_again(
    trained: tuple[StudyFolder, Ear], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = trained
    root = first.path.parent
    monkeypatch.setattr("bakeoff.data.checks.check_images", lambda *_: pytest.fail("looked again"))
    task: dict[str, Any] = {"name": "faulty", "data": str(root / "images"), "image_size": 48}
    values = small_study.study(task=[task], candidate=[{"name": "plain", "model": "net.py:plain"}])
    options = DataOptions(on_corrupt="exclude", cache_dir=root / "cache", decoders=1)
    second = small_study.train(tmp_path, values, options=options).folder
    assert second.read_checks("faulty") == first.read_checks("faulty")
