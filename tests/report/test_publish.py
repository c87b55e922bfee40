from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from studies import CandidateSketch, TaskSketch, make_study

from bakeoff.errors import ConfigError
from bakeoff.records import StudyFolder
from bakeoff.report.publish import LARGEST_BYTES, publish, without_paths
from bakeoff.report.write import write_report

TASK = [TaskSketch(name="a task", classes=3, test_images=60, validation_images=30)]
NETS = [CandidateSketch(name="one", skill=1.0), CandidateSketch(name="two|x", skill=2.0)]


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    folder = make_study(tmp_path / "study", tasks=TASK, candidates=NETS, seeds=[0, 1])
    run = folder.run("a task", "one", 0)
    run.weights_path.write_bytes(b"weights")
    run.probabilities_path.write_bytes(b"probabilities")
    task = folder.read_task("a task")
    assert task is not None
    folder.write_task(replace(task, source="a folder of images, /home/ann/secret place/birds"))
    lock = folder.read_lock() or {}
    folder.write_lock({**lock, "command": {
        "study": f"{Path.home()}/studies/leaves.toml", "flags": ["--data", "leaves=/home/ann/photos"],
    }})  # fmt: skip
    return folder


def test_a_publication_holds_evidence_and_no_weights(study: StudyFolder, tmp_path: Path) -> None:
    published = publish(study, tmp_path / "public")
    names = {str(path.relative_to(published.path)) for path in published.path.rglob("*") if path.is_file()}
    assert {"study.lock", "results.csv", "results.json", "report.html", "README.md"} <= names
    assert "tasks/a-task/task.json" in names
    assert "charts/a-task-accuracy.png" in names
    runs = {name for name in names if name.startswith("runs/")}
    assert {Path(name).name for name in runs} == {"record.json", "predictions.npz"}
    assert len(runs) == 8
    assert published.size_bytes == sum((published.path / name).stat().st_size for name in names)
    assert published.size_bytes < LARGEST_BYTES
    assert not published.too_large


def test_a_report_on_the_publication_makes_the_same_bytes(study: StudyFolder, tmp_path: Path) -> None:
    public = StudyFolder(publish(study, tmp_path / "public").path)
    table = public.csv_path.read_bytes()
    assert table == study.csv_path.read_bytes()
    public.csv_path.unlink()
    page = public.report_path.read_bytes()
    write_report(public)
    assert public.csv_path.read_bytes() == table
    same = public.report_path.read_bytes() == page  # not asserted as such: its comparison takes an hour
    assert same


def test_of_the_probabilities_the_best_ones_travel_rounded_and_all_else_as_it_is(
    study: StudyFolder, tmp_path: Path
) -> None:
    public = StudyFolder(publish(study, tmp_path / "public").path)
    record = next(record for record in study.records() if record.status == "finished")
    name = (record.task, record.candidate, record.seed)
    ours, theirs = study.run(*name).read_predictions(), public.run(*name).read_predictions()
    assert ours is not None
    assert theirs is not None
    for key in ("index_N", "label_N", "loss_N", "top_NT"):
        assert np.array_equal(getattr(ours, key), getattr(theirs, key))
    assert theirs.probability_NT.shape == (len(ours.label_N), 1)
    assert np.allclose(theirs.probability_NT, ours.probability_NT[:, :1], rtol=2**-9, atol=0)
    again = StudyFolder(publish(public, tmp_path / "again").path).run(*name).read_predictions()
    assert again is not None
    assert np.array_equal(again.probability_NT, theirs.probability_NT)


def test_paths_of_this_machine_do_not_leave_it(study: StudyFolder, tmp_path: Path) -> None:
    public = publish(study, tmp_path / "public").path
    for path in public.rglob("*"):
        if path.suffix in (".json", ".lock", ".html", ".md", ".csv"):
            text = path.read_text(encoding="utf-8")
            assert "/home/ann" not in text
            assert f"{Path.home()}/" not in text
            assert str(tmp_path) not in text
    command = json.loads((public / "study.lock").read_text(encoding="utf-8"))["command"]
    assert command == {"study": "…/leaves.toml", "flags": ["--data", "leaves=…/photos"]}


def test_a_publication_does_not_say_where_the_study_was_trained_but_lists_its_images(
    study: StudyFolder, tmp_path: Path
) -> None:
    lock = study.read_lock() or {}
    command = {"study": "leaves.toml", "flags": [], "out": "runs/mine"}
    study.write_lock({**lock, "command": command})
    task = study.spec().tasks[0].name
    row = {"file": "a/1.png", "class": "a", "part": "test", "sha256": "0" * 64}
    study.write_manifest(task, list(row), [list(row.values())])
    public = publish(study, tmp_path / "public").path
    assert "runs/mine" not in (public / "README.md").read_text(encoding="utf-8")
    assert (StudyFolder(public).read_lock() or {})["command"] == {"study": "leaves.toml", "flags": []}
    del row["sha256"]
    assert StudyFolder(public).read_manifest(task) == [row]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("/data/sets/birds", "…/birds"),
        ("read 3 of '/mnt/a/b/c.png': bad", "read 3 of '…/c.png': bad"),
        ("C:\\Users\\ann\\birds", "…/birds"),
        ("file:///srv/x/birds", "…/birds"),
        ("data:/srv/x/birds", "data:…/birds"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("train/n01443537/images", "train/n01443537/images"),
        ("1/2 and 3 / 4", "1/2 and 3 / 4"),
        ("my_net.py:build", "my_net.py:build"),
    ],
)
def test_only_absolute_paths_are_cut(before: str, after: str) -> None:
    assert without_paths({"key": [before]}) == {"key": [after]}


def test_the_readme_is_a_markdown_table_with_every_candidate(study: StudyFolder, tmp_path: Path) -> None:
    lines = (publish(study, tmp_path / "public").path / "README.md").read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("|")]
    cells = [line.replace("\\|", "").count("|") for line in table]
    assert len(table) == 4
    assert len(set(cells)) == 1
    assert any(line.startswith("| one |") for line in table)
    pictures = [line.split("](")[1].rstrip(")") for line in lines if line.startswith("![")]
    assert pictures
    assert all((tmp_path / "public" / picture).is_file() for picture in pictures)


def test_an_earlier_publication_is_replaced_whole(study: StudyFolder, tmp_path: Path) -> None:
    first = publish(study, tmp_path / "public").path
    stale = first / "runs" / "a-task" / "gone" / "seed-0"
    stale.mkdir(parents=True)
    publish(study, first)
    assert not stale.exists()


def test_a_study_of_diverged_runs_only_can_be_published(tmp_path: Path) -> None:
    diverged = {("a task", net.name, 0) for net in NETS}
    folder = make_study(tmp_path / "s", tasks=TASK, candidates=NETS, seeds=[0], diverged=diverged)
    public = publish(folder, tmp_path / "p").path
    assert "the loss became nan" in (public / "results.csv").read_text(encoding="utf-8")


def test_another_folder_is_never_overwritten(study: StudyFolder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="which is the study itself"):
        publish(study, study.path)
    other = make_study(tmp_path / "other", tasks=TASK, candidates=NETS, seeds=[0])
    with pytest.raises(ConfigError, match="expected a new folder or a publication"):
        publish(study, other.path)
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "cat.jpg").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"holds cat\.jpg"):
        publish(study, photos)
    assert (photos / "cat.jpg").exists()
    assert other.lock_path.exists()
