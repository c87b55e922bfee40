from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import layouts
import numpy as np
import pytest
from PIL import Image
from scenes import encoded_again, faulty_folder, save, scene

from bakeoff.data import TaskData, prepare
from bakeoff.data.checks import check_images, checked
from bakeoff.data.quality import KINDS
from bakeoff.evidence.findings import FINDINGS, IMAGE_KINDS
from bakeoff.records.checks import CheckedPair, TaskChecks
from bakeoff.spec import TaskSpec


def prepared(folder: Path, cache_dir: Path, size: int = 48) -> TaskData:
    spec = TaskSpec(name="t", data=str(folder), image_size=size)
    return prepare(spec, base_dir=Path("/"), cache_dir=cache_dir, decoders=1, on_corrupt="exclude")


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[TaskData, TaskChecks]:
    folder = tmp_path_factory.mktemp("faulty")
    data = prepared(faulty_folder(folder / "data"), folder / "cache")
    return data, check_images(data)


def files(pairs: list[CheckedPair]) -> set[tuple[str, str]]:
    return {(pair.first.file, pair.second.file) for pair in pairs}


def test_every_planted_copy_of_a_test_image_is_found(faulty: tuple[TaskData, TaskChecks]) -> None:
    data, checks = faulty
    assert files(checks.leaks) == {
        ("test/ant/0.png", "train/ant/copy.png"), ("test/ant/1.png", "train/bee/copy.png"),
        ("test/bee/0.png", "train/bee/again.png"), ("test/bee/1.png", "train/ant/again.png"),
        ("test/bee/2.png", "val/bee/mirrored.png"),
    }  # fmt: skip
    assert [data.keys[index] for index in checks.test_exact] == ["test/ant/0.png", "test/ant/1.png"]
    assert [data.keys[index] for index in checks.test_near] == [f"test/bee/{n}.png" for n in (0, 1, 2)]
    assert {pair.first.file for pair in checks.leaks if pair.mirrored} == {"test/bee/2.png"}
    assert [pair.exact for pair in checks.leaks] == [True, True, False, False, False]


def test_copies_under_another_label_and_within_a_part_are_told(faulty: tuple[TaskData, TaskChecks]) -> None:
    _, checks = faulty
    assert files(checks.conflicts) == {
        ("test/ant/1.png", "train/bee/copy.png"), ("test/bee/1.png", "train/ant/again.png"),
    }  # fmt: skip
    assert [(pair.first.label, pair.second.label) for pair in checks.conflicts] == [
        ("ant", "bee"),
        ("bee", "ant"),
    ]
    assert files(checks.repeats) == {("train/ant/twice.png", "train/ant/0.png")}


def test_unreadable_files_and_poor_images_are_listed(faulty: tuple[TaskData, TaskChecks]) -> None:
    _, checks = faulty
    assert [entry["file"] for entry in checks.unreadable] == ["train/ant/cut.jpg"]
    worst = {kind: images[0].image.file for kind, images in checks.flagged.items() if images}
    assert worst == {kind: f"train/bee/{kind}.png" for kind in KINDS} | {"pale": worst["pale"]}
    assert "train/bee/pale.png" in {one.image.file for one in checks.flagged["pale"]}
    assert checks.counts == {
        "unreadable": 1, "leaks": 5, "conflicts": 4, "duplicates": 1, "imbalance": 0,
        "blank": 1, "dark": 1, "bright": 1, "pale": 3, "blurred": 1,
        "test_exact": 2, "test_near": 3, "validation_exact": 0, "validation_near": 0,
        "exact_groups": 2, "exact_copies": 2, "near_pairs": 4,
    }  # fmt: skip


def test_the_words_name_every_kind_with_its_bound() -> None:
    assert set(IMAGE_KINDS) == set(KINDS) <= set(FINDINGS)
    for kind, known in KINDS.items():
        assert f"{known.bound:g}" in FINDINGS[kind].words


def test_what_is_near_to_a_file_is_near_to_all_its_copies(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for part, count in (("train", 4), ("val", 2), ("test", 2)):
        for label, name in enumerate(("ant", "bee")):
            for index in range(count):
                save(folder / part / name / f"{index}.png", scene(100 * label + 10 * len(part) + index))
    picture = folder / "test" / "ant" / "0.png"
    for name in ("val/ant/copy.png", "test/bee/copy.png"):
        (folder / name).write_bytes(picture.read_bytes())
    save(folder / "train/bee/again.png", encoded_again(np.asarray(Image.open(picture))))
    checks = check_images(prepared(folder, tmp_path / "cache"))
    # The image in validation is exact for both test images, and itself near to the one in training.
    assert files(checks.leaks) == {
        ("test/ant/0.png", "val/ant/copy.png"), ("test/bee/copy.png", "val/ant/copy.png"),
        ("val/ant/copy.png", "train/bee/again.png"),
    }  # fmt: skip
    assert checks.counts["conflicts"] == 4
    assert (checks.counts["validation_near"], checks.counts["test_exact"]) == (1, 2)


def test_few_pixels_are_not_searched_for_near_duplicates(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for label, name in enumerate(("ant", "bee")):
        for index in range(6):
            save(folder / name / f"{index}.png", scene(10 * label + index, 8, 8))
    save(folder / "ant" / "again.png", (scene(0, 8, 8) * 0.9).astype(np.uint8))
    save(folder / "ant" / "copy.png", scene(0, 8, 8))
    checks = check_images(prepared(folder, tmp_path / "cache", size=32))
    assert (checks.alike, checks.counts["near_pairs"], checks.counts["exact_copies"]) == (0.0, 0, 1)
    assert checks.counts["blurred"] == 0  # though they are drawn up


def test_classes_of_a_third_are_imbalanced(tmp_path: Path) -> None:
    folder = layouts.class_folders(tmp_path / "data", count=12)
    for index in range(12, 60):
        layouts.save(folder / "ant" / f"{index}.png", layouts.picture(0, index))
    checks = check_images(prepared(folder, tmp_path / "cache", size=12))
    assert checks.counts["imbalance"] == 2
    assert {c.id: c.train for c in checks.classes} == {"ant": 43, "bee": 9, "cat": 9}
    assert checks.imbalance == pytest.approx(43 / 9, abs=1e-3)


def test_a_second_look_is_read_from_the_cache_and_is_the_same(
    faulty: tuple[TaskData, TaskChecks], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, _ = faulty
    first = checked(data, tmp_path)
    monkeypatch.setattr("bakeoff.data.checks.check_images", lambda *_: pytest.fail("looked again"))
    assert checked(data, tmp_path) == first
    assert checked(replace(data, unreadable=[]), tmp_path).counts["unreadable"] == 0
    with pytest.raises(pytest.fail.Exception):  # another split is another question
        checked(replace(data, split_digest="0" * 64), tmp_path)


def test_a_damaged_result_is_made_again(faulty: tuple[TaskData, TaskChecks], tmp_path: Path) -> None:
    data, checks = faulty
    checked(data, tmp_path)
    (file,) = (tmp_path / "checks").iterdir()
    values = json.loads(file.read_text())
    del values["images"]
    file.write_text(json.dumps(values))
    assert replace(checked(data, tmp_path), seconds=0) == replace(checks, seconds=0)
