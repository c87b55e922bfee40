"""Named random streams: every draw belongs to a seed, a purpose and counters.

Nothing in bakeoff depends on a global random state. Whoever needs chance asks for the
stream of (seed, purpose, epoch, step, ...), so an interrupted run draws after its
resume what it would have drawn without it, and nothing about a generator has to
be saved. NumPy only; torch generators are seeded from `key` where they are used, the
global one before each step, because dropout can draw from no other.
"""

from __future__ import annotations

import hashlib

import numpy as np


def key(seed: int, purpose: str, *counters: int) -> int:
    """Hash a stream's name into a 63-bit seed.

    Args:
        seed: Any whole number; 0 is a seed like any other.
        purpose: What the draws are for, such as ``"order"`` or ``"crop"``; no slash.
        counters: Epoch, step and the like.

    Returns:
        A whole number in [0, 2**63).

    Raises:
        ValueError: The purpose has a slash, so two streams could share a name.

    >>> key(0, "order", 1) == key(0, "order", 1)
    True
    >>> key(0, "order", 1) == key(0, "order", 2)
    False
    """
    if "/" in purpose:
        raise ValueError(f"purpose: got {purpose!r}, expected a word without '/'")
    name = "/".join([str(seed), purpose, *map(str, counters)])
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """Open the NumPy generator of a stream (Philox, Salmon et al. 2011)."""
    return np.random.Generator(np.random.Philox(key(seed, purpose, *counters)))
