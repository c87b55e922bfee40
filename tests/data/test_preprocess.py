"""From bytes to the numbers a network takes."""

import numpy as np
import pytest
import torch
from PIL import Image

from bakeoff.data import preprocess
from bakeoff.data.preprocess import Preprocess, channel_statistics

MEAN, STD = (10.0, 100.0, 200.0), (5.0, 50.0, 25.0)


def _bytes(count, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def test_statistics_are_those_of_all_pixels_of_the_training_images_only():
    images_NHWC = _bytes(2500, 4, 8)
    images_NHWC[..., 1] //= 3
    images_NHWC[1::2] = 255
    index = np.arange(0, 2500, 2)
    mean, std = channel_statistics(images_NHWC, index)
    values = images_NHWC[index].astype(np.float64)
    np.testing.assert_allclose(mean, values.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, values.std(axis=(0, 1, 2)), rtol=1e-9)
    assert all(type(value) is float for value in (*mean, *std))


def test_a_channel_without_variation_keeps_its_scale():
    images_NHWC = _bytes(5, 4, 8)
    images_NHWC[..., 2] = 7
    mean, std = channel_statistics(images_NHWC, np.arange(5))
    assert mean[2] == 7
    assert std[2] == 1


def test_of_many_images_an_evenly_spaced_sample_is_measured(monkeypatch):
    monkeypatch.setattr(preprocess, "SAMPLE", 5)
    images_NHWC = np.zeros((101, 1, 1, 3), np.uint8) + np.arange(101, dtype=np.uint8)[:, None, None, None]
    mean, std = channel_statistics(images_NHWC, np.arange(101))
    assert mean == (50.0,) * 3  # of 0, 25, 50, 75 and 100
    np.testing.assert_allclose(std, np.std([0, 25, 50, 75, 100]))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_every_channel_loses_its_mean_and_is_divided_by_its_deviation(dtype):
    images_BHWC = _bytes(2, 8, 8)
    out_BCHW = Preprocess(MEAN, STD, 8)(torch.from_numpy(images_BHWC).to(dtype))
    expected = (images_BHWC.astype(np.float64) - MEAN) / STD
    np.testing.assert_allclose(out_BCHW.numpy(), expected.transpose(0, 3, 1, 2), rtol=1e-5, atol=1e-5)
    assert out_BCHW.dtype == torch.float32


@pytest.mark.parametrize("shape", [(8, 8), (4, 8)])
def test_the_numbers_are_channels_last_in_memory(shape):
    out_BCHW = Preprocess(MEAN, STD, 8)(torch.from_numpy(_bytes(2, *shape)))
    assert out_BCHW.shape == (2, 3, 8, 8)
    assert out_BCHW.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("height", "width", "size"), [(16, 16, 8), (8, 16, 5), (4, 8, 12)])
def test_images_of_another_size_are_resized_as_pillow_does(height, width, size, interpolation):
    images_BHWC = _bytes(1, height, width)
    method = Image.Resampling[interpolation.upper() if min(height, width) > size else "BILINEAR"]
    module = Preprocess((0.0,) * 3, (1.0,) * 3, size, interpolation)
    in_bytes_CHW = module(torch.from_numpy(images_BHWC))[0].numpy()
    in_floats_CHW = module(torch.from_numpy(images_BHWC).float())[0].numpy()
    expected_HWC = np.asarray(Image.fromarray(images_BHWC[0]).resize((size, size), method))
    np.testing.assert_allclose(in_bytes_CHW.transpose(1, 2, 0), expected_HWC, atol=1)
    np.testing.assert_array_equal(in_bytes_CHW, in_bytes_CHW.round())
    for channel in range(3):
        picture = Image.fromarray(images_BHWC[0, :, :, channel].astype(np.float32))
        resized = np.asarray(picture.resize((size, size), method)).clip(0, 255)
        np.testing.assert_allclose(in_floats_CHW[channel], resized, atol=1e-3)


def test_bicubic_curves_do_not_leave_the_range_of_bytes():
    images_BHWC = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    images_BHWC[:, :, 13:] = 255
    for given in (images_BHWC, images_BHWC.float()):
        out = Preprocess((0.0,) * 3, (1.0,) * 3, 24, "bicubic")(given)
        assert (float(out.min()), float(out.max())) == (0, 255)


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (4, 6), (1, 1)])
def test_however_images_lie_in_memory_the_numbers_are_those_of_the_formula(images, height, width):
    module = Preprocess(MEAN, STD, 8)
    given_BHWC = torch.from_numpy(_bytes(images, height, width))
    given_BCHW = given_BHWC.permute(0, 3, 1, 2)
    made = given_BCHW if (height, width) == (8, 8) else module._resized(given_BCHW)
    expected = (made.float() - module.mean) * module.scale
    planes_BHWC = given_BCHW.contiguous().permute(0, 2, 3, 1)  # as a scheme of whole channels has them
    for way in (given_BHWC, planes_BHWC):
        assert torch.equal(module(way), expected)


def test_preprocessing_ships_with_the_weights_and_is_not_trained():
    module = Preprocess(MEAN, STD, 8)
    assert set(module.state_dict()) == {"mean", "scale"}
    assert list(module.parameters()) == []
