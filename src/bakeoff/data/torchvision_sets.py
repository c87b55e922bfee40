"""The classification datasets of torchvision, by the name of their class.

`torchvision:SVHN` and the like are read from (and, when allowed, downloaded to)
`torchvision/<name>` in the data folder. Their parts are asked for by the names that
torchvision uses: `train` as true or false, or `split` as a text.

torch and torchvision are imported only when such a source is opened.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from bakeoff.data.disk import disk_errors
from bakeoff.data.source import InMemory, Item, Listing, Opening
from bakeoff.data.tree import FolderTree
from bakeoff.errors import DataError, ResourceError, UnknownNameError, nearest
from bakeoff.spec.task import Part

PREFIX = "torchvision:"

Piece = tuple[Part | None, Any]  # and the dataset

# Texts for `split`, tried in this order; "trainval" only where there is no "train".
_TEXTS: tuple[tuple[str, Part], ...] = (
    ("train", "train"), ("val", "validation"), ("valid", "validation"), ("test", "test"),
)  # fmt: skip
_LABELS = ("targets", "labels", "_labels", "y", "_targets")  # attributes by which datasets call their labels
_EXTRA = {"EMNIST": {"split": "balanced"}}  # 47 classes of 3,000 images, as its authors recommend


class SetReader(InMemory):
    """Images of torchvision datasets, which decode for themselves."""

    def __init__(self, parts: Mapping[str, Any]) -> None:
        """Remember the datasets by the first part of their keys."""
        self.parts = parts

    def read(self, key: str) -> Image.Image:
        """Return one image; OSError when the dataset has something else."""
        part, row = key.split("/")
        image = self.parts[part][int(row)][0]
        if not isinstance(image, Image.Image):
            raise OSError(f"the dataset gives {type(image).__name__}, not an image")
        return image


def open_torchvision(name: str, given: Path | None, opening: Opening) -> Listing:
    """List one of torchvision's datasets.

    Args:
        name: Its class in `torchvision.datasets`.
        given: Its root folder, if the user named one.
        opening: Where data folders are, and whether downloads are allowed.

    Returns:
        Its images, which torchvision opens when they are decoded.

    Raises:
        DataError: The dataset is not one of classified images.
        ResourceError: Its files are missing and may not or cannot be downloaded.
        UnknownNameError: torchvision has no such dataset.
    """
    import torchvision

    known = [each for each in torchvision.datasets.__all__ if each not in ("ImageFolder", "DatasetFolder")]
    if name not in known:
        raise UnknownNameError(f"data: torchvision has no dataset '{name}'{nearest(name, known)}")
    root = given if given is not None else opening.data_dir / "torchvision" / name
    parts = _parts(name, getattr(torchvision.datasets, name), root, opening)
    stamp = _stamp(root)
    items: list[Item] = []
    for key, (part, dataset) in parts.items():
        labels = _labels(name, dataset)
        items += [Item(f"{key}/{row:07d}", label, part, stamp) for row, label in enumerate(labels)]
    reader = SetReader({key: dataset for key, (_, dataset) in parts.items()})
    place = f"torchvision {torchvision.__version__} {name} {root}"
    return Listing(items, reader, place, f"{name} of torchvision, in {root}")


def _parts(name: str, build: Callable[..., Any], root: Path, opening: Opening) -> dict[str, Piece]:
    """Build the parts that a dataset has, under the first part of their keys."""
    accepted = inspect.signature(build).parameters
    fixed: dict[str, Any] = dict(_EXTRA.get(name, {}))
    if "root" in accepted:
        fixed["root"] = str(root)

    def one(**more: Any) -> Any:
        return _built(name, build, {**fixed, **more}, "download" in accepted, root, opening)

    if "train" in accepted:
        return {"train": ("train", one(train=True)), "test": ("test", one(train=False))}
    if "split" not in accepted or "split" in fixed:
        return {"all": (None, one())}
    parts: dict[str, Piece] = {}
    for text, part in _TEXTS:
        dataset = one(split=text)
        if dataset is not None:
            parts[text] = (part, dataset)
    if "train" not in parts:
        parts["trainval"] = ("train", one(split="trainval"))
    if parts.get("trainval", (None, True))[1] is None:
        raise DataError(f"data: {PREFIX}{name} has no training part that bakeoff knows")
    return parts


def _built(
    name: str, build: Callable[..., Any], given: dict[str, Any], may_fetch: bool, root: Path, opening: Opening
) -> Any:
    """Build one part from its files, else by downloading it; None when there is no such part."""
    try:
        return build(**given)
    except ValueError:
        if "split" in given:
            return None
        raise
    except (RuntimeError, FileNotFoundError, OSError):
        pass  # its files are not there
    except Exception as error:  # a dataset may need packages or arguments of its own
        raise DataError(f"data: {PREFIX}{name} cannot be opened ({_short(error)})") from None
    if not (may_fetch and opening.download):
        raise ResourceError(f"data: {PREFIX}{name} is not in {root}; put it there, or allow the download")
    opening.progress(f"downloading {name}", 0, 1)
    try:
        with disk_errors(root):
            root.mkdir(parents=True, exist_ok=True)
            return build(**given, download=True)
    except (RuntimeError, OSError) as error:
        raise ResourceError(
            f"data: {PREFIX}{name} cannot be downloaded ({_short(error)}); put its files into {root} by hand"
        ) from None


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _stamp(root: Path) -> str:
    """Identify a dataset's files without reading them."""
    if not root.is_dir():
        return ""
    text = "\n".join(f"{key} {stamp}" for key, stamp in FolderTree(root).stamps().items())
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _labels(name: str, dataset: Any) -> list[str]:
    """Name every image's class: by the dataset's own names, else by its number."""
    values = next((v for v in (getattr(dataset, each, None) for each in _LABELS) if _fits(v, dataset)), None)
    if values is None:
        values = (dataset[row][1] for row in range(len(dataset)))  # reads every image, once
    numbers = _numbers(name, values)
    classes = getattr(dataset, "classes", None)
    if isinstance(classes, Sequence) and numbers and max(numbers) < len(classes):
        spelled = [", ".join(each) if isinstance(each, tuple) else str(each) for each in classes]
        if len(set(spelled)) == len(spelled):
            return [spelled[number] for number in numbers]
    width = len(str(max(numbers, default=0)))  # zeros in front keep the order of the numbers
    return [f"{number:0{width}d}" for number in numbers]


def _fits(values: Any, dataset: Any) -> bool:
    return values is not None and hasattr(values, "__len__") and len(values) == len(dataset)


def _numbers(name: str, values: Iterable[Any]) -> list[int]:
    try:
        return [int(value) for value in values]
    except (TypeError, ValueError):
        raise DataError(f"data: {PREFIX}{name} has no class per image, expected one that has") from None
