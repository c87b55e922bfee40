"""The course of the learning rate over a training, as pure functions of progress."""

from __future__ import annotations

import math
from typing import Literal

ScheduleName = Literal["constant", "cosine", "one-cycle", "linear"]

ONE_CYCLE_RISE = 0.3  # share of the training; Smith and Topin 2019 in fastai's form
ONE_CYCLE_START = 1 / 25  # of the peak


def rate_factor(schedule: ScheduleName, progress: float, warmup: float = 0.0) -> float:
    """Return the learning rate as a fraction of its peak.

    Args:
        schedule: ``constant``; ``cosine`` (Loshchilov and Hutter, ICLR 2017, eq. 5,
            without restarts); ``linear`` to zero; ``one-cycle`` (Smith and Topin,
            arXiv 1708.07120: a cosine up from 1/25, a cosine down to zero).
        progress: Share of the training that is done, in [0, 1].
        warmup: Share of the training in which the rate rises linearly; for one-cycle
            the share in which it rises, 0 meaning 0.3.

    Returns:
        A number in [0, 1].

    >>> [round(rate_factor("linear", p), 2) for p in (0, 0.5, 1)]
    [1.0, 0.5, 0.0]
    >>> [round(rate_factor("cosine", p, warmup=0.2), 2) for p in (0, 0.1, 0.2, 0.6, 1)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    progress = min(max(progress, 0.0), 1.0)
    if schedule == "one-cycle":
        rise = warmup or ONE_CYCLE_RISE
        if progress < rise:
            return ONE_CYCLE_START + (1 - ONE_CYCLE_START) * (1 - _half_cosine(progress / rise))
        return _half_cosine((progress - rise) / (1 - rise)) if rise < 1 else 1.0
    if progress < warmup:
        return progress / warmup
    after = (progress - warmup) / (1 - warmup) if warmup < 1 else 0.0
    if schedule == "cosine":
        return _half_cosine(after)
    return 1 - after if schedule == "linear" else 1.0


def _half_cosine(position: float) -> float:
    """Fall from 1 to 0 over [0, 1]."""
    return (1 + math.cos(math.pi * position)) / 2
