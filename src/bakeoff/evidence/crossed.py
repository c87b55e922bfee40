"""Seeds and images, both drawn at random and crossed: every seed is read on the same images.

A value is a mean, plus what its seed adds, plus what its image adds, plus a rest that belongs to
the pair. Three trainings read on 1,000 images are 1,000 images, not 3,000: more seeds average the
first part and the rest, never the images'. Here these parts are estimated from the values, and
put together to the half width of an interval. Shape letters: S seeds, N images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

BEND = 2.0  # how far the quantile may fall below a straight line; see `joined_reach`


@dataclass(frozen=True, slots=True, kw_only=True)
class Spreads:
    """The squared standard error of a mean over seeds and images, in its two parts."""

    mean: float
    seeds: int
    images: int
    of_seeds: float  # from drawing seeds, their rest on these images included; S - 1 degrees of freedom
    of_images: float  # from drawing images, as far as the seeds share it; N - 1

    def reach(self, p: float) -> float:
        """Return the half width of the interval whose coverage is 1 - p."""
        others = max(self.images - 1, 1)
        over_seeds = -float(special.stdtrit(self.seeds - 1, p / 2)) * math.sqrt(self.of_seeds)
        over_images = -float(special.stdtrit(others, p / 2)) * math.sqrt(self.of_images)
        return joined_reach(over_seeds, over_images, self.seeds, p)


def spreads(value_SN: np.ndarray, width: float = 0.0) -> Spreads:
    """Estimate both parts of the spread of a mean.

    The variance of the mean is V_S / S + V_I / N + V_R / (S N), of seeds, images and the rest. The
    variance of the seeds' means, over S, estimates the first and the third together. The second is
    the covariance of two seeds over the images, over N: what the images do to all seeds alike. So
    nothing is counted twice.

    Args:
        value_SN: Of each seed on each image; S >= 2, N >= 1.
        width: How far apart two values can be (1 for right and wrong). Half of it is added, as an image
            more would, so that a handful of mistakes is not overrated; 0 adds nothing.

    Returns:
        The mean and the two parts; that of the images is at least 0.

    Source:
        Searle, Casella and McCulloch, "Variance Components" (1992), section 4.5, the two-way crossed
        model without replication, expected mean squares.

    >>> found = spreads(np.array([[1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0]]))
    >>> found.mean, found.of_seeds, round(found.of_images, 4)
    (0.625, 0.015625, 0.0417)
    """
    seeds, images = value_SN.shape
    value_SN = value_SN.astype(np.float64)
    by_seed_S = value_SN.mean(axis=1)
    mean = float(by_seed_S.mean())
    rest_SN = value_SN - by_seed_S[:, None]
    by_image_N = rest_SN.mean(axis=0)
    rest_SN -= by_image_N
    others = max(images - 1, 1)
    rest = float((rest_SN**2).sum()) / (seeds - 1) / others
    together = float((by_image_N**2).sum() + (width / 2) ** 2) / others
    return Spreads(
        mean=mean, seeds=seeds, images=images,
        of_seeds=float(((by_seed_S - mean) ** 2).sum()) / (seeds - 1) / seeds,
        of_images=max(0.0, together - rest / seeds) / images,
    )  # fmt: skip


def joined_reach(over_seeds: float, over_images: float, seeds: int, p: float) -> float:
    """Put two half widths together, one over seeds by Student's t, one over images.

    With w the seeds' share of the estimated variance V, the half width is q(w) sqrt(V): q is the normal
    quantile z where all spread is of the images (w = 0), and Student's t where all is of the seeds (w = 1).
    Between them

        q^2 = z^2 + (t^2 - z^2) w^k,    k = 1 + 2 p^(1 / (S - 1)).

    k = 1 would be the sum in squares of Zou and Donner (2008), which covers up to 97.7 % at 95 % with three
    seeds, because w is itself uncertain. k is as large as may be without covering less than
    promised: at 5 %, for any share and from two seeds on, equal candidates are told apart in 5.3 % at most
    (by integration, see the tests); the usual estimate of the degrees of freedom (Satterthwaite
    1946, Hillis 2007) reaches 7.8 % with three seeds and 12.8 % with two.

    Args:
        over_seeds: Student's t with S - 1 degrees of freedom times the standard error.
        over_images: A quantile times the standard error.
        seeds: S; at least 2.
        p: One minus the coverage of both.

    Returns:
        The half width of the interval over both.

    Source:
        Zou and Donner, "Construction of confidence limits about effect measures", Statistics in
        Medicine 27 (2008), eq. 4, with the exponent k put in here: docs/decisions/0015.

    >>> [round(joined_reach(*reaches, 3, 0.05), 3) for reaches in ((3.0, 0.0), (0.0, 4.0), (3.0, 4.0))]
    [3.0, 4.0, 4.524]
    """
    t, z = -float(special.stdtrit(seeds - 1, p / 2)), -float(special.ndtri(p / 2))
    if z <= 0:  # p = 1: an interval of no width
        return 0.0
    of_seeds, of_images = (over_seeds / t) ** 2, (over_images / z) ** 2
    both = of_seeds + of_images
    if both == 0:
        return 0.0
    exponent = 1 + BEND * p ** (1 / (seeds - 1))
    return math.sqrt(both * (z * z + (t * t - z * z) * (of_seeds / both) ** exponent))
