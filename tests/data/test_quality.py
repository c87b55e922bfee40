from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scenes import scene

from bakeoff.data.grey import chunks, grey
from bakeoff.data.quality import KINDS, measure_quality, sharpness


def test_the_measures_are_those_counted_by_hand() -> None:
    """Half black and half white, 20 x 20: mean 127.5, every pixel 127.5 away from it."""
    image = np.zeros((1, 20, 20, 3), dtype=np.uint8)
    image[:, :10] = 255
    found = measure_quality(image)
    assert (found.contrast_N[0], found.bright_part_N[0], found.dark_part_N[0]) == (127.5, 255, 0)
    # The Laplacian is 255 in one row above the edge and one below, of 18 inner rows.
    assert found.sharpness_N[0] == pytest.approx(255**2 * 2 / 18 / 127.5**2)


def test_grey_is_pillows() -> None:
    image = scene(0)
    theirs = np.asarray(Image.fromarray(image).convert("L")).astype(np.float64)
    assert np.abs(grey(image[None])[0] - theirs).max() <= 1


def test_noise_is_as_sharp_as_it_can_be() -> None:
    noise = np.random.default_rng(0).normal(128, 20, (4, 64, 64)).astype(np.float32)
    np.testing.assert_allclose(sharpness(noise), 20, rtol=0.1)  # 4*4 + 4 for independent neighbours


def test_each_kind_is_told_and_a_sound_picture_is_none() -> None:
    plain = scene(1).astype(np.float64)
    rows, columns = np.mgrid[0:48, 0:48] / 48
    smooth = np.repeat((128 + 60 * np.sin(2 * rows) + 50 * np.cos(2 * columns))[..., None], 3, axis=2)
    images = np.stack(
        [plain, np.full((48, 48, 3), 90), plain / 8, 236 + plain / 14, 110 + plain / 8, smooth]
    ).astype(np.uint8)
    found = measure_quality(images)
    told = {kind: np.flatnonzero(found.flagged(kind)).tolist() for kind in KINDS}
    assert told == {"blank": [1], "dark": [2], "bright": [3], "pale": [2, 3, 4], "blurred": [5]}
    assert found.worst("pale").tolist() == sorted([2, 3, 4], key=lambda index: found.contrast_N[index])


def test_drawing_up_does_not_make_an_image_blurred() -> None:
    small = scene(2, 12, 12)
    large = np.asarray(Image.fromarray(small).resize((96, 96), Image.Resampling.BICUBIC))[None]
    assert measure_quality(large).sharpness_N[0] < 0.1
    assert measure_quality(large, enlarged=8).sharpness_N[0] > 0.2


def test_blur_lowers_sharpness_and_contrast_does_not_change_it() -> None:
    image = Image.fromarray(scene(3))
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(4)))
    paler = (100 + 0.3 * scene(3)).astype(np.uint8)
    sharp, soft, pale = measure_quality(np.stack([scene(3), blurred, paler])).sharpness_N.tolist()
    assert soft < sharp / 10
    assert pale == pytest.approx(sharp, rel=0.2)


def test_large_images_are_measured_in_chunks_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.stack([scene(seed) for seed in range(7)])
    whole = measure_quality(images)
    monkeypatch.setattr("bakeoff.data.grey.CHUNK_BYTES", 3 * 48 * 48 * 4)
    assert [start for start, _ in chunks(images)] == [0, 3, 6]
    told: list[int] = []
    parts = measure_quality(images, progress=lambda stage, done, total: told.append(done))
    np.testing.assert_array_equal(whole.sharpness_N, parts.sharpness_N)
    assert told == [3, 6, 7]
