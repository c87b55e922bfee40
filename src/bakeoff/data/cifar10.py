"""CIFAR-10: ten classes, 32x32, 50,000 training and 10,000 test images.

Read from its official Python archive, packed or unpacked (pickled arrays, of which
only arrays and plain values are accepted), or from class folders below `train/` and
`test/`. Without an official validation part, one is held out from training.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bakeoff.data.archive import open_tree
from bakeoff.data.embedded import ArrayReader
from bakeoff.data.folders import list_folders
from bakeoff.data.source import Item, Listing, Opening
from bakeoff.data.tree import Tree, unwrapped
from bakeoff.errors import DataError
from bakeoff.spec.task import Part

_BATCHES: Mapping[str, Part] = {
    **{f"data_batch_{number}": "train" for number in range(1, 6)},
    "test_batch": "test",
}
_META = "batches.meta"


def is_cifar10(stamps: Mapping[str, str]) -> bool:
    """Recognise the official archive by its first batch."""
    return "data_batch_1" in stamps


def open_cifar10(path: Path, opening: Opening) -> Listing:
    """List CIFAR-10 from its archive, its unpacked archive, or class folders.

    Args:
        path: Where it lies.
        opening: Where the archive may be unpacked.

    Returns:
        All 60,000 images.

    Raises:
        DataError: A batch is missing or is not what it should be.
    """
    tree, stamps = unwrapped(open_tree(path, opening), is_cifar10)
    if is_cifar10(stamps):
        return list_cifar10(tree, stamps, str(path))
    return list_folders(tree, stamps, f"CIFAR-10 (Krizhevsky 2009) as class folders in {path}")


def list_cifar10(tree: Tree, stamps: Mapping[str, str], shown: str) -> Listing:
    """List the batches of the official archive; they are read whole, 31 MB each.

    Args:
        tree: Where the batches are.
        stamps: Its files, as listed.
        shown: The path as the user gave it, for messages.

    Returns:
        All 60,000 images, in memory.

    Raises:
        DataError: A batch is missing or is not what it should be.
    """
    for name in (*_BATCHES, _META):
        if name not in stamps:
            raise DataError(f"data: {name} is missing in {shown}, expected CIFAR-10's official archive")
    names = [name.decode() for name in _loaded(tree, _META)[b"label_names"]]
    items, arrays = [], []
    rows: dict[str, int] = {}
    for batch, part in _BATCHES.items():
        images_NHWC, labels = _batch(tree, batch)
        for row, label in enumerate(labels):
            key = f"{batch}/{row:05d}"
            rows[key] = len(rows)
            items.append(Item(key, names[label], part, stamps[batch]))
        arrays.append(images_NHWC)
    sentence = f"CIFAR-10 (Krizhevsky 2009) from {shown}"
    return Listing(items, ArrayReader(np.concatenate(arrays), rows), tree.place, sentence)


def _batch(tree: Tree, name: str) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], list[int]]:
    """Return a batch's images, of shape (N, 32, 32, 3), and its labels."""
    content = _loaded(tree, name)
    try:
        planes_NCHW = np.asarray(content[b"data"], dtype=np.uint8).reshape(-1, 3, 32, 32)
        labels = [int(label) for label in content[b"labels"]]
    except (KeyError, TypeError, ValueError):
        raise DataError(f"data: {name} in {tree.place} holds no CIFAR-10 images") from None
    if len(labels) != len(planes_NCHW):
        raise DataError(f"data: {name} in {tree.place} has {len(labels)} labels, {len(planes_NCHW)} images")
    return np.ascontiguousarray(planes_NCHW.transpose(0, 2, 3, 1)), labels


def _loaded(tree: Tree, name: str) -> dict[bytes, Any]:
    try:
        content = _ArraysOnly(io.BytesIO(tree.read(name)), encoding="bytes").load()
    except (pickle.UnpicklingError, EOFError, ValueError, OSError, AttributeError, IndexError) as error:
        raise DataError(f"data: {name} in {tree.place} cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise DataError(f"data: {name} in {tree.place} holds no table of images and labels")
    return content


class _ArraysOnly(pickle.Unpickler):
    """Unpickles arrays and plain values; a pickle may otherwise run any code it likes."""

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the three names that an array's pickle needs.

        Args:
            module: Where the pickle looks for it.
            name: What it is called there.

        Returns:
            A constructor that runs nothing else.

        Raises:
            UnpicklingError: The pickle asks for anything else.
        """
        rebuild = np.zeros(1).__reduce__()[0]  # its module was renamed in NumPy 2
        allowed = {"ndarray": np.ndarray, "dtype": np.dtype, "_reconstruct": rebuild}
        if module.split(".")[0] == "numpy" and name in allowed:
            return allowed[name]
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes in the old protocols
            return _encode
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _encode(text: str, encoding: str) -> bytes:
    return text.encode(encoding)
