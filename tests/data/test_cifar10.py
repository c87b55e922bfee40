from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path

import layouts
import numpy as np
import pytest
from PIL import Image

from bakeoff.data.cifar10 import open_cifar10
from bakeoff.data.source import Opening
from bakeoff.errors import DataError


def test_planes_become_pixels(tmp_path: Path, opening: Opening) -> None:
    listing = open_cifar10(layouts.cifar10_batches(tmp_path), opening)
    image = listing.reader.read("data_batch_2/00003")
    assert isinstance(image, Image.Image)
    assert np.array_equal(np.asarray(image), layouts.picture(3, 103, 32, 32))


def test_every_batch_is_listed_in_its_part(tmp_path: Path, opening: Opening) -> None:
    listing = open_cifar10(layouts.cifar10_archive(tmp_path), opening)
    assert Counter(item.split for item in listing.items) == {"train": 100, "test": 20}
    assert sorted({item.class_id for item in listing.items}) == sorted(layouts.CIFAR)


def test_a_missing_batch_is_named(tmp_path: Path, opening: Opening) -> None:
    layouts.cifar10_batches(tmp_path)
    (tmp_path / "cifar-10-batches-py" / "data_batch_4").unlink()
    with pytest.raises(DataError, match="data_batch_4 is missing"):
        open_cifar10(tmp_path, opening)


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("this must never run",))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pickle.dumps(Harmful()), "asks for builtins.print"),
        (b"no pickle", "cannot be read"),
        (pickle.dumps([1]), "holds no table"),
        (pickle.dumps({b"data": np.zeros((2, 7), np.uint8), b"labels": [0, 1]}), "holds no CIFAR-10 images"),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]}), "has 1 labels, 2 images"),
    ],
    ids=["code", "garbage", "list", "other images", "labels missing"],
)
def test_a_batch_that_is_something_else_is_refused(
    content: bytes, reason: str, tmp_path: Path, opening: Opening, capsys: pytest.CaptureFixture[str]
) -> None:
    layouts.cifar10_batches(tmp_path)
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(content)
    with pytest.raises(DataError, match=reason):
        open_cifar10(tmp_path, opening)
    assert capsys.readouterr().out == ""
