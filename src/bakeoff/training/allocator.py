"""Memory that is kept and handed out again, instead of returned to the system.

Every training step asks for the same large blocks. The C library returns each of them
to the system at once and gets it back as zeroed pages, one page fault for every 4 kB:
on a 2-core machine that was a quarter to a third of a training step of model4
(docs/findings.md, 2026-11-23). Telling the library to keep its pages changes no number.
"""

from __future__ import annotations

import ctypes
import gc
import sys

import torch

# The names and values of <malloc.h> (GNU C library).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8


def keep_pages() -> bool:
    """Have the C library keep freed memory for the next request of this process.

    Returns:
        Whether it could be told to; only the GNU C library can.
    """
    library = _c_library()
    if library is None:
        return False
    settings = (
        (_M_MMAP_MAX, 0),  # large blocks too come from the heap, which is kept
        (_M_TRIM_THRESHOLD, -1),  # the heap never shrinks by itself, however much is free
        (_M_TOP_PAD, 64 << 20),  # and grows by 64 MB at a time
        (_M_ARENA_MAX, 1),  # one heap for all threads
    )
    return all(library.mallopt(name, value) == 1 for name, value in settings)


def give_back() -> None:
    """Return what nobody uses to the system, so that one run's memory is not the next one's."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()  # what torch keeps counts as taken when a run asks if its images fit
    library = _c_library()
    if library is not None:
        library.malloc_trim(0)


def _c_library() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


def private_bytes() -> int:
    """Read this process's resident memory beside mapped files; 0 where the system does not tell."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
