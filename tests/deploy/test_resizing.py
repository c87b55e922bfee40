"""The matrices give PyTorch's bytes to the last bit, whatever the sizes."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from bakeoff.deploy.resizing import byte_weights


def resized(values_HW, after, interpolation):
    """Resize columns, then rows, as the graph does."""
    for axis in (1, 0):
        weights = byte_weights(values_HW.shape[axis], after, interpolation)
        sums = np.moveaxis(
            np.tensordot(values_HW.astype(np.float64), weights.weights_MN, (axis, 1)), -1, axis
        )
        values_HW = np.clip(np.floor((sums + 2.0 ** (weights.bits - 1)) / 2.0**weights.bits), 0, 255)
    return values_HW


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("before", "after"),
    [(64, 32), (64, 33), (65, 48), (8, 32), (17, 224), (333, 20), (500, 128), (9, 8), (96, 97)],
)
def test_every_byte_is_as_torch_resizes_it(before, after, interpolation):
    if after > before and interpolation == "bicubic":
        pytest.skip("enlarged images are bilinear")
    values_HW = np.random.default_rng(before).integers(0, 256, (before, before), dtype=np.uint8)
    given_BCHW = torch.from_numpy(np.stack([values_HW, values_HW.T, values_HW[::-1]], axis=2)[None]).permute(
        0, 3, 1, 2
    )
    expected_BCHW = functional.interpolate(
        given_BCHW, size=(after, after), mode=interpolation, antialias=True
    )
    assert np.array_equal(resized(values_HW, after, interpolation), expected_BCHW[0, 0].numpy())
    assert np.array_equal(resized(values_HW.T, after, interpolation), expected_BCHW[0, 1].numpy())


def test_each_row_of_weights_sums_to_one_within_its_rounding():
    weights = byte_weights(37, 12, "bicubic")
    assert np.abs(weights.weights_MN.sum(axis=1) / 2**weights.bits - 1).max() < 12 * 2.0**-weights.bits
    assert weights.weights_MN.max() < 2**15
