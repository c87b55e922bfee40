"""Starts a program, waits for its end, and ends it when the study that asked for it is gone.

    python watch.py ENDED WORD ...

The program's exit code, seconds and peak memory go to the file ENDED, whole or not at all. Standard
input is a pipe that the study holds open: when it closes, because the study was killed, all
processes of the group are. The standard library only.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time

NOT_STARTED = 127  # the exit code of a program that could not be started, as shells have it


def main() -> int:
    """Run the program.

    Returns:
        Its exit code; 128 and the number of the signal that ended it.
    """
    ended, *words = sys.argv[1:]
    started = time.monotonic()
    try:
        program = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"{words[0]}: {error.strerror}", file=sys.stderr)
        return NOT_STARTED
    threading.Thread(target=_end_with_the_study, daemon=True).start()
    code = program.wait()
    code = 128 - code if code < 0 else code
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    values = {
        "code": code,
        "seconds": time.monotonic() - started,
        "peak_memory_bytes": peak * (1 if sys.platform == "darwin" else 1024),
    }
    with open(f"{ended}.partial", "w", encoding="utf-8") as file:
        json.dump(values, file)
    os.replace(f"{ended}.partial", ended)
    return code


def _end_with_the_study() -> None:
    while os.read(sys.stdin.fileno(), 1):  # not by the buffer, whose lock would be held at the end
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
