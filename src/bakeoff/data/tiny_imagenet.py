"""Tiny ImageNet in its official layout: 200 classes, 64x64, 500 training images each.

    train/<wnid>/images/<wnid>_7.JPEG
    val/images/val_7.JPEG, val/val_annotations.txt     file, wnid, box
    wnids.txt, words.txt                               the classes; wnid, synonyms

Its `test/` has no labels and is not read; its labelled `val/` is the test set here, and
validation is held out from `train/`.

Source: Le and Yang, "Tiny ImageNet Visual Recognition Challenge", CS 231N, Stanford 2015.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bakeoff.data.archive import open_tree
from bakeoff.data.source import Item, Listing, Opening, count_ignored, is_image_name
from bakeoff.data.tree import Tree, unwrapped
from bakeoff.errors import DataError

_ANNOTATIONS = "val/val_annotations.txt"


def is_tiny_imagenet(stamps: Mapping[str, str]) -> bool:
    """Recognise the layout by the files that only it has."""
    return _ANNOTATIONS in stamps or ("wnids.txt" in stamps and "words.txt" in stamps)


def open_tiny_imagenet(path: Path, opening: Opening) -> Listing:
    """List Tiny ImageNet from its folder or archive; DataError when a part of it is missing."""
    tree, stamps = unwrapped(open_tree(path, opening), is_tiny_imagenet)
    return list_tiny_imagenet(tree, stamps, str(path))


def list_tiny_imagenet(tree: Tree, stamps: Mapping[str, str], shown: str) -> Listing:
    """List Tiny ImageNet among a tree's files.

    Args:
        tree: Where the files are.
        stamps: Its files, as listed.
        shown: The path as the user gave it, for messages.

    Returns:
        Its training images, and its labelled validation images as the test part.

    Raises:
        DataError: A part of the official layout is missing, or its annotations are not
            those of its images.
    """
    train = [
        Item(key, key.split("/")[1], "train", stamp)
        for key, stamp in stamps.items()
        if key.startswith("train/") and key.count("/") >= 2 and is_image_name(key)
    ]
    if not train:
        raise DataError(f"data: no train/<wnid>/images in {shown}, expected Tiny ImageNet's official layout")
    classes = {item.class_id for item in train}
    sentence = f"Tiny ImageNet (Le and Yang 2015) from {shown}; its labelled val is the test set"
    items = train + _validation(tree, stamps, shown)
    # The layout's own texts (boxes, annotations) and its unlabelled test/ are no oversight of anyone's.
    strange = [key for key in stamps if key.startswith(("train/", "val/")) and not key.endswith(".txt")]
    return Listing(
        items, tree, tree.place, sentence,
        names=_names(tree, stamps, classes), ignored_files=count_ignored(strange),
    )  # fmt: skip


def _validation(tree: Tree, stamps: Mapping[str, str], shown: str) -> list[Item]:
    """Read the official validation images, which lie flat, through their annotations."""
    if _ANNOTATIONS not in stamps:
        raise DataError(f"data: no {_ANNOTATIONS} in {shown}, expected Tiny ImageNet's official layout")
    there = {key for key in stamps if key.startswith("val/") and is_image_name(key)}
    items, missing = [], []
    for number, line in enumerate(_lines(tree, _ANNOTATIONS), start=1):
        name, _, rest = line.partition("\t")
        class_id = rest.split("\t")[0]
        if not class_id:
            raise DataError(f"{_ANNOTATIONS}, line {number}: got '{line}', expected a file, a tab and a wnid")
        key = next((key for key in (f"val/images/{name}", f"val/{name}") if key in there), None)
        if key is None:
            missing.append(f"line {number}: no image val/images/{name} in {shown}")
        else:
            items.append(Item(key, class_id, "test", stamps[key]))
    _refuse_other_images(len(items) + len(missing), missing, there - {item.key for item in items}, shown)
    return items


def _refuse_other_images(listed: int, missing: list[str], unlisted: set[str], shown: str) -> None:
    """Refuse annotations that are cut, or of other images than those that are there."""
    if missing:
        raise DataError(f"{_ANNOTATIONS}, {missing[0]}; {len(missing)} of the {listed} listed are missing")
    if unlisted:
        there = listed + len(unlisted)
        raise DataError(
            f"data: {_ANNOTATIONS} lists {listed} images, but {there} lie below val/ in {shown} "
            f"({min(unlisted)} is not listed), expected every one"
        )


def _names(tree: Tree, stamps: Mapping[str, str], classes: set[str]) -> dict[str, str]:
    """Read the first synonym of every class."""
    if "words.txt" not in stamps:
        return {}
    names = {}
    for line in _lines(tree, "words.txt"):
        class_id, _, words = line.partition("\t")
        if class_id in classes:
            names[class_id] = words.split(",")[0].strip()
    return names


def _lines(tree: Tree, key: str) -> list[str]:
    try:
        text = tree.read(key).decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{key} is not a text file in UTF-8") from None
    except OSError as error:
        raise DataError(f"{key} in {tree.place} cannot be read ({error.strerror or error})") from None
    return [line for line in text.splitlines() if line.strip()]
