"""Numbers become pixels by one rule, which is learned once."""

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler

from bakeoff.data.pixels import Reading, Scale, in_shape, learn_reading, learn_scale, shape_of
from bakeoff.errors import ConfigError


def numbers(*shape, low=0.0, high=1.0, seed=0):
    return np.random.default_rng(seed).uniform(low, high, shape)


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        (numbers(5, 4, 4), 0, 1),  # fractions, whatever the smallest and the largest are
        (np.uint8([[[3, 9]]]), 0, 255),  # bytes, likewise
        (np.array([[2.0, 16.0]]), 2, 16),
        (np.array([[-1.0, 0.5]]), -1, 0.5),
        (np.array([[7, 7]]), 7, 8),
        (np.array([[True, False]]), 0, 1),
    ],
)
def test_black_and_white_are_learned(values, low, high):
    scale = learn_scale(values)
    assert (float(scale.low), float(scale.high), scale.of_bytes) == (low, high, False)


def test_each_column_of_features_is_scaled_as_scikit_learn_scales_it():
    values_NF = numbers(2500, 3, low=-50, high=90) * [1, 10, 0] + [0, 5, 4]
    expected_NF = MinMaxScaler((0, 255)).fit_transform(values_NF)
    found_NF = learn_scale(values_NF, each_column=True).to_bytes(values_NF)
    assert found_NF.dtype == np.uint8
    assert np.abs(found_NF - expected_NF).max() <= 0.5 + 1e-9
    assert set(np.unique(found_NF[:, 2])) == {0}


def test_what_lies_outside_becomes_black_or_white():
    scale = Scale(np.array(-1.0), np.array(1.0))
    assert scale.to_bytes(np.float32([[-9, -1, 0, 1, 9]])).tolist() == [[0, 0, 128, 255, 255]]


def test_numbers_on_another_scale_are_refused_in_one_line():
    pixels = np.uint8([[0, 200]])
    with pytest.raises(ConfigError, match=r"got bytes \(uint8\), but fit saw numbers from 0 to 16"):
        learn_scale(np.array([[0.0, 16.0]])).to_bytes(pixels)
    with pytest.raises(ConfigError, match="got numbers from 0 to 1, but fit saw numbers up to 255"):
        learn_scale(pixels).to_bytes(np.array([[0.0, 0.9]]))
    assert learn_scale(np.array([[0.0, 0.9]])).to_bytes(pixels) is pixels
    assert learn_scale(pixels).to_bytes(np.array([[0.0, 0.0]])).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("shape", "asked", "expected"),
    [
        ((2, 64), None, (8, 8, 1)),
        ((2, 24), (4, 6), (4, 6, 1)),
        ((2, 24), [2, 4, 3], (2, 4, 3)),
        ((2, 1), "square", (1, 1, 1)),
        ((2, 10), "square", (4, 4, 1)),
        ((2, 5, 7), None, (5, 7, 1)),
        ((2, 5, 7, 3), None, (5, 7, 3)),
    ],
)
def test_the_shape_of_images_is_found(shape, asked, expected):
    assert shape_of(np.zeros(shape), asked) == expected


@pytest.mark.parametrize("asked", [None, (3, 4), (2, 2, 2, 3), (5, 2, 2), (20,), "wide", ()])
def test_rows_that_fit_no_image_are_refused(asked):
    with pytest.raises(ConfigError, match=r"^image_shape: "):
        shape_of(np.zeros((2, 20)), asked)


def test_rows_are_laid_out_row_by_row_with_channels_last():
    images_NHWC = np.random.default_rng(0).integers(0, 256, (3, 4, 8, 3), dtype=np.uint8)
    reading = learn_reading(images_NHWC.reshape(3, -1), (4, 8, 3))
    assert np.array_equal(reading.images(images_NHWC.reshape(3, -1)), images_NHWC)
    assert np.array_equal(reading.images(images_NHWC), images_NHWC)
    assert in_shape(np.uint8([[1, 2, 3]]), (2, 2, 1))[..., 0].tolist() == [[[1, 2], [3, 0]]]


def test_a_named_range_holds_for_bytes_too():
    values_NF = np.uint8([[0, 8, 16, 4]])
    assert learn_reading(values_NF, None, (0, 16)).images(values_NF).ravel().tolist() == [0, 128, 255, 64]
    with pytest.raises(ConfigError, match=r"value_range: got \(5, 5\)"):
        learn_reading(values_NF, None, (5, 5))


def test_who_saw_pictures_takes_bytes_alone():
    images_NHW = np.zeros((2, 4, 8), np.uint8)
    assert Reading().images(images_NHW).shape == (2, 4, 8, 1)
    with pytest.raises(ConfigError, match="got float64, but fit saw pictures"):
        Reading().images(images_NHW.astype(float))
    with pytest.raises(ConfigError, match="got rows, but fit saw pictures"):
        Reading().images(images_NHW.reshape(2, -1))
