"""Memory that a large request took goes back to the system, so that a server stays as large as it was.

The GNU C library serves large blocks from the system and returns them, but with every one that is
freed it raises the size from which it does so, to 32 MB; from then on bodies and pixels of that size
come from heaps, one for each thread, in which they leave holes. A fixed size keeps that from
happening. (Training wants the opposite: it asks for the same blocks again and again.)
"""

from __future__ import annotations

import ctypes
import sys

# The names and values of <malloc.h> (GNU C library).
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8

_LARGE = 256 << 10  # bytes of a block that comes from the system; a page fault costs less than its pixels
_HEAPS = 2  # for all threads together


def return_large_blocks() -> bool:
    """Have the C library return large blocks to the system whenever they are freed.

    Returns:
        Whether it could be told to; only the GNU C library can.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return False
    settings = ((_M_MMAP_THRESHOLD, _LARGE), (_M_ARENA_MAX, _HEAPS))
    return all(library.mallopt(name, value) == 1 for name, value in settings)
