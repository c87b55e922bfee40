from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import layouts
import numpy as np
import pytest
from PIL import Image

from bakeoff.data import TaskData, prepare
from bakeoff.errors import ConfigError, DataError
from bakeoff.spec import TaskSpec


def prepared(folder: Path, cache_dir: Path, on_corrupt: str = "stop", **task: object) -> TaskData:
    spec = TaskSpec(name="t", data=str(folder), **{"image_size": 12, **task})
    return prepare(spec, base_dir=Path("/"), cache_dir=cache_dir, decoders=1, on_corrupt=on_corrupt)  # type: ignore[arg-type]


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Class folders with an empty, a cut and a misnamed file."""
    folder = layouts.class_folders(tmp_path / "data")
    (folder / "ant" / "1.png").write_bytes(b"")
    layouts.save(folder / "bee" / "cut.jpg", layouts.picture(1, 0, 64, 64))
    cut = (folder / "bee" / "cut.jpg").read_bytes()
    (folder / "bee" / "cut.jpg").write_bytes(cut[: len(cut) // 2])
    (folder / "cat" / "text.jpg").write_text("this is a text")
    return folder


def test_unreadable_files_stop_with_a_list_and_the_way_out(damaged: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        prepared(damaged, tmp_path / "cache")
    message = str(caught.value)
    assert message.startswith(f"data: 3 files in {damaged} cannot be read (ant/1.png: an empty file, bee/")
    assert "cat/text.jpg: not an image" in message
    assert message.endswith("or leave them out with --on-corrupt exclude")
    assert "\n" not in message


def test_a_long_list_is_cut_after_three(tmp_path: Path) -> None:
    folder = layouts.class_folders(tmp_path / "data")
    for index in range(5):
        (folder / "ant" / f"{index}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"5 files in .*ant/2\.png: an empty file and 2 more\)"):
        prepared(folder, tmp_path / "cache")


def test_excluded_files_are_recorded_and_gone_from_every_part(damaged: Path, tmp_path: Path) -> None:
    data = prepared(damaged, tmp_path / "cache", "exclude")
    assert [entry["file"] for entry in data.unreadable] == ["ant/1.png", "bee/cut.jpg", "cat/text.jpg"]
    assert data.describe()["unreadable"] == data.unreadable
    assert len(data.keys) == len(data.images_NHWC) == len(data.labels_N) == len(data.digests) == 35
    assert not {"ant/1.png", "bee/cut.jpg", "cat/text.jpg"} & set(data.keys)
    for image_HWC, label in zip(data.images_NHWC, data.labels_N, strict=True):
        assert layouts.label_of(image_HWC) == label


def test_files_left_out_and_files_never_there_are_the_same_data(damaged: Path, tmp_path: Path) -> None:
    excluded = prepared(damaged, tmp_path / "cache", "exclude")
    for name in ("ant/1.png", "bee/cut.jpg", "cat/text.jpg"):
        (damaged / name).unlink()
    clean = prepared(damaged, tmp_path / "cache")
    assert (clean.fingerprint, clean.split_digest) == (excluded.fingerprint, excluded.split_digest)


def test_after_a_stop_excluding_needs_no_second_pass(damaged: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        prepared(damaged, tmp_path / "cache")
    assert prepared(damaged, tmp_path / "cache", "exclude").cached


def test_a_class_whose_files_are_all_unreadable_is_named(tmp_path: Path) -> None:
    folder = layouts.class_folders(tmp_path / "data", count=4)
    for file in (folder / "bee").iterdir():
        file.write_bytes(b"")
    unreadable = r"cannot be read: bee/\w+\.\w+ \(an empty file\) and \d+ more$"
    with pytest.raises(DataError, match=f"class 'bee' has 0 images to train on.*{unreadable}"):
        prepared(folder, tmp_path / "cache", "exclude")


def test_links_that_lead_nowhere_are_unreadable_files(tmp_path: Path) -> None:
    folder = layouts.class_folders(tmp_path / "data")
    for index in range(3):
        (folder / "ant" / f"link{index}.png").symlink_to(folder / "gone.png")
    with pytest.raises(DataError, match=r"3 files in .*ant/link0\.png: unreadable \(No such file or dir"):
        prepared(folder, tmp_path / "cache")
    data = prepared(folder, tmp_path / "cache", "exclude")
    assert (len(data.keys), len(data.describe()["unreadable"])) == (36, 3)
    layouts.save(folder / "gone.png", layouts.picture(0, 99))
    assert len(prepared(folder, tmp_path / "cache").keys) == 39  # now they lead to an image


def test_what_is_left_out_by_name_is_told(tmp_path: Path) -> None:
    folder = layouts.class_folders(tmp_path / "data")
    for name in ("ant/1.heic", "bee/2.HEIC", "bee/3.svg"):
        (folder / name).write_bytes(b"x")
    layouts.save(folder / "cover.png", layouts.picture(0, 0))
    told = prepared(folder, tmp_path / "cache").describe()
    assert (told["ignored"], told["ignored_files"]) == (1, {".heic": 2, ".svg": 1})


def test_images_of_twelve_bits_are_told_also_from_the_cache(tmp_path: Path) -> None:
    folder = layouts.class_folders(tmp_path / "data")
    for index, value in enumerate((4000, 60000, 900)):
        deep_HW = np.full((12, 12), value, dtype=np.uint16)
        Image.fromarray(deep_HW).save(folder / "ant" / f"deep{index}.png")
    told = [prepared(folder, tmp_path / "cache") for _ in range(2)]
    assert [(data.cached, data.describe()["dark_16_bit"]) for data in told] == [(False, 2), (True, 2)]


def test_a_note_of_before_dark_images_were_counted_is_still_read(class_folders: Path, tmp_path: Path) -> None:
    prepared(class_folders, tmp_path)
    (file,) = (tmp_path / "notes").iterdir()
    note = json.loads(file.read_text())
    del note["dark_16_bit"]
    file.write_text(json.dumps(note))
    assert prepared(class_folders, tmp_path).cached


def test_images_of_one_part_that_are_in_another_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    pictures = {  # a digit is a picture, parts are lists of them
        "train": {"ant": "012", "bee": "345"},
        "val": {"ant": "06", "bee": "78"},
        "test": {"ant": "0019", "bee": "47"},
    }
    for part, classes in pictures.items():
        for name, digits in classes.items():
            for index, digit in enumerate(digits):
                layouts.save(folder / part / name / f"{index}.png", layouts.picture(0, int(digit)))
    told = prepared(folder, tmp_path / "cache").describe()
    assert told["leaks"] == {"train-test": 4, "validation-test": 3, "train-validation": 1}


@pytest.mark.parametrize("part", ["test", "val"])
def test_a_class_missing_in_the_sources_own_part_is_named(part: str, tmp_path: Path) -> None:
    folder = layouts.split_folders(tmp_path / "data")
    shutil.rmtree(folder / part / "cat")
    with pytest.raises(DataError, match=r"own (test|validation) has no images of 'cat'"):
        prepared(folder, tmp_path / "cache")
    assert prepared(folder, tmp_path / "cache", classes=("ant", "bee")).class_ids == ["ant", "bee"]


@pytest.mark.parametrize("workers", [0, -1])
def test_there_is_at_least_one_worker(workers: int, class_folders: Path, tmp_path: Path) -> None:
    task = TaskSpec(name="t", data=str(class_folders))
    with pytest.raises(
        ConfigError, match=f"^--decoders: got {workers}, expected a whole number of at least 1"
    ):
        prepare(task, base_dir=Path("/"), cache_dir=tmp_path, decoders=workers)


def test_one_class_is_not_a_task(tmp_path: Path) -> None:
    for index in range(5):
        layouts.save(tmp_path / "data" / "cat" / f"{index}.png", layouts.picture(0, index))
    with pytest.raises(DataError, match=r"one class \('cat'\) in .*, expected at least 2"):
        prepared(tmp_path / "data", tmp_path / "cache")


def test_a_class_with_one_image_is_named(tmp_path: Path) -> None:
    folder = layouts.class_folders(tmp_path / "data")
    layouts.save(folder / "yak" / "0.png", layouts.picture(3, 0))
    with pytest.raises(DataError, match="class 'yak' has 1 image to train on, expected at least 3"):
        prepared(folder, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()  # refused before the images are decoded


def test_validation_classes_that_are_not_trained_are_named(tmp_path: Path) -> None:
    folder = layouts.split_folders(tmp_path / "data")
    layouts.save(folder / "val" / "yak" / "0.png", layouts.picture(3, 0))
    with pytest.raises(DataError, match="validation has classes without training images: 'yak'"):
        prepared(folder, tmp_path / "cache")


def test_a_table_that_lists_a_file_twice_is_refused(tmp_path: Path) -> None:
    folder = layouts.class_folders(tmp_path / "data")
    (folder / "list.csv").write_text("path,label\nant/0.png,a\nbee/0.png,b\nant/0.png,b\n")
    with pytest.raises(DataError, match=r"'ant/0\.png' is listed twice"):
        prepared(folder / "list.csv", tmp_path / "cache")


def test_another_label_for_the_same_file_is_other_data(tmp_path: Path) -> None:
    file = layouts.table(tmp_path / "data")
    first = prepared(file, tmp_path / "cache")
    file.write_text(file.read_text().replace("ant/0.png,ant", "ant/0.png,bee"))
    second = prepared(file, tmp_path / "cache")
    assert not second.cached
    assert second.fingerprint != first.fingerprint


def test_classes_by_human_name_have_the_labels_of_their_ids(tiny_imagenet: Path, tmp_path: Path) -> None:
    data = prepared(tiny_imagenet, tmp_path, classes=("bullfrog", "goldfish"))
    assert data.class_ids == ["n01443537", "n01641577"]
    assert data.class_names == ["goldfish", "bullfrog"]
    assert {layouts.label_of(image_HWC) for image_HWC in data.images_NHWC[data.labels_N == 1]} == {2}


def test_more_classes_than_there_are_is_refused(class_folders: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="classes: got 4, expected at most 3"):
        prepared(class_folders, tmp_path, classes=4)


def test_progress_counts_the_images(class_folders: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    task = TaskSpec(name="t", data=str(class_folders), image_size=12)
    prepare(
        task, base_dir=Path("/"), cache_dir=tmp_path, decoders=1, progress=lambda *news: told.append(news)
    )
    assert told[-1] == ("decoding", 36, 36)


def test_the_cache_goes_where_the_variable_says(
    class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "mine"))
    data = prepare(TaskSpec(name="t", data=str(class_folders)), base_dir=Path("/"), decoders=1)
    assert (tmp_path / "mine" / "images" / f"{data.fingerprint}.u8").is_file()


def test_the_images_cannot_be_written_to(class_folders: Path, tmp_path: Path) -> None:
    data = prepared(class_folders, tmp_path)
    with pytest.raises(ValueError, match="read-only"):
        data.images_NHWC[0] = 0


def test_the_description_is_plain_json(class_folders: Path, tmp_path: Path) -> None:
    told = prepared(class_folders, tmp_path).describe()
    assert json.loads(json.dumps(told)) == told
    assert told["classes"][1] == {"id": "bee", "name": "bee", "train": 9, "validation": 1, "test": 2}
    assert told["widths"] == {"min": 12.0, "median": 12.0, "max": 12.0}


def test_equal_files_have_equal_digests(tmp_path: Path) -> None:
    folder = layouts.class_folders(tmp_path / "data")
    (folder / "bee" / "copy.png").write_bytes((folder / "ant" / "0.png").read_bytes())
    data = prepared(folder, tmp_path / "cache")
    same = np.flatnonzero(np.array(data.digests) == data.digests[data.keys.index("ant/0.png")])
    assert [data.keys[index] for index in same] == ["ant/0.png", "bee/copy.png"]


def test_preparing_data_does_without_torch(class_folders: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from bakeoff.data import prepare\n"
        "from bakeoff.spec import TaskSpec\n"
        "data, cache = sys.argv[1:]\n"
        "prepare(TaskSpec(name='t', data=data), base_dir=Path('/'), cache_dir=Path(cache))\n"
        "print('torch' in sys.modules)\n"
    )
    command = [sys.executable, "-c", code, str(class_folders), str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (run.stdout, run.stderr) == ("False\n", "")
