"""A picture as a short vector that copies of it share: its low frequencies, made equally telling.

The coarse structure of an image in grey is the low end of its discrete cosine transform.
Re-encoding, resizing and a change of brightness or contrast hardly move it, and a mirrored
copy only turns the sign of its odd horizontal frequencies. But photographs share much of
it: a bright sky, a dark frame. So the vector is whitened by the images at hand: what most
of them have in common is taken out, and each direction counts by how much it tells images
apart. Two different pictures then correlate like noise, and copies like copies.

Not here: who is compared with whom; see `duplicates`.

Shape letters: N images, H rows, W columns, V and U kept vertical and horizontal frequencies,
E coefficients that a mirror leaves alone, O those whose sign it turns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.grey import chunks, grey

Floats = NDArray[np.float32]

FLAT = 2.5  # grey levels of structure; with less, an image is as good as blank and is like nothing
SAMPLE = 20_000  # images that the whitening is fitted to, evenly spaced, when there are more

_PRIOR = 1000  # images' worth of trust in what photographs are like, so that few images whiten sanely
_RIDGE = 0.1  # of the mean variance, added to each: noise is not blown up where images hold nothing


@dataclass(frozen=True)
class Whitening:
    """What a set of images has in common, and how much each direction varies among them."""

    kept: int  # frequencies on each side
    mean_E: Floats  # of the even coefficients; that of the odd ones is zero by symmetry
    even_EE: Floats
    odd_OO: Floats

    def apply(self, coefficients_NVU: Floats) -> tuple[Floats, Floats]:
        """Turn coefficients into vectors of length one, parted by what a mirror does to them.

        Args:
            coefficients_NVU: By `coefficients`, with at least `kept` frequencies.

        Returns:
            even_NE and odd_NO: the likeness of two images is the product of the first plus that
            of the second, of an image and another's mirror image the same with a minus. An image
            with less than `FLAT` of structure is all zeros: it is like nothing.
        """
        whole_NVU = coefficients_NVU[:, : self.kept, : self.kept]
        parted_NE, parted_NO = _parted(whole_NVU)
        even_NE: Floats = np.subtract(parted_NE, self.mean_E, dtype=np.float32) @ self.even_EE
        odd_NO: Floats = parted_NO @ self.odd_OO
        length_N = np.sqrt((even_NE**2).sum(axis=1) + (odd_NO**2).sum(axis=1))
        told_N = structure(coefficients_NVU) >= FLAT
        scale_N1: Floats = (told_N / np.maximum(length_N, 1e-12)).astype(np.float32)[:, None]
        return even_NE * scale_N1, odd_NO * scale_N1


def coefficients(grey_NHW: Floats, kept: int) -> Floats:
    """Take the lowest frequencies, weighed so that in photographs each is about as strong.

    Args:
        grey_NHW: Square images of any size, 0 to 255.
        kept: Frequencies on each side, at most H.

    Returns:
        coefficients_NVU, the first of which (the mean) is zero; in grey levels, independent of the size.

    Source:
        The orthonormal DCT-II of Ahmed, Natarajan and Rao, IEEE Trans. Computers C-23 (1974). The
        amplitudes of photographs fall as 1/frequency: Field, JOSA A 4 (1987), which the factor
        undoes; along the two axes they are twice as large (measured on Tiny ImageNet).
    """
    side = grey_NHW.shape[1]
    rows_W = (np.arange(side) + 0.5) / side
    basis_UW = (np.sqrt(2) / side * np.cos(np.pi * np.arange(kept)[:, None] * rows_W)).astype(np.float32)
    weighed_NVU: Floats = (basis_UW @ grey_NHW @ basis_UW.T) * _weights(kept)
    return weighed_NVU


def structure(coefficients_NVU: Floats) -> Floats:
    """Measure how much coarse structure an image has at all, in weighed grey levels."""
    low_NVU = coefficients_NVU[:, :8, :8]
    found_N: Floats = np.sqrt((low_NVU**2).sum(axis=(1, 2)))
    return found_N


def fit(coefficients_NVU: Floats, kept: int) -> Whitening:
    """Learn from images what they have in common.

    Args:
        coefficients_NVU: Theirs; one image and its mirror image count alike.
        kept: Frequencies on each side.

    Returns:
        The whitening. Few images change little of what photographs are expected to be.
    """
    told_NVU = coefficients_NVU[structure(coefficients_NVU) >= FLAT][:, :kept, :kept]
    even_NE, odd_NO = _parted(told_NVU)
    images, size = len(told_NVU), even_NE.shape[1] + odd_NO.shape[1]
    mean_E = even_NE.sum(axis=0, dtype=np.float64) / (images + _PRIOR)
    return Whitening(
        kept=kept,
        mean_E=mean_E.astype(np.float32),
        even_EE=_inverse_root(even_NE - mean_E, size),
        odd_OO=_inverse_root(odd_NO.astype(np.float64), size),
    )


def sample_coefficients(images_NHWC: NDArray[np.uint8], kept: int) -> Floats:
    """Take the coefficients of all images, or of as many as `SAMPLE`, evenly spaced."""
    index = np.arange(len(images_NHWC))
    if len(index) > SAMPLE:
        index = np.linspace(0, len(index) - 1, SAMPLE).astype(np.int64)
    found_NVU = [
        coefficients(grey(images_NHWC[index[part : part + 500]]), kept) for part in range(0, len(index), 500)
    ]
    return np.concatenate(found_NVU) if found_NVU else np.zeros((0, kept, kept), dtype=np.float32)


def all_coefficients(images_NHWC: NDArray[np.uint8], kept: int) -> Floats:
    """Take the coefficients of every image; 256 bytes an image for 8 frequencies."""
    found_NVU = [coefficients(grey(part_NHWC), kept) for _, part_NHWC in chunks(images_NHWC)]
    return np.concatenate(found_NVU) if found_NVU else np.zeros((0, kept, kept), dtype=np.float32)


def _weights(kept: int) -> Floats:
    number_U = np.arange(kept, dtype=np.float32)
    weights_VU: Floats = np.hypot(number_U[:, None], number_U[None, :])
    weights_VU[0] /= 2
    weights_VU[:, 0] /= 2
    return weights_VU


def _parted(coefficients_NVU: Floats) -> tuple[Floats, Floats]:
    """Scale to length one, leave out the mean, and part even from odd horizontal frequencies."""
    images, kept, _ = coefficients_NVU.shape
    length_N = np.sqrt((coefficients_NVU**2).sum(axis=(1, 2)))
    unit_NVU = coefficients_NVU / np.maximum(length_N, 1e-12)[:, None, None]
    odd = kept // 2
    even_NE = unit_NVU[:, :, 0::2].reshape(images, kept * (kept - odd))[:, 1:]
    return even_NE, unit_NVU[:, :, 1::2].reshape(images, kept * odd)


def _inverse_root(centred_ND: NDArray[np.float64], size: int) -> Floats:
    """Invert the square root of a covariance that is drawn towards that of photographs."""
    images, own = centred_ND.shape
    prior = 1 / size  # of a unit vector of independent, equally strong coefficients
    square_DD = centred_ND.T @ centred_ND
    covariance_DD = (square_DD + _PRIOR * prior * np.eye(own)) / (images + _PRIOR)
    values_D, vectors_DD = np.linalg.eigh(covariance_DD.astype(np.float64))
    root_DD: Floats = (vectors_DD / np.sqrt(values_D + _RIDGE * prior)).astype(np.float32)
    return root_DD
