"""How long a user waits for words: `bakeoff --help`, and `bakeoff report` on a finished study.

    python -m benchmarks.startup [STUDY]

Each command runs in a fresh process, several times; what counts is the time on the wall.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._machine import spread, store

ROUNDS = 7


def seconds(command: list[str]) -> list[float]:
    """Time a command; the first call, which fills the file cache, is not counted."""
    found = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        found.append(time.perf_counter() - started)
    return found[1:]


def main() -> None:
    """Measure and print."""
    bakeoff = str(Path(sys.executable).with_name("bakeoff"))
    figures = {"bakeoff --help": seconds([bakeoff, "--help"])}
    study = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/studies/classic")
    if study.exists():
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "study"
            shutil.copytree(study, copy)
            figures["bakeoff report"] = seconds([bakeoff, "report", str(copy)])
    for name, times in figures.items():
        print(f"{name}: {spread(times)} s")
    store("startup", {"seconds": figures, "medians": {k: statistics.median(v) for k, v in figures.items()}})


if __name__ == "__main__":
    main()
