"""What the tests of exported files share: a small study on class folders, and one file exported from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import small_study

from bakeoff.deploy.export import Exported
from bakeoff.records import StudyFolder
from bakeoff.use import export


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory, class_folders: Path) -> StudyFolder:
    """A study of two networks from a user's file, two seeds, on files of 12 pixels stored in 16."""
    values = small_study.study(
        seeds=[0, 1],
        recipe={"epochs": 6, "optimizer": {"name": "adam", "lr": 0.01}, "augmentation": {"crop": 1}},
        task=[{"name": "colours", "data": str(class_folders), "image_size": 16}],
        candidate=[
            {"name": "plain", "model": "net.py:plain"},
            {"name": "smaller", "model": "net.py:plain", "input_size": 8, "recipe": {"test_views": "mirror"}},
        ],
    )
    return small_study.train(tmp_path_factory.mktemp("colours"), values).folder


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, colours: StudyFolder) -> Exported:
    """The network of `plain`, seed 0, as ONNX, with a card and an index."""
    return export(
        colours.run("colours", "plain", 0).path, out=tmp_path_factory.mktemp("exported") / "colours.onnx",
        base_dir=colours.path.parent, index=True,
    )  # fmt: skip
