"""How many cores of the processor are ours: for threads that train, and for processes that decode."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Count the cores that this process may use; a scheduler may have granted fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
