"""Studies for the tests of the report: one with everything that can go wrong in it, one that is in order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import searches
from studies import CANDIDATES, TASKS, CandidateSketch, make_study

from bakeoff.records import StudyFolder

EVIL = "<script>alert('x')<!-- & \"co\""  # a candidate's name may hold no slash
EVIL_TOO = "</script><script>alert('y')</script>"  # a description and a class's name may


def with_layers(folder: StudyFolder) -> StudyFolder:
    """Give every run of a study a layer table as `models.summary` writes it."""
    for record in folder.records():
        rows = [
            {"name": "conv1", "kind": "conv", "detail": "3x3, stride 2", "output_shape": [32, 16, 16],
             "parameters": 896, "trainable": 896, "multiplications": 221184},
            {"name": record.candidate, "kind": "dense", "detail": "", "output_shape": [5],
             "parameters": 40965, "trainable": 40965, "multiplications": 40960},
        ]  # fmt: skip
        folder.run(record.task, record.candidate, record.seed).write(replace(record, layers=rows))
    return folder


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """Two tasks, three candidates, three seeds, published figures, images; read only."""
    return with_layers(make_study(tmp_path_factory.mktemp("sound") / "study"))


@pytest.fixture(scope="session")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A hostile name, a control of its own, diverged, failed and missing runs; read only."""
    folder = with_layers(make_study(
        tmp_path_factory.mktemp("troubled") / "study",
        candidates=[
            *CANDIDATES,
            CandidateSketch(name=EVIL, skill=1.0, sharpness=30.0),
            CandidateSketch(name="other batch", skill=2.0, recipe={"batch_size": 8}),
        ],
        diverged={("5 classes", "model1", seed) for seed in (0, 1, 2)},
        failed={("5 classes", "model5", 1)},
        missing={(TASKS[1].name, "model5", 0), (TASKS[1].name, "model5", 2)},
    ))  # fmt: skip
    lock = folder.read_lock() or {}
    folder.write_lock({**lock, "study": {**lock["study"], "description": EVIL_TOO}})
    task = folder.read_task("5 classes")
    assert task is not None
    folder.write_task(replace(task, class_names=[EVIL_TOO, *task.class_names[1:]]))
    return folder


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study in which two runs of a candidate have searched; read only."""
    made = make_study(tmp_path_factory.mktemp("searched") / "study", tasks=TASKS[:1], seeds=[0, 1])
    return searches.searched(with_layers(made), "model4")


@pytest.fixture(scope="session")
def page_of(sound: StudyFolder, troubled: StudyFolder, searched: StudyFolder) -> dict[str, Path]:
    """The pages of the studies, written once."""
    from bakeoff.report.write import write_report

    return {
        "sound": write_report(sound), "troubled": write_report(troubled), "searched": write_report(searched),
    }  # fmt: skip
