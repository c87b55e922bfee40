"""Whatever computes, pictures come in and names come out in one way."""

from pathlib import Path

import layouts
import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

from bakeoff.data.predictor import Ensemble, Predictor, Uncalibrated, best
from bakeoff.errors import ConfigError, DataError


class ByColour(Predictor):
    """Sees nothing but how red, green and blue an image is."""

    def __init__(self, sharpness=0.05, size=6):
        super().__init__(["red", "green", "blue"], size, "crop")
        self.sharpness = sharpness
        self.shapes = []

    def score(self, images_NHWC):
        self.shapes.append(images_NHWC.shape)
        return softmax(self.sharpness * images_NHWC.mean(axis=(1, 2)), axis=1).astype(np.float32)


def coloured(red, green, blue):
    return np.full((8, 4, 3), [red, green, blue], np.uint8)


def test_the_likeliest_classes_come_best_first_with_their_probabilities():
    ((first, second),) = ByColour().top(coloured(10, 200, 100), k=2)
    assert (first[0], second[0]) == ("green", "blue")
    assert first[1] > second[1] > 0
    assert len(ByColour().top(coloured(1, 2, 3), k=9)[0]) == 3


def test_of_equal_probabilities_the_earlier_class_comes_first():
    assert best(["a", "b", "c"], np.float32([0.2, 0.4, 0.4]), 3)[0] == ("b", pytest.approx(0.4))


def test_many_images_are_scored_in_batches_of_one_size():
    model = ByColour()
    assert model.probabilities(coloured(i, 0, 0) for i in range(130)).shape == (130, 3)
    assert model.shapes == [(128, 6, 6, 3), (2, 6, 6, 3)]


def test_a_stream_names_every_file_once_and_keeps_the_reason_of_those_it_cannot_read(tmp_path):
    for number in range(3):
        layouts.save(tmp_path / f"{number}.png", coloured(*np.roll([200, 9, 9], number)))
    (tmp_path / "1b.png").write_text("no image")
    found = list(ByColour().stream(sorted(tmp_path.iterdir()), 1))
    assert [one.top[0][0] for one in found if not one.reason] == ["red", "green", "blue"]
    assert [(one.file.name, one.reason, one.top) for one in found if one.reason] == [
        ("1b.png", "not an image", ())
    ]


def test_a_stream_of_nothing_but_broken_files_is_no_error(tmp_path):
    assert [one.reason for one in ByColour().stream([tmp_path / "gone.png"])] != [""]


def test_an_ensemble_averages_probabilities():
    one, other = ByColour(0.01), ByColour(0.2)
    image = coloured(50, 60, 100)
    expected = (one.probabilities(image).astype(float) + other.probabilities(image)) / 2
    np.testing.assert_allclose(Ensemble([one, other]).probabilities(image), expected, atol=1e-7)


def test_an_ensemble_of_nothing_or_of_other_tasks_is_refused():
    with pytest.raises(ConfigError, match="at least one"):
        Ensemble([])
    with pytest.raises(ConfigError, match="expected those of one"):
        Ensemble([ByColour(), ByColour(size=7)])


def test_a_temperature_is_undone():
    cold, warm = ByColour(0.1), ByColour(0.05)  # twice the temperature
    image = coloured(10, 30, 20)
    np.testing.assert_allclose(
        Uncalibrated(warm, 2.0).probabilities(image), cold.probabilities(image), atol=1e-6
    )


def test_a_path_is_a_path_however_it_is_given(tmp_path):
    layouts.save(tmp_path / "x.png", coloured(200, 0, 0))
    assert (
        ByColour().predict(str(tmp_path / "x.png"))
        == ByColour().predict([Path(tmp_path / "x.png")])
        == ["red"]
    )


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_an_array_is_drawn_as_a_file_of_the_same_pixels_is(mode, tmp_path):
    bytes_HWC = np.random.default_rng(0).integers(0, 256, (9, 14, 4), dtype=np.uint8)
    array = bytes_HWC[..., 0] if mode == "L" else bytes_HWC[..., : len(mode)]
    Image.fromarray(array).save(tmp_path / "x.png")
    model = ByColour()
    assert np.array_equal(model.drawn(array), model.drawn(tmp_path / "x.png"))
    assert len(model.predict(array)) == 1


def test_an_image_that_was_only_opened_and_is_truncated_is_one_line(tmp_path):
    layouts.save(tmp_path / "x.png", layouts.picture(0, 0))
    (tmp_path / "x.png").write_bytes((tmp_path / "x.png").read_bytes()[:60])
    with (
        Image.open(tmp_path / "x.png") as image,
        pytest.raises(DataError, match=r"images: unreadable \(.*truncated\), expected a whole image"),
    ):
        ByColour().predict(image)


@pytest.mark.parametrize(
    "given",
    [
        b"bytes of a file",
        None,
        [None],
        np.zeros((2, 5, 7), np.uint8),
        np.zeros((5, 7, 3)),
        [list(range(999))],
    ],
)
def test_what_is_no_picture_is_refused_in_one_short_line(given):
    with pytest.raises(ConfigError, match=r"^images: got .*, expected ") as caught:
        ByColour().predict(given)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 140


def test_no_classes_cannot_be_asked_for():
    with pytest.raises(ConfigError, match="k: got 0, expected at least 1"):
        ByColour().top(coloured(1, 2, 3), k=0)
