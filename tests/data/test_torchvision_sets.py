from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import layouts
import numpy as np
import pytest
import torchvision
from PIL import Image

from bakeoff.data.source import Opening
from bakeoff.data.torchvision_sets import open_torchvision
from bakeoff.errors import DataError, ResourceError, UnknownNameError


class Pets:
    """A dataset as torchvision builds them: parts by `split`, names as tuples, files or RuntimeError."""

    classes = (("cat", "felis"), ("dog", "canis"))
    parts = ("trainval", "test")

    def __init__(self, root: str, split: str = "trainval", download: bool = False) -> None:
        if split not in self.parts:
            raise ValueError(f"Unknown value '{split}' for argument split")
        if download:
            (Path(root) / "files").mkdir(parents=True)
        if not (Path(root) / "files").is_dir():
            raise RuntimeError("Dataset not found. You can use download=True to download it")
        self._labels = [0, 1] * (6 if split == "trainval" else 2)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        return Image.fromarray(layouts.picture(self._labels[row], row)), self._labels[row]


@pytest.fixture
def pets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets, "Pets", Pets, raising=False)
    monkeypatch.setattr(torchvision.datasets, "__all__", (*torchvision.datasets.__all__, "Pets"))


def test_fake_data_is_listed_without_files_or_parts(opening: Opening) -> None:
    listing = open_torchvision("FakeData", None, opening)
    expected = torchvision.datasets.FakeData()
    assert len(listing.items) == 1000
    assert {item.split for item in listing.items} == {None}
    assert listing.items[3].class_id == str(expected[3][1])
    assert np.array_equal(np.asarray(listing.reader.read("all/0000003")), np.asarray(expected[3][0]))


def test_parts_and_names_are_the_datasets_own(tmp_path: Path, opening: Opening) -> None:
    listing = open_torchvision("FashionMNIST", layouts.fashion_mnist(tmp_path), opening)
    assert Counter(item.split for item in listing.items) == {"train": 60, "test": 20}
    assert listing.items[9].class_id == "Ankle boot"


@pytest.mark.usefixtures("pets")
def test_training_images_may_be_called_trainval(tmp_path: Path, opening: Opening) -> None:
    (tmp_path / "files").mkdir()
    listing = open_torchvision("Pets", tmp_path, opening)
    assert Counter(item.split for item in listing.items) == {"train": 12, "test": 4}
    assert {item.class_id for item in listing.items} == {"cat, felis", "dog, canis"}


@pytest.mark.usefixtures("pets")
def test_missing_files_are_downloaded_only_when_that_is_allowed(tmp_path: Path, opening: Opening) -> None:
    with pytest.raises(ResourceError, match=f":Pets is not in {opening.data_dir}/torchvision/Pets;"):
        open_torchvision("Pets", None, opening)
    allowed = Opening(opening.cache_dir, opening.data_dir, True, opening.progress)
    assert len(open_torchvision("Pets", None, allowed).items) == 16
    assert (opening.data_dir / "torchvision" / "Pets" / "files").is_dir()


@pytest.mark.usefixtures("pets")
def test_a_download_that_fails_says_where_to_put_the_files(
    tmp_path: Path, opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = Pets.__init__

    def offline(self: Pets, *arguments: Any, download: bool = False, **more: Any) -> None:
        if download:
            raise OSError("name resolution failed")
        inner(self, *arguments, **more)

    offline.__signature__ = __import__("inspect").signature(inner)  # type: ignore[attr-defined]
    monkeypatch.setattr(Pets, "__init__", offline)
    allowed = Opening(opening.cache_dir, opening.data_dir, True, opening.progress)
    with pytest.raises(ResourceError, match=r"be downloaded \(name resolution failed\); put its files into"):
        open_torchvision("Pets", tmp_path / "new", allowed)


@pytest.mark.usefixtures("pets")
def test_a_dataset_without_a_known_training_part_is_refused(
    tmp_path: Path, opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pets, "parts", ("test",))
    (tmp_path / "files").mkdir()
    with pytest.raises(DataError, match="torchvision:Pets has no training part"):
        open_torchvision("Pets", tmp_path, opening)


@pytest.mark.usefixtures("pets")
def test_a_dataset_of_something_else_than_classes_is_refused(
    tmp_path: Path, opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pets, "__getitem__", lambda self, row: (None, {"boxes": []}))
    monkeypatch.setattr(Pets, "__len__", lambda self: 3)
    (tmp_path / "files").mkdir()
    with pytest.raises(DataError, match="torchvision:Pets has no class per image"):
        open_torchvision("Pets", tmp_path, opening)


def test_an_unknown_dataset_suggests_the_nearest(opening: Opening) -> None:
    with pytest.raises(UnknownNameError, match="torchvision has no dataset 'SVNH'; did you mean 'SVHN'"):
        open_torchvision("SVNH", None, opening)
