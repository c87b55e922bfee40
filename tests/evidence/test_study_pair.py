from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from studies import CANDIDATES, TASKS, CandidateSketch, make_study

from bakeoff.errors import StudyError
from bakeoff.evidence.candidate_pair import pair_candidates
from bakeoff.evidence.comparison import holm
from bakeoff.evidence.study_pair import StudyPair, pair_studies
from bakeoff.records import RunFolder, StudyFolder

COLUMNS = ("file", "class", "part", "sha256")
NEWER = [
    replace(CANDIDATES[0], skill=2.2, recipe={"batch_size": 32}),
    replace(CANDIDATES[1], skill=2.55),
    replace(CANDIDATES[2], skill=1.4),
    CandidateSketch(name="model9", skill=1.0),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyFolder, StudyFolder]:
    """Two studies; of the second one task has other images, one run has not ended, versions are newer."""
    root = tmp_path_factory.mktemp("two")
    first = make_study(root / "first", name="autumn")
    tasks = [TASKS[0], replace(TASKS[1], test_images=480)]
    second = make_study(root / "second", name="winter", tasks=tasks, candidates=NEWER)
    task = second.read_task("16 classes")
    assert task is not None
    second.write_task(replace(task, data_fingerprint="f" * 64, split_digest="e" * 64))
    for record in second.records():
        environment = {**record.environment, "torch": "2.15.0", "extra": "unknown then"}
        second.run(record.task, record.candidate, record.seed).write(replace(record, environment=environment))
    return first, second


@pytest.fixture(scope="module")
def pair(folders: tuple[StudyFolder, StudyFolder]) -> StudyPair:
    return pair_studies(*folders)


def test_the_same_images_are_paired_and_others_are_not(pair: StudyPair) -> None:
    five, sixteen = pair.tasks
    assert (five.same_images, sixteen.same_images) == (True, False)
    assert sixteen.why == "their splits are not the same"
    assert all(row.paired and not row.unpaired for row in five.candidates)
    assert all(row.unpaired and not row.paired for row in sixteen.candidates)
    assert sixteen.candidates[0].unpaired is not None
    assert sixteen.candidates[0].unpaired.images == (480, 320)


def test_better_and_worse_are_told_of_the_second_study(pair: StudyPair) -> None:
    verdicts = {row.name: row.verdict for row in pair.tasks[0].candidates}
    assert verdicts == {"model1": "better", "model4": "not told apart", "model5": "worse"}
    assert pair.tasks[0].candidates[0].result is not None
    assert pair.tasks[0].candidates[0].result.difference > 0.2


def test_all_p_values_are_corrected_together(pair: StudyPair) -> None:
    results = [row.result for _, row in pair.compared]
    assert [r.p_holm for r in results if r] == holm([r.p for r in results if r])
    assert len(results) == 6


def test_what_differs_is_what_both_recorded_and_differently(pair: StudyPair) -> None:
    assert pair.machines == {"torch": ("2.14.1", "2.15.0")}
    changed = {row.name: row.changed for row in pair.tasks[0].candidates}
    assert changed == {"model1": {"recipe.batch_size": (64, 32)}, "model4": {}, "model5": {}}
    assert pair.tasks[0].data == {}
    assert pair.tasks[1].data["test images"] == (320, 480)
    assert pair.tasks[0].only_second == ("model9",)


def test_the_same_files_drawn_at_another_size_are_paired(tmp_path: Path) -> None:
    folders = [make_study(tmp_path / name, tasks=TASKS[:1], name=name) for name in ("a", "b")]
    rows = [(f"{k}.png", f"n{k % 5:08d}", "test", f"{k:064d}") for k in range(250)]
    for folder in folders:
        folder.write_manifest("5 classes", COLUMNS, rows)
    task = folders[1].read_task("5 classes")
    assert task is not None
    folders[1].write_task(replace(task, data_fingerprint="f" * 64, image_size=64))
    found = pair_studies(*folders).tasks[0]
    assert (found.same_images, found.why) == (True, "the same files in the same split, drawn otherwise")
    folders[1].write_manifest("5 classes", COLUMNS, [(*rows[0][:3], "0"), *rows[1:]])
    assert not pair_studies(*folders).tasks[0].same_images


def test_tasks_of_another_name_and_the_same_images_are_one(tmp_path: Path) -> None:
    first = make_study(tmp_path / "a", tasks=TASKS[:1])
    second = make_study(tmp_path / "b", tasks=[replace(TASKS[0], name="animals")])
    with pytest.raises(StudyError, match=r"no task in common \(5 classes and animals\)"):
        pair_studies(first, second)
    ours, theirs = first.read_task("5 classes"), second.read_task("animals")
    assert ours is not None
    assert theirs is not None
    second.write_task(replace(theirs, data_fingerprint=ours.data_fingerprint, split_digest=ours.split_digest))
    assert pair_studies(first, second).tasks[0].same_images


def test_candidates_without_a_result_in_one_are_said(tmp_path: Path) -> None:
    first = make_study(tmp_path / "a", tasks=TASKS[:1])
    second = make_study(
        tmp_path / "b", tasks=TASKS[:1], failed={("5 classes", "model5", k) for k in (0, 1, 2)}
    )
    rows = {row.name: row for row in pair_studies(first, second).tasks[0].candidates}
    assert rows["model5"].verdict == "not finished"
    assert rows["model1"].verdict == "not told apart"


def test_seeds_that_are_not_shared_are_not_paired(tmp_path: Path) -> None:
    first = make_study(tmp_path / "a", tasks=TASKS[:1], seeds=[0])
    second = make_study(tmp_path / "b", tasks=TASKS[:1], seeds=[1])
    row = pair_studies(first, second).tasks[0].candidates[0]
    assert row.unpaired is not None
    assert row.why_unpaired == "they share no seed"


def test_predictions_are_read_once(
    folders: tuple[StudyFolder, StudyFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[Path, str]] = []
    reading = RunFolder.read_predictions
    monkeypatch.setattr(
        RunFolder,
        "read_predictions",
        lambda run, split: read.append((run.path, split)) or reading(run, split),
    )
    pair_studies(*folders)
    pair_candidates(folders[0], "model4", "model5", "5 classes")
    of_pair = [at for at in read if at[0].parts[-3] == "5-classes" and folders[0].path in at[0].parents]
    assert Counter(Counter(of_pair).values()) == {2: len(set(of_pair))}
    assert max(Counter(at for at in read if at not in of_pair).values()) == 1
