"""What the input pipeline costs: training on real batches, beside the same steps on one fixed batch.

    python -m benchmarks.pipeline

Both arms run the same loop on the same network in one process, in turns of a few seconds;
one takes every batch from mapped images (gather, crop, flip), the other gets the same
tensor each time. The claim is the ratio of their seconds per step.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from bakeoff.cores import usable_cores
from bakeoff.data.batches import Batch, ImageStore, TrainingBatches
from bakeoff.training.bench import random_job, random_task
from bakeoff.training.classifier import build_classifier, placed
from bakeoff.training.loop import Course, Loop, Step, Stopped, own_global_state
from bakeoff.training.machine import Machine, resolve_precision
from bakeoff.training.run import autocast_for, initial_state, objective_for
from benchmarks._machine import spread, store


class FixedBatches(TrainingBatches):
    """The same batches object, but every step gets the first batch again."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the first batch as often as there are steps."""
        first = self.batch(self.order(0)[: self.batch_size], 0, 0)
        for _ in range(start, self.steps_per_epoch):
            yield first


class Turn:
    """Stops a turn after some steps and keeps its seconds per step."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.heard = 0
        self.started = 0.0
        self.seconds_per_step = 0.0

    def on_step(self, step: Step) -> bool:
        """Count; the first step of a turn is not timed: the thread that makes batches starts in it."""
        self.heard += 1
        if self.heard == 1:
            self.started = step.seconds
        self.seconds_per_step = (step.seconds - self.started) / max(1, self.heard - 1)
        return self.heard > self.steps

    def on_epoch(self, row: dict[str, float]) -> None:
        """Go on."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="model4")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--steps", type=int, default=8, help="timed in each turn")
    options = parser.parse_args()
    precision, _ = resolve_precision("auto", torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        data = random_task(20_000, 64, 200, Path(folder))
        machine = Machine("cpu", usable_cores())
        work = random_job(options.model, data, batch_size=options.batch, precision=precision, machine=machine)
        work = replace(
            work, recipe=work.recipe.overlaid({"augmentation": {"crop": 4, "flip": "random"}}, "benchmark")
        )
        work.machine.apply()
        with own_global_state(torch.device("cpu")):
            ratios, real, fixed = measure(work, options.turns, options.steps)
    print(f"{options.model}, 64 px, batch {options.batch}, {precision}, crop and flip")
    print(f"seconds per step: real batches {spread(real)}, one fixed batch {spread(fixed)}")
    print(f"the pipeline costs {100 * (statistics.median(ratios) - 1):+.1f} % (ratios {spread(ratios)})")
    store("pipeline", {"precision": precision, "real": real, "fixed": fixed, "ratios": ratios})


def measure(work, turns: int, steps: int) -> tuple[list[float], list[float], list[float]]:
    """Alternate turns of both arms on one network."""
    model = build_classifier(
        work.candidate.model,
        classes=200,
        input_size=64,
        mean=work.mean,
        std=work.std,
        seed=0,
        base_dir=Path.cwd(),
    )
    state = initial_state(placed(model, torch.device("cpu")), work)
    store_ = ImageStore(work.data.images_NHWC, work.data.labels_N, torch.device("cpu"))
    found: dict[type[TrainingBatches], list[float]] = {TrainingBatches: [], FixedBatches: []}
    for turn in range(2 * (turns + 1)):
        kind = (TrainingBatches, FixedBatches)[turn % 2]
        batches = kind(
            store_,
            work.data.train,
            batch_size=work.recipe.batch_size,
            seed=0,
            augmentation=work.recipe.augmentation,
        )
        watch = Turn(steps)
        loop = Loop(
            course=Course(work.recipe, batches.steps_per_epoch),
            batches=batches,
            objective=objective_for(work),
            autocast=autocast_for(work),
            forward=state.model,
            validate=lambda state: {"validation_loss": 0.0, "validation_accuracy": 0.0},
            checkpoint=lambda state: None,
            checkpoint_seconds=float("inf"),
            listeners=[watch],
        )
        try:
            loop.run(state)
        except Stopped:
            found[kind].append(watch.seconds_per_step)
    real, fixed = found[TrainingBatches][1:], found[FixedBatches][1:]  # the first turn of each warms up
    return [a / b for a, b in zip(real, fixed, strict=True)], real, fixed


if __name__ == "__main__":
    main()
