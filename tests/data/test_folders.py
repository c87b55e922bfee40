from __future__ import annotations

from collections import Counter
from pathlib import Path

import layouts
import pytest

from bakeoff.data.folders import open_folders
from bakeoff.data.source import Opening
from bakeoff.errors import DataError


def test_a_folder_is_a_class(class_folders: Path, opening: Opening) -> None:
    listing = open_folders(class_folders, opening)
    assert Counter(item.class_id for item in listing.items) == {"ant": 12, "bee": 12, "cat": 12}
    assert {item.split for item in listing.items} == {None}


def test_split_folders_are_the_sources_own_split(tmp_path: Path, opening: Opening) -> None:
    listing = open_folders(layouts.split_folders(tmp_path), opening)
    assert Counter(item.split for item in listing.items) == {"train": 18, "validation": 6, "test": 9}
    assert {item.class_id for item in listing.items} == {"ant", "bee", "cat"}


@pytest.mark.parametrize("name", ["val", "valid", "Validation"])
def test_validation_goes_by_several_names(name: str, tmp_path: Path, opening: Opening) -> None:
    layouts.split_folders(tmp_path)
    (tmp_path / "val").rename(tmp_path / name)
    assert Counter(item.split for item in open_folders(tmp_path, opening).items)["validation"] == 6


def test_a_class_may_be_called_train(tmp_path: Path, opening: Opening) -> None:
    for name in ("train", "bus", "tram"):
        layouts.save(tmp_path / name / "1.png", layouts.picture(0, 0))
    listing = open_folders(tmp_path, opening)
    assert {item.class_id for item in listing.items} == {"train", "bus", "tram"}
    assert {item.split for item in listing.items} == {None}


def test_images_may_lie_deeper_than_their_class(tmp_path: Path, opening: Opening) -> None:
    layouts.save(tmp_path / "cat" / "2019" / "may" / "1.png", layouts.picture(0, 0))
    layouts.save(tmp_path / "dog" / "1.png", layouts.picture(1, 0))
    assert {(item.key, item.class_id) for item in open_folders(tmp_path, opening).items} == {
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
    listing = open_folders(tmp_path, opening)
    assert len(listing.items) == 36
    assert listing.ignored == 1


def test_an_outer_folder_that_holds_only_one_is_stepped_through(tmp_path: Path, opening: Opening) -> None:
    layouts.class_folders(tmp_path / "download" / "pets-v2")
    assert open_folders(tmp_path, opening).items[0].key == "ant/0.png"


def test_a_link_in_a_circle_is_followed_once(tmp_path: Path, opening: Opening) -> None:
    layouts.class_folders(tmp_path)
    (tmp_path / "ant" / "again").symlink_to(tmp_path)
    keys = [item.key for item in open_folders(tmp_path, opening).items]
    assert len(keys) == 36


def test_a_folder_without_images_is_refused(tmp_path: Path, opening: Opening) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.txt").write_text("x")
    with pytest.raises(DataError, match=f"no images in {tmp_path}"):
        open_folders(tmp_path, opening)


def test_images_without_class_folders_are_refused(tmp_path: Path, opening: Opening) -> None:
    layouts.save(tmp_path / "1.png", layouts.picture(0, 0))
    with pytest.raises(DataError, match=r"1 images in .* lie in no class folder"):
        open_folders(tmp_path, opening)
