"""Training throughput of model4 at 64 pixels, beside the same network in Keras 3 on TensorFlow.

    python -m benchmarks.training --peer .venv-keras/bin/python

Each round times bakeoff in fp32, bakeoff in what `auto` chooses, and Keras's `model.fit`,
one after the other, each in a process of its own; rounds are repeated, so that a
disturbance of the machine meets all three. The claim is the ratio within a round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks._machine import spread, store

SIDE = 64
CLASSES = 200


def time_bakeoff(batch_size: int, precision: str, seconds: float) -> float:
    """Time bakeoff's own loop on mapped images, in this process; images/s."""
    from bakeoff.cores import usable_cores
    from bakeoff.training.bench import random_job, random_task
    from bakeoff.training.cost import measure
    from bakeoff.training.machine import Machine

    with tempfile.TemporaryDirectory() as folder:
        data = random_task(4096, SIDE, CLASSES, Path(folder))
        machine = Machine("cpu", usable_cores())
        work = random_job("model4", data, batch_size=batch_size, precision=precision, machine=machine)
        work.machine.apply()
        return measure(work, steps=10_000, seconds=seconds).images_per_second


def in_process(command: list[str]) -> float:
    """Run one measurement in a process of its own and read its last line."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return float(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Measure and print, or, with --one, time a single arm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peer", help="a Python that has Keras 3 and TensorFlow")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0, help="of timed steps in each arm of a round")
    parser.add_argument("--one", nargs=2, metavar=("BATCH", "PRECISION"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(time_bakeoff(int(options.one[0]), options.one[1], options.seconds))
        return
    if not options.peer:
        parser.error("--peer is missing: make bench sets it up")
    compare(options.peer, options.rounds, options.seconds)


def compare(peer: str, rounds: int, seconds: float) -> None:
    """Run all rounds and print the ratios."""
    import torch

    from bakeoff.training.machine import resolve_precision

    chosen, reason = resolve_precision("auto", torch.device("cpu"))
    print(f"auto is {chosen} here ({reason})")
    precisions = sorted({"fp32", chosen}, reverse=True)
    figures = {}
    for batch_size in (64, 256):
        arms: dict[str, list[float]] = {name: [] for name in (*precisions, "keras")}
        for number in range(rounds):
            for precision in precisions:
                one = [sys.executable, "-m", "benchmarks.training", "--seconds", str(seconds), "--one"]
                arms[precision].append(in_process([*one, str(batch_size), precision]))
            script = str(Path(__file__).with_name("keras_fit.py"))
            arms["keras"].append(in_process([peer, script, str(batch_size), str(seconds)]))
            print(
                f"batch {batch_size}, round {number + 1}: "
                + json.dumps({k: round(v[-1], 1) for k, v in arms.items()})
            )
        for precision in precisions:
            ratios = [ours / theirs for ours, theirs in zip(arms[precision], arms["keras"], strict=True)]
            figures[f"batch {batch_size} {precision}"] = {
                "images_per_second": arms[precision],
                "keras_images_per_second": arms["keras"],
                "ratios": ratios,
            }
            print(
                f"model4, {SIDE} px, batch {batch_size}, {precision}: {spread(arms[precision])} images/s, "
                f"Keras {spread(arms['keras'])}: {statistics.median(ratios):.2f} times as fast"
            )
    store("training", {"figures": figures})


if __name__ == "__main__":
    main()
