"""The real datasets, where this machine has them: BAKEOFF_TINY_IMAGENET and BAKEOFF_CIFAR10 say where."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bakeoff.data import TaskData, prepare
from bakeoff.data.locate import variable_of
from bakeoff.spec import TaskSpec


def real(name: str, cache_dir: Path, **task: object) -> TaskData:
    if not os.environ.get(variable_of(name)):
        pytest.skip(f"{variable_of(name)} does not say where {name} lies")
    spec = TaskSpec(name="t", data=name, **task)
    return prepare(spec, base_dir=Path("/"), cache_dir=cache_dir, download=False)


def test_five_classes_of_tiny_imagenet_are_those_of_the_original_study(tmp_path: Path) -> None:
    data = real("tiny-imagenet", tmp_path, classes=5, image_size=64)
    named = ["goldfish", "European fire salamander", "bullfrog", "tailed frog", "American alligator"]
    assert data.class_names == named
    assert (len(data.train), len(data.validation), len(data.test)) == (2250, 250, 250)
    assert all(data.keys[index].startswith("val/images/") for index in data.test)
    assert data.widths == data.heights == [64.0, 64.0, 64.0]


def test_cifar10_is_whole(tmp_path: Path) -> None:
    data = real("cifar10", tmp_path, image_size=32, classes=("cat", "dog"))
    assert (len(data.train), len(data.validation), len(data.test)) == (9000, 1000, 2000)
    assert data.unreadable == []
