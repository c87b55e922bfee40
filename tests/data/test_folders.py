from __future__ import annotations

from collections import Counter
from pathlib import Path

import layouts
import pytest

from bakeoff.data.locate import open_path
from bakeoff.data.source import Opening
from bakeoff.errors import DataError


def test_a_folder_is_a_class(class_folders: Path, opening: Opening) -> None:
    listing = open_path(class_folders, opening)
    assert Counter(item.class_id for item in listing.items) == {"ant": 12, "bee": 12, "cat": 12}
    assert {item.split for item in listing.items} == {None}


def test_split_folders_are_the_sources_own_split(tmp_path: Path, opening: Opening) -> None:
    listing = open_path(layouts.split_folders(tmp_path), opening)
    assert Counter(item.split for item in listing.items) == {"train": 18, "validation": 6, "test": 9}
    assert {item.class_id for item in listing.items} == {"ant", "bee", "cat"}


@pytest.mark.parametrize("name", ["val", "valid", "Validation"])
def test_validation_goes_by_several_names(name: str, tmp_path: Path, opening: Opening) -> None:
    layouts.split_folders(tmp_path)
    (tmp_path / "val").rename(tmp_path / name)
    assert Counter(item.split for item in open_path(tmp_path, opening).items)["validation"] == 6


def test_a_class_may_be_called_train(tmp_path: Path, opening: Opening) -> None:
    for name in ("train", "bus", "tram"):
        layouts.save(tmp_path / name / "1.png", layouts.picture(0, 0))
    listing = open_path(tmp_path, opening)
    assert {item.class_id for item in listing.items} == {"train", "bus", "tram"}
    assert {item.split for item in listing.items} == {None}


def filled(root: Path, *folders: str) -> Path:
    for folder in folders:
        layouts.save(root / folder / "1.png", layouts.picture(0, 0))
    return root


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("train/a", "train/b", "test/a", "test/b", "thumbs"),
         r"data: train, test look like split folders, but thumbs does not \(/"),
        (("trian/a", "trian/b", "test/a", "test/b"),
         r"data: test looks like a split folder, but trian does not \(/"),
        (("train/a", "train/b", "a", "b", "c", "d"),
         r"data: train looks like a split folder, but a, b, c and 1 more do not \(/"),
        (("val/a", "val/b", "test/a", "test/b"),
         r"data: val, test look like split folders, but none is train \(/"),
    ],
)  # fmt: skip
def test_a_split_that_is_only_half_one_is_never_taken_for_classes(
    folders: tuple[str, ...], message: str, tmp_path: Path, opening: Opening
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        open_path(filled(tmp_path, *folders), opening)
    assert str(caught.value).endswith("; expected only train, val, test, or class folders")
    assert str(tmp_path) in str(caught.value)


def test_a_class_called_train_may_have_one_folder_in_it(tmp_path: Path, opening: Opening) -> None:
    listing = open_path(filled(tmp_path, "train/images", "bus/images"), opening)
    assert {item.class_id for item in listing.items} == {"train", "bus"}


def test_a_split_named_folder_without_images_is_no_split(tmp_path: Path, opening: Opening) -> None:
    (tmp_path / "test" / "a").mkdir(parents=True)
    listing = open_path(filled(tmp_path, "cat", "dog"), opening)
    assert {item.class_id for item in listing.items} == {"cat", "dog"}


def test_images_may_lie_deeper_than_their_class(tmp_path: Path, opening: Opening) -> None:
    layouts.save(tmp_path / "cat" / "2019" / "may" / "1.png", layouts.picture(0, 0))
    layouts.save(tmp_path / "dog" / "1.png", layouts.picture(1, 0))
    assert {(item.key, item.class_id) for item in open_path(tmp_path, opening).items} == {
        ("cat/2019/may/1.png", "cat"), ("dog/1.png", "dog"),
    }  # fmt: skip


def test_what_is_no_image_by_name_or_lies_beside_the_classes_is_left_out(
    tmp_path: Path, opening: Opening
) -> None:
    layouts.class_folders(tmp_path)
    (tmp_path / "ant" / "notes.txt").write_text("not an image")
    (tmp_path / "ant" / ".hidden.png").write_text("left by a system")
    (tmp_path / "__MACOSX" / "ant").mkdir(parents=True)
    (tmp_path / "__MACOSX" / "ant" / "0.png").write_text("left by a system")
    layouts.save(tmp_path / "cover.png", layouts.picture(0, 0))
    listing = open_path(tmp_path, opening)
    assert len(listing.items) == 36
    assert listing.ignored == 1
    assert listing.ignored_files == {".txt": 1}


def test_files_of_other_kinds_are_counted_by_suffix(tmp_path: Path, opening: Opening) -> None:
    layouts.class_folders(tmp_path)
    for name in ("ant/a.heic", "bee/b.HEIC", "bee/c.svg", "bee/README"):
        (tmp_path / name).write_bytes(b"x")
    assert open_path(tmp_path, opening).ignored_files == {"": 1, ".heic": 2, ".svg": 1}


def test_an_outer_folder_that_holds_only_one_is_stepped_through(tmp_path: Path, opening: Opening) -> None:
    layouts.class_folders(tmp_path / "download" / "pets-v2")
    assert open_path(tmp_path, opening).items[0].key == "ant/0.png"


def test_a_text_beside_the_only_folder_does_not_make_it_a_class(tmp_path: Path, opening: Opening) -> None:
    layouts.class_folders(tmp_path / "onetop" / "images")
    (tmp_path / "onetop" / "README.txt").write_text("these are pets")
    listing = open_path(tmp_path, opening)
    assert {item.class_id for item in listing.items} == {"ant", "bee", "cat"}
    assert listing.items[0].key == "ant/0.png"


def test_an_image_beside_the_only_folder_keeps_it_a_class(tmp_path: Path, opening: Opening) -> None:
    layouts.save(tmp_path / "cover.png", layouts.picture(0, 0))
    listing = open_path(filled(tmp_path, "cat/2019", "cat/2020"), opening)
    assert {item.class_id for item in listing.items} == {"cat"}


@pytest.mark.parametrize("target", ["nowhere.png", "link.png"])
def test_a_link_that_leads_nowhere_or_to_itself_is_listed(
    target: str, tmp_path: Path, opening: Opening
) -> None:
    layouts.class_folders(tmp_path)
    (tmp_path / "ant" / "link.png").symlink_to(tmp_path / "ant" / target)
    listing = open_path(tmp_path, opening)
    assert [item.class_id for item in listing.items if item.key == "ant/link.png"] == ["ant"]
    with pytest.raises(OSError, match=r"No such file|symbolic links"):
        listing.reader.read("ant/link.png")


def test_a_link_in_a_circle_is_followed_once(tmp_path: Path, opening: Opening) -> None:
    layouts.class_folders(tmp_path)
    (tmp_path / "ant" / "again").symlink_to(tmp_path)
    keys = [item.key for item in open_path(tmp_path, opening).items]
    assert len(keys) == 36


def test_a_folder_without_images_is_refused(tmp_path: Path, opening: Opening) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.txt").write_text("x")
    with pytest.raises(DataError, match=f"no images in {tmp_path}"):
        open_path(tmp_path, opening)


def test_images_without_class_folders_are_refused(tmp_path: Path, opening: Opening) -> None:
    layouts.save(tmp_path / "1.png", layouts.picture(0, 0))
    with pytest.raises(DataError, match=r"1 images in .* lie in no class folder"):
        open_path(tmp_path, opening)
