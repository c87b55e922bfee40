"""Images that a program holds are read and drawn as those of files."""

import layouts
import numpy as np
import pytest
from PIL import Image

from bakeoff.data import workers
from bakeoff.data.decode import load_image
from bakeoff.data.given import given_array, given_pictures
from bakeoff.data.prepare import prepare_listing
from bakeoff.errors import ConfigError, DataError
from bakeoff.spec import TaskSpec


@pytest.fixture
def files(class_folders):
    return sorted(class_folders.rglob("*.png"))


def test_paths_images_and_arrays_are_drawn_as_files_are(files):
    expected_NHWC = np.stack([load_image(file, 9) for file in files])
    images = [Image.open(file) for file in files]
    pixels_NHWC = np.stack([np.asarray(image.convert("RGB")) for image in images])
    mixed = [files[0], str(files[1]), images[2], *pixels_NHWC[3:]]
    for given in (
        given_pictures(files),
        given_pictures(images),
        given_array(pixels_NHWC),
        given_pictures(mixed),
    ):
        assert np.array_equal(given.drawn(0, 99, 9, "crop"), expected_NHWC)
        assert np.array_equal(given.drawn(5, 9, 9, "crop"), expected_NHWC[5:9])


def test_many_files_are_read_by_other_processes(files, monkeypatch):
    expected_NHWC = given_pictures(files).drawn(0, 36, 9, "crop")
    monkeypatch.setattr(workers, "WORTHWHILE", 10)
    monkeypatch.setattr("bakeoff.data.given.usable_cores", lambda: 2)
    asked = []
    monkeypatch.setattr(workers, "_child", lambda real=workers._child: (asked.append(1), real())[1])
    assert np.array_equal(given_pictures(files).drawn(0, 36, 9, "crop"), expected_NHWC)
    assert asked


def test_a_wide_grey_image_is_neither_turned_nor_coloured():
    images_NHWC = np.arange(2 * 4 * 8, dtype=np.uint8).reshape(2, 4, 8, 1)
    drawn_NHWC = given_array(images_NHWC).drawn(0, 2, 4, "crop")
    assert np.array_equal(drawn_NHWC, images_NHWC[:, :, 2:6].repeat(3, axis=3))
    assert np.array_equal(given_pictures(list(images_NHWC[..., 0])).drawn(0, 2, 4, "crop"), drawn_NHWC)


def test_a_listing_is_prepared_with_labels_in_their_places_and_nothing_to_test(files, tmp_path):
    given = given_pictures(files[::-1])
    listing = given.listing([file.parent.name for file in files[::-1]])
    task = TaskSpec(name="t", data="memory", image_size=12)
    data = prepare_listing(task, listing, cache_dir=tmp_path, tested=False)
    assert data.class_ids == list(layouts.CLASSES)
    assert [layouts.label_of(image) for image in data.images_NHWC] == data.labels_N.tolist()
    assert (len(data.train), len(data.validation), len(data.test)) == (33, 3, 0)
    assert data.source == "36 images given by a program"


def test_the_same_picture_may_come_twice(files, tmp_path):
    given = given_pictures([files[0], files[0], files[-1], files[-1]])
    task = TaskSpec(name="t", data="memory", image_size=12)
    data = prepare_listing(task, given.listing(["a", "a", "b", "b"]), cache_dir=tmp_path, tested=False)
    assert len(data.labels_N) == 4
    assert data.leaks()["train-validation"] == 2


def test_what_cannot_be_read_is_named_with_its_place(files, tmp_path):
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(DataError, match=r"^X\[2\]: .*a\.png: not an image$"):
        given_pictures([*files[:2], tmp_path / "a.png"]).drawn(1, 3, 9, "crop")
    with pytest.raises(DataError, match=r"^X\[0\]: .*gone\.png: unreadable \(No such file or directory\)$"):
        given_pictures([tmp_path / "gone.png"]).drawn(0, 1, 9, "crop")


@pytest.mark.parametrize(
    "picture", [5, None, np.zeros((4, 4)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4), np.uint8), b"GIF"]
)
def test_what_is_no_picture_is_refused_with_its_place(files, picture):
    with pytest.raises(ConfigError, match=r"^X\[1\]: got "):
        given_pictures([files[0], picture])
