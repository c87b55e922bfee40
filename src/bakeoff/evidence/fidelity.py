"""Whether a copy of a classifier says what was recorded: image by image, within a stated tolerance.

Shape letters: N images, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """Recorded probabilities beside those of a copy, on the same images."""

    images: int
    tolerance: float  # of a probability
    largest: float  # difference of a probability
    beyond: tuple[int, ...]  # images with a larger difference than the tolerance
    changed: tuple[
        int, ...
    ]  # images whose best class is another one, though it led by more than the tolerance
    undecided: tuple[int, ...]  # images whose two best classes differ by no more than the tolerance
    undecided_changed: tuple[int, ...]  # those of them whose best class is another one

    @property
    def holds(self) -> bool:
        """Whether the copy says what was recorded."""
        return not (self.beyond or self.changed)


def fidelity(recorded_NK: np.ndarray, found_NK: np.ndarray, tolerance: float) -> Fidelity:
    """Compare probabilities.

    Args:
        recorded_NK: What was recorded; each row sums to one.
        found_NK: What the copy gives for the same images; what is not finite never agrees.
        tolerance: By how much a probability may differ.

    Returns:
        Images by their row.

    Raises:
        ValueError: The shapes differ.

    >>> found = fidelity(np.array([[0.7, 0.3], [0.5, 0.5]]), np.array([[0.7, 0.3], [0.4999, 0.5001]]), 1e-3)
    >>> found.holds, found.undecided, found.undecided_changed, round(found.largest, 6)
    (True, (1,), (1,), 0.0001)
    """
    if recorded_NK.shape != found_NK.shape:
        raise ValueError(
            f"agreement: got shapes {recorded_NK.shape} and {found_NK.shape}, expected equal ones"
        )
    difference_N = np.abs(recorded_NK.astype(np.float64) - found_NK).max(axis=1, initial=0.0)
    difference_N = np.where(np.isfinite(difference_N), difference_N, np.inf)
    best_two = np.sort(recorded_NK, axis=1)[:, -2:]
    undecided_N = best_two[:, 1] - best_two[:, 0] <= tolerance
    other_N = recorded_NK.argmax(axis=1) != found_NK.argmax(axis=1)
    return Fidelity(
        images=len(recorded_NK), tolerance=tolerance, largest=float(difference_N.max(initial=0.0)),
        beyond=_where(difference_N > tolerance), changed=_where(other_N & ~undecided_N),
        undecided=_where(undecided_N), undecided_changed=_where(other_N & undecided_N),
    )  # fmt: skip


def _where(mask_N: np.ndarray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(mask_N).tolist())
