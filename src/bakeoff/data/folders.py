"""Class folders: the folder's name is the class, with or without split folders above.

    cats/1.jpg, dogs/2.jpg                      no split: bakeoff cuts one
    train/cats/1.jpg, test/cats/9.jpg           the source's own split
    train/..., val/... or valid/..., test/...   likewise, with validation

Images may lie deeper than their class folder. It is a layout with splits only when
every folder with images is called so: a class may be named "train" beside "bus". Where
names and contents disagree about that, nothing is guessed and the layout is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bakeoff.data.source import SPLIT_FOLDERS, Item, Listing, count_ignored, first_few, is_image_name
from bakeoff.data.tree import Tree
from bakeoff.errors import DataError


def list_folders(tree: Tree, stamps: Mapping[str, str], sentence: str) -> Listing:
    """List the class folders among a tree's files.

    Args:
        tree: Where the files are.
        stamps: Its files, as listed.
        sentence: What people read about this source.

    Returns:
        The images that lie in a class folder.

    Raises:
        DataError: There are no images, or no class folders, or some folders look like
            a split's and others do not.
    """
    keys = [key for key in stamps if is_image_name(key)]
    if not keys:
        raise DataError(f"data: no images in {tree.place}, expected class folders such as cat/1.jpg")
    split = _is_split(keys, tree.place)
    depth = 2 if split else 1
    items, ignored = [], 0
    for key in keys:
        parts = key.split("/")
        if len(parts) <= depth:
            ignored += 1
            continue
        part = SPLIT_FOLDERS[parts[0].lower()] if split else None
        items.append(Item(key, parts[depth - 1], part, stamps[key]))
    if not items:
        raise DataError(f"data: {len(keys)} images in {tree.place} lie in no class folder like cat/1.jpg")
    others = count_ignored(stamps)
    return Listing(items, tree, tree.place, sentence, ignored=ignored, ignored_files=others)


def _is_split(keys: Sequence[str], place: str) -> bool:
    """Tell split folders from class folders: all are called so, and one is for training."""
    below: dict[str, set[str]] = {}  # the folders with images in every top folder
    for key in keys:
        top, *inner = key.split("/")[:-1] or [""]
        below.setdefault(top, set()).update(inner[:1])
    below.pop("", None)  # images beside the folders
    called = {top: SPLIT_FOLDERS[top.lower()] for top in below if top.lower() in SPLIT_FOLDERS}
    if "train" in called.values() and len(called) == len(below):
        return True
    if any(len(below[top]) >= 2 for top in called):  # classes, of which a class folder has none
        raise _half_split(called, sorted(below.keys() - called.keys()), place)
    return False


def _half_split(called: Mapping[str, str], others: Sequence[str], place: str) -> DataError:
    """Say which folders look like a split's, and what speaks against it."""
    like = sorted(called, key=lambda top: (tuple(SPLIT_FOLDERS.values()).index(called[top]), top))
    looks = "looks like a split folder" if len(like) == 1 else "look like split folders"
    against = f"{first_few(others)} {'does' if len(others) == 1 else 'do'} not" if others else "none is train"
    return DataError(
        f"data: {first_few(like)} {looks}, but {against} ({place}); "
        "expected only train, val, test, or class folders"
    )
