"""Class folders: the folder's name is the class, with or without split folders above.

    cats/1.jpg, dogs/2.jpg                      no split: bakeoff cuts one
    train/cats/1.jpg, test/cats/9.jpg           the source's own split
    train/..., val/... or valid/..., test/...   likewise, with validation

Images may lie deeper than their class folder. It is a layout with splits only when
every folder with images is called so: a class may be named "train" beside "bus".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bakeoff.data.archive import open_tree
from bakeoff.data.source import SPLIT_FOLDERS, Item, Listing, Opening, is_image_name
from bakeoff.data.tree import Tree, unwrapped
from bakeoff.errors import DataError


def open_folders(path: Path, opening: Opening) -> Listing:
    """List a folder or an archive of class folders; DataError when there are none."""
    tree, stamps = unwrapped(open_tree(path, opening))
    return list_folders(tree, stamps, f"class folders in {path}")


def list_folders(tree: Tree, stamps: Mapping[str, str], sentence: str) -> Listing:
    """List the class folders among a tree's files.

    Args:
        tree: Where the files are.
        stamps: Its files, as listed.
        sentence: What people read about this source.

    Returns:
        The images that lie in a class folder.

    Raises:
        DataError: There are no images, or no class folders.
    """
    keys = [key for key in stamps if is_image_name(key)]
    if not keys:
        raise DataError(f"data: no images in {tree.place}, expected class folders such as cat/1.jpg")
    split = _is_split({key.split("/")[0] for key in keys if "/" in key})
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
    return Listing(items, tree, tree.place, sentence, ignored=ignored)


def _is_split(folders: set[str]) -> bool:
    """Tell split folders from class folders: all are called so, and one is for training."""
    parts = [SPLIT_FOLDERS.get(folder.lower()) for folder in folders]
    return "train" in parts and None not in parts
