from __future__ import annotations

import base64
import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from bakeoff.report.heat import SIZE, STOPS, colours, enlarged, overlaid, overlay, picture, where

# matplotlib 3.11 at x = 0, 0.125, ... 1: to_hex(matplotlib.colormaps["inferno"](x)), as numbers
INFERNO = [
    (0, 0, 4), (33, 12, 74), (87, 16, 110), (138, 34, 106), (188, 55, 84), (228, 90, 49), (249, 142, 9),
    (249, 203, 53), (252, 255, 164),
]  # fmt: skip


def lightness(colour: np.ndarray) -> float:
    """CIE 1976 L*, by the formulas of IEC 61966-2-1 and CIE 15."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour / 255]
    luminance = float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
    return 116 * luminance ** (1 / 3) - 16 if luminance > 216 / 24389 else luminance * 24389 / 27


def test_the_colours_are_infernos() -> None:
    at_stops = colours(np.linspace(0, 1, len(STOPS))[None])[0]
    assert at_stops.astype(int).tolist() == [list(colour) for colour in INFERNO]


def test_lightness_alone_tells_more_heat_from_less() -> None:
    levels = [lightness(colour) for colour in colours(np.linspace(0, 1, 101)[None])[0]]
    assert all(later > earlier for earlier, later in pairwise(levels))
    assert levels[-1] - levels[0] > 90


def test_a_map_is_enlarged_as_torch_does_it_rows_as_rows() -> None:
    torch = pytest.importorskip("torch")
    map_hw = np.random.default_rng(0).integers(0, 256, (4, 7)).astype(np.uint8)
    maps_1hw = torch.from_numpy(map_hw.astype(np.float32))[None, None]
    golden = torch.nn.functional.interpolate(maps_1hw, size=(SIZE, SIZE), mode="bilinear")[0, 0].numpy()
    np.testing.assert_allclose(enlarged(map_hw), golden / golden.max(), atol=2e-3)
    assert not enlarged(np.zeros((4, 7), np.uint8)).any()


def test_heat_lies_where_the_map_has_it_and_the_image_shows_through_everywhere() -> None:
    image_HWC = np.full((32, 32, 3), 120, np.uint8)
    image_HWC[:, 16:] = 240
    map_hw = np.zeros((4, 4), np.uint8)
    map_hw[0, 3] = 255  # upper right
    found = overlaid(image_HWC, map_hw).astype(int)
    assert found.shape == (64, 64, 3)
    hot, cold = found[2, 61], found[61, 61]
    assert hot[0] > 200
    assert hot[2] < hot[0]
    assert cold.max() - cold.min() <= 4  # grey
    assert found[61, 61, 0] > found[61, 2, 0] > 0  # the image's own lightness
    grey = overlaid(image_HWC, np.zeros((4, 4), np.uint8))
    assert grey[0, 0].tolist() == [120] * 3


def test_tiny_images_keep_their_pixels_and_larger_ones_are_smoothed() -> None:
    for side, levels in ((8, 2), (32, 3)):
        image_HWC = np.zeros((side, side, 3), np.uint8)
        image_HWC[:, side // 2 :] = 255
        drawn = overlaid(image_HWC, np.zeros((2, 2), np.uint8))
        assert (len(np.unique(drawn)) == 2) == (levels == 2)


def test_pictures_are_small_and_equal_for_equal_pixels() -> None:
    chance = np.random.default_rng(1)
    noise_HWC = chance.integers(0, 256, (64, 64, 3), dtype=np.uint8)  # nothing compresses less
    map_hw = chance.integers(0, 256, (8, 8)).astype(np.uint8)
    for uri in (overlay(noise_HWC, map_hw), picture(noise_HWC)):
        head, _, data = uri.partition(";base64,")
        assert head in ("data:image/webp", "data:image/jpeg")
        assert len(uri) < 6000
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (64, 64)
    assert overlay(noise_HWC, map_hw) == overlay(noise_HWC.copy(), map_hw.copy())


def test_without_webp_pictures_are_jpegs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bakeoff.report.heat.features.check", lambda name: False)
    assert picture(np.zeros((8, 8, 3), np.uint8)).startswith("data:image/jpeg;base64,")


@pytest.mark.parametrize(
    ("row", "column", "words"),
    [
        (0, 0, "at the upper left"), (0, 4, "at the top"), (0, 8, "at the upper right"),
        (4, 0, "at the left"), (4, 4, "in the middle"), (4, 8, "at the right"),
        (8, 0, "at the lower left"), (8, 4, "at the bottom"), (8, 8, "at the lower right"),
    ],
)  # fmt: skip
def test_the_strongest_place_is_named_by_thirds(row: int, column: int, words: str) -> None:
    map_hw = np.zeros((9, 9), np.uint8)
    map_hw[row, column] = 200
    assert where(map_hw) == words


def test_a_map_that_is_everywhere_the_same_is_strongest_in_the_middle() -> None:
    assert where(np.full((4, 4), 9, np.uint8)) == "in the middle"
