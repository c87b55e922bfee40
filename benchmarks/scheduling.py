"""What a study of many runs costs beside its runs: scheduling, notes in the lock, tables.

    python -m benchmarks.scheduling [--runs 1000] [--at-once 16] [--seconds 4]

Nothing is trained. An engine hands out jobs that sleep and leave what a run of a small network (400 kB of
weights) has left; all else is the code that drives every study: which run comes next, digests in the
lock, tables, the listener. What counts is the time on the wall in which no job was waited for, as a share
of the whole; what the sleeping jobs themselves write is not in it. Tasks' images for the report are left
out: they cost the same for any number of runs.
"""

from __future__ import annotations

import argparse
import heapq
import json
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from bakeoff.data.prepare import prepare
from bakeoff.records import RunFolder, RunRecord, StudyFolder, claim_folder
from bakeoff.spec import study_from_dict
from bakeoff.study import Quiet, Selection, bookkeeping, runner
from bakeoff.study.engines import Ears, Ended, Order
from bakeoff.study.lock import open_lock, write_lock
from bakeoff.training.run import train_run

NET = """
from torch import nn


def build(classes, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * image_size**2, 480), nn.Linear(480, classes))
"""
LIMIT = 0.01  # of the time of the whole


class Silent:
    """Hears a run and says nothing."""

    def on_step(self, step: object) -> bool:
        """Go on."""
        return False

    def on_epoch(self, row: object) -> None:
        """Say nothing."""

    def on_evaluation(self, split: str, done: int, total: int) -> None:
        """Say nothing."""


class Sleeping:
    """An engine whose jobs sleep, so many at once, and leave what one real run has left."""

    def __init__(self, at_once: int, seconds: float, left: Path) -> None:
        self.at_once, self.seconds, self.left = at_once, seconds, left
        self.asleep: list[tuple[float, int, Order]] = []  # a heap, by when they wake
        self.submitted = 0
        self.waited = 0.0  # seconds in which nothing of ours was done

    def __enter__(self) -> Sleeping:
        return self

    def __exit__(self, *error: object) -> None:
        self.asleep.clear()

    @property
    def running(self) -> int:
        """Jobs that sleep."""
        return len(self.asleep)

    @property
    def has_room(self) -> bool:
        """Whether another may."""
        return len(self.asleep) < self.at_once

    def submit(self, order: Order) -> None:
        """Lay a job to sleep."""
        self.submitted += 1
        # Not all alike, or they would all end at once: from 75 % to 125 % of the seconds.
        length = self.seconds * (0.75 + 0.5 * (self.submitted * 0.618 % 1))
        heapq.heappush(self.asleep, (time.monotonic() + length, self.submitted, order))

    def wait(self, ears: Ears) -> Ended:
        """Sleep until the next one wakes."""
        wakes, _, order = heapq.heappop(self.asleep)
        started = time.monotonic()
        time.sleep(max(0.0, wakes - started))
        ears.on_start(order.job)
        record = self.leave(order)
        self.waited += time.monotonic() - started  # what a job writes, it writes on its own time
        return Ended(order, record)

    def stop(self) -> None:
        """Forget them."""
        self.asleep.clear()

    def leave(self, order: Order) -> RunRecord:
        """Copy the files of the real run, under this job's name."""
        order.folder.path.mkdir(parents=True, exist_ok=True)
        for name in ("predictions.npz", "probabilities.npz", "weights.safetensors", "test_readings.json"):
            shutil.copy(self.left / name, order.folder.path / name)
        real = RunFolder(self.left).read()
        assert real is not None
        record = replace(real, identity=order.job.identity, candidate=order.job.candidate.name,
                         seed=order.job.seed)  # fmt: skip
        order.folder.write(record)
        return record


def measure(runs: int, at_once: int, seconds: float, work: Path) -> dict[str, float]:
    """Drive a study of sleeping jobs, ten candidates with seeds, and account for its time."""
    spec = study_from_dict(
        {
            "name": "sleeping", "seeds": list(range(runs // 10)),
            "recipe": {"epochs": 1, "batch_size": 256, "precision": "fp32"},
            "task": [{"name": "digits", "data": "digits", "image_size": 8}],
            "candidate": [{"name": f"net {k}", "model": "net.py:build"} for k in range(10)],
        },
        "benchmark",
    )  # fmt: skip
    (work / "net.py").write_text(NET)
    out = work / "study"
    folder = StudyFolder(out)
    resolved = open_lock(folder, spec, device="cpu", threads=1)
    data = {"digits": prepare(spec.tasks[0], base_dir=work)}
    with claim_folder(out):
        write_lock(folder, spec, resolved, data)
        planned = runner.plan_study(
            spec, data, folder, selection=Selection(), resolved=resolved, base_dir=work
        )
        train_run(planned[0].job, RunFolder(work / "real"), Silent())
        engine = Sleeping(at_once, seconds, work / "real")
        bookkeeping.keep_task = lambda *_: None
        started, processor = time.monotonic(), time.process_time()
        runner._run_all(planned, folder, spec, engine, Quiet(), 60.0)
        whole = time.monotonic() - started
    assert len(list(folder.records())) == len(planned) == runs
    ours = whole - engine.waited
    return {
        "runs": runs, "at_once": at_once, "seconds_each": seconds, "seconds": whole,
        "scheduling_seconds": ours, "share": ours / whole, "per_run_ms": 1000 * ours / runs,
        "processor_seconds": time.process_time() - processor,
    }  # fmt: skip


def main() -> None:
    """Measure, and say whether the claim held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4.0, help="that a job sleeps, in the mean")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        found = measure(given.runs, given.at_once, given.seconds, Path(work))
    print(json.dumps({name: round(value, 4) for name, value in found.items()}, indent=1))
    print(f"held: {'yes' if found['share'] < LIMIT else 'no'} (limit {LIMIT:.0%} of the time)")


if __name__ == "__main__":
    main()
