from __future__ import annotations

from collections import Counter
from pathlib import Path

import layouts
import pytest

from bakeoff.data.source import Opening
from bakeoff.data.tiny_imagenet import open_tiny_imagenet
from bakeoff.errors import DataError


def test_the_labelled_official_validation_images_are_the_test_part(
    tiny_imagenet: Path, opening: Opening
) -> None:
    listing = open_tiny_imagenet(tiny_imagenet, opening)
    assert Counter(item.split for item in listing.items) == {"train": 30, "test": 12}
    tested = {item.key: item.class_id for item in listing.items if item.split == "test"}
    assert tested["val/images/val_1.JPEG"] == layouts.WNIDS[1]
    assert not any(key.startswith("test/") for key in tested)


def test_the_first_synonym_is_the_classes_human_name(tiny_imagenet: Path, opening: Opening) -> None:
    assert open_tiny_imagenet(tiny_imagenet, opening).names == {
        "n01443537": "goldfish", "n01629819": "European fire salamander", "n01641577": "bullfrog",
    }  # fmt: skip


def test_words_are_optional(tmp_path: Path, opening: Opening) -> None:
    (layouts.tiny_imagenet(tmp_path) / "words.txt").unlink()
    assert open_tiny_imagenet(tmp_path, opening).names == {}


def test_missing_annotations_are_named(tmp_path: Path, opening: Opening) -> None:
    (layouts.tiny_imagenet(tmp_path) / "val" / "val_annotations.txt").unlink()
    with pytest.raises(DataError, match=r"no val/val_annotations\.txt in .*official layout"):
        open_tiny_imagenet(tmp_path, opening)


def test_an_annotated_image_that_is_missing_is_named_with_its_line(tmp_path: Path, opening: Opening) -> None:
    (layouts.tiny_imagenet(tmp_path) / "val" / "images" / "val_2.JPEG").unlink()
    with pytest.raises(DataError, match=r"val_annotations\.txt, line 3: no image val/images/val_2\.JPEG"):
        open_tiny_imagenet(tmp_path, opening)


def test_annotated_images_that_are_missing_are_counted(tmp_path: Path, opening: Opening) -> None:
    layouts.tiny_imagenet(tmp_path)
    for number in (2, 7):
        (tmp_path / "val" / "images" / f"val_{number}.JPEG").unlink()
    with pytest.raises(DataError, match=r"val_2\.JPEG in .*; 2 of the 12 listed are missing"):
        open_tiny_imagenet(tmp_path, opening)


def test_cut_annotations_are_refused_with_both_counts(tmp_path: Path, opening: Opening) -> None:
    file = layouts.tiny_imagenet(tmp_path) / "val" / "val_annotations.txt"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:5]))
    message = r"lists 5 images, but 12 lie below val/ in .* \(val/images/val_10\.JPEG is not listed\)"
    with pytest.raises(DataError, match=message):
        open_tiny_imagenet(tmp_path, opening)


def test_annotations_that_cannot_be_read_are_named(tmp_path: Path, opening: Opening) -> None:
    file = layouts.tiny_imagenet(tmp_path) / "val" / "val_annotations.txt"
    file.unlink()
    file.symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"val_annotations\.txt in .* cannot be read \(No such file"):
        open_tiny_imagenet(tmp_path, opening)


def test_the_layouts_own_texts_are_no_files_left_out(tmp_path: Path, opening: Opening) -> None:
    layouts.tiny_imagenet(tmp_path)
    assert open_tiny_imagenet(tmp_path, opening).ignored_files == {}
    (tmp_path / "train" / layouts.WNIDS[0] / "images" / "more.heic").write_bytes(b"x")
    assert open_tiny_imagenet(tmp_path, opening).ignored_files == {".heic": 1}


def test_a_folder_beside_texts_is_not_stepped_into(tmp_path: Path, opening: Opening) -> None:
    layouts.tiny_imagenet(tmp_path)
    for part in ("val", "test"):
        (tmp_path / part).rename(tmp_path.parent / f"{tmp_path.name}-{part}")
    with pytest.raises(DataError, match=r"no val/val_annotations\.txt"):
        open_tiny_imagenet(tmp_path, opening)


def test_an_annotation_without_a_class_is_refused(tmp_path: Path, opening: Opening) -> None:
    (layouts.tiny_imagenet(tmp_path) / "val" / "val_annotations.txt").write_text("val_0.JPEG n01443537\n")
    with pytest.raises(DataError, match=r"line 1: got 'val_0\.JPEG n01443537', expected a file, a tab"):
        open_tiny_imagenet(tmp_path, opening)


def test_another_folder_is_not_taken_for_it(class_folders: Path, opening: Opening) -> None:
    with pytest.raises(DataError, match="expected Tiny ImageNet's official layout"):
        open_tiny_imagenet(class_folders, opening)
