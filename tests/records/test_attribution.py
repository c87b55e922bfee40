from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bakeoff.errors import StudyError
from bakeoff.records import Attributions, Explanation, ShownImage, StudyFolder
from bakeoff.records.atomic import read_arrays, write_arrays
from bakeoff.records.attribution import in_bytes

KEPT = Attributions(
    images=(
        ShownImage(index=7, label=1, kind="right", right=2, candidates=2),
        ShownImage(index=9, label=0, kind="wrong", right=0, candidates=2),
    ),
    candidates=(
        Explanation(candidate="lost", seed=1, identity="c", note="its weights are gone"),
        Explanation(
            candidate="a net", seed=0, identity="a", method="Grad-CAM", layer="conv5", note="",
            classes=[1, 2], probabilities=[1.0, 0.25],
        ),
    ),
    maps={"a net": np.arange(2 * 4 * 8, dtype=np.uint8).reshape(2, 4, 8)},
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    found = StudyFolder(tmp_path)
    found.write_attributions("5 classes", KEPT)
    return found


def test_heat_maps_come_back_as_they_were_written(folder: StudyFolder) -> None:
    found = folder.read_attributions("5 classes")
    assert found is not None
    assert (found.images, found.candidates) == (KEPT.images, KEPT.candidates)
    assert list(found.maps) == ["a net"]
    np.testing.assert_array_equal(found.maps["a net"], KEPT.maps["a net"])
    assert folder.read_attributions("another task") is None


def test_equal_heat_maps_are_equal_bytes(folder: StudyFolder) -> None:
    (file,) = folder.path.rglob("attributions.npz")
    before = file.read_bytes()
    folder.write_attributions("5 classes", KEPT)
    assert file.read_bytes() == before
    assert file == folder.path / "tasks" / "5-classes" / "attributions.npz"


@pytest.mark.parametrize(
    "maps_Nhw",
    [
        np.zeros((1, 4, 4), np.uint8),
        np.zeros((2, 4, 4)),
        np.zeros((2, 4), np.uint8),
        np.zeros((2, 0, 4), np.uint8),
    ],
)
def test_maps_that_are_not_one_for_each_image_are_refused(folder: StudyFolder, maps_Nhw: np.ndarray) -> None:
    folder.write_attributions("5 classes", replace(KEPT, maps={"a net": maps_Nhw}))
    with pytest.raises(StudyError, match=r"attributions\.npz does not hold heat maps: those of 'a net'"):
        folder.read_attributions("5 classes")


def test_a_damaged_file_says_what_is_wrong_with_it(folder: StudyFolder) -> None:
    (file,) = folder.path.rglob("attributions.npz")
    arrays = read_arrays(file, "heat maps") or {}
    text = arrays["about"].tobytes().replace(b'"kind":"wrong"', b'"kind":"odd!!"')
    write_arrays(file, {**arrays, "about": np.frombuffer(text, np.uint8)})
    with pytest.raises(StudyError, match=r"images\[2\]\.kind: got 'odd!!'"):
        folder.read_attributions("5 classes")
    write_arrays(file, {"maps_1": arrays["maps_1"]})
    with pytest.raises(StudyError, match="'about' is missing"):
        folder.read_attributions("5 classes")
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(StudyError, match="does not hold heat maps"):
        folder.read_attributions("5 classes")


def test_each_map_is_brought_to_bytes_by_its_own_strongest_place() -> None:
    maps_Nhw = np.array([[[0.0, 5.0], [2.5, 10.0]], [[0.0, 0.0], [0.0, 0.0]], [[0.2, 0.2], [0.2, 0.1]]])
    assert in_bytes(maps_Nhw).tolist() == [[[0, 128], [64, 255]], [[0, 0], [0, 0]], [[255, 255], [255, 128]]]
