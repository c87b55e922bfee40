from __future__ import annotations

import numpy as np
from scenes import scene
from scipy.fft import dctn

from bakeoff.data.grey import grey
from bakeoff.data.spectrum import coefficients, fit, structure


def test_coefficients_are_those_of_scipys_transform() -> None:
    image_HW = grey(scene(1)[None])[0]
    ours = coefficients(image_HW[None], 6)[0]
    theirs = dctn(image_HW.astype(np.float64), type=2)[:6, :6] / 4 * 2 / 48**2  # SciPy sums twice per axis
    weights = np.hypot(*np.mgrid[0:6, 0:6])
    weights[0] /= 2
    weights[:, 0] /= 2
    np.testing.assert_allclose(ours, theirs * weights, rtol=1e-3, atol=1e-3)


def test_a_copy_of_twice_the_size_has_nearly_the_same_coefficients() -> None:
    small = grey(scene(2, 32, 32)[None])
    large = small.repeat(2, axis=1).repeat(2, axis=2)
    a, b = coefficients(small, 8).ravel(), coefficients(large, 8).ravel()
    assert np.corrcoef(a, b)[0, 1] > 0.99


def test_a_mirror_turns_the_sign_of_the_odd_part_alone() -> None:
    images = np.stack([scene(seed) for seed in range(30)])
    whitening = fit(coefficients(grey(images), 8), 8)
    even, odd = whitening.apply(coefficients(grey(images), 8))
    even_m, odd_m = whitening.apply(coefficients(grey(images[:, :, ::-1]), 8))
    np.testing.assert_allclose(even, even_m, atol=1e-4)
    np.testing.assert_allclose(odd, -odd_m, atol=1e-4)
    np.testing.assert_allclose((even**2).sum(axis=1) + (odd**2).sum(axis=1), 1, atol=1e-4)


def test_what_all_images_share_does_not_make_them_alike() -> None:
    """A frame that all have would otherwise be most of what there is to compare."""
    images = np.stack([scene(seed) for seed in range(400)])
    images[:, :10] = 0
    images[:, -10:] = 255
    found = coefficients(grey(images), 8)
    raw = found.reshape(len(found), -1)
    raw /= np.linalg.norm(raw, axis=1, keepdims=True)
    even, odd = fit(found, 8).apply(found)
    pairs = np.triu_indices(len(images), 1)
    assert np.median((raw @ raw.T)[pairs]) > 0.3
    assert abs(np.median((even @ even.T + odd @ odd.T)[pairs])) < 0.1


def test_structure_is_none_for_one_colour_and_grows_with_contrast() -> None:
    image = scene(3).astype(np.float32)
    images = np.stack([np.full_like(image, 128), 128 + (image - 128) / 4, image])
    flat, pale, full = structure(coefficients(grey(images), 8)).tolist()
    assert flat < 0.01
    assert 3.9 < full / pale < 4.1
