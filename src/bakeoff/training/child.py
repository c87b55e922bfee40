"""A process of ours beside this one: sees the same packages, not its Ctrl-C, and does not outlive it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping


def command(module: str, call: str) -> list[str]:
    """Return the words that start a process of ours.

    Args:
        module: Where its main function is.
        call: The function with its arguments, such as ``serve(3)``.

    Returns:
        Words for `subprocess`.
    """
    name = call.partition("(")[0]
    # -P: otherwise a queue.py or types.py of the user's, in the working folder, would come first
    return [sys.executable, "-P", "-u", "-c", f"from {module} import {name}; {call}"]


def environment(**changes: str) -> Mapping[str, str]:
    """Return the variables in which a process of ours finds the same packages."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path), **changes}


def end_with_parent() -> None:
    """Leave Ctrl-C to the parent, and on Linux have the system end this process with it, whatever it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, prctl(2)
