"""How cost grows: seconds of an epoch against images, image size and classes; memory against images.

    python -m benchmarks.scaling

Each point is one whole epoch of bakeoff's own loop on mapped random images, input pipeline
included, in turns over the whole range, so that a disturbed minute does not bend one end. Seconds
must be a straight line in the images and in the pixels of an image, and must hardly know the
classes; memory beside the mapped file must not grow with the images.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bakeoff.cores import usable_cores
from bakeoff.data.batches import ImageStore, TrainingBatches
from bakeoff.training.allocator import give_back, private_bytes
from bakeoff.training.bench import random_job, random_task
from bakeoff.training.classifier import build_classifier, placed
from bakeoff.training.loop import Course, Loop, Step, own_global_state
from bakeoff.training.machine import Machine, resolve_precision
from bakeoff.training.run import autocast_for, initial_state, objective_for
from benchmarks._machine import RESULTS, spread, store

MODEL, BATCH = "mobilenet", 256
IMAGES = (1_000, 3_000, 10_000, 30_000, 100_000)
SIZES = (32, 48, 64, 96, 128)
CLASSES = (10, 50, 100, 200)


@dataclass(frozen=True)
class Point:
    """What is timed: one epoch of so many images of this size and of so many classes."""

    images: int
    size: int
    classes: int


class _Memory:
    """Notes the most memory that was in use beside mapped files."""

    def __init__(self) -> None:
        self.most = 0

    def on_step(self, step: Step) -> bool:
        """Look now and then."""
        if step.steps % 5 == 0:
            self.most = max(self.most, private_bytes())
        return False

    def on_epoch(self, row: dict[str, float]) -> None:
        """Look once more."""
        self.most = max(self.most, private_bytes())


def main() -> None:
    """Measure, print, plot and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--largest", type=int, default=IMAGES[-1], help="images; fewer for a quick look")
    options = parser.parse_args()
    images = [n for n in IMAGES if n <= options.largest]
    lines = {
        "images": [Point(n, 32, 10) for n in images],
        "pixels": [Point(2_048, size, 10) for size in SIZES],
        "classes": [Point(4_096, 32, classes) for classes in CLASSES],
    }
    seconds: dict[Point, list[float]] = {}
    memory: dict[Point, list[int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(options.turns):
            for point in dict.fromkeys(point for line in lines.values() for point in line):
                took, most = epoch(point, options.model, Path(folder))
                seconds.setdefault(point, []).append(took)
                memory.setdefault(point, []).append(most)
                print(f"turn {turn + 1}: {point}: {took:.2f} s, {most / 1e6:.0f} MB", flush=True)
    figures = [row for name, line in lines.items() for row in rows(name, line, seconds, memory)]
    for name in lines:
        chosen = [row for row in figures if row["line"] == name]
        told = ", ".join("{at:,}: {seconds:.3g} s".format(**row) for row in chosen)
        print(f"{name}: {told}; {fit(chosen)}")
    beside = [row["megabytes"] for row in figures if row["line"] == "images"]
    print(f"memory by images: {spread(beside)} MB")
    store("scaling", {"model": options.model, "batch": BATCH, "points": figures})
    plot(figures, RESULTS / "scaling.png")


def epoch(point: Point, model: str, folder: Path) -> tuple[float, int]:
    """Train one epoch; return its seconds and the most memory beside the mapped images."""
    machine = Machine("cpu", usable_cores())
    machine.apply()
    give_back()
    data = random_task(point.images, point.size, point.classes, folder)
    precision, _ = resolve_precision("auto", machine.torch_device)
    job = random_job(model, data, batch_size=BATCH, precision=precision, machine=machine)
    job = replace(job, recipe=job.recipe.overlaid({"epochs": 1}, "benchmark"))
    watch = _Memory()
    with own_global_state(machine.torch_device):
        network = placed(
            build_classifier(
                model, classes=point.classes, input_size=point.size, mean=job.mean, std=job.std, seed=0,
                base_dir=Path.cwd(),
            ),
            machine.torch_device,
        )  # fmt: skip
        state = initial_state(network, job)
        batches = TrainingBatches(
            ImageStore(data.images_NHWC, data.labels_N, machine.torch_device), data.train,
            batch_size=BATCH, seed=0, augmentation=job.recipe.augmentation,
        )  # fmt: skip
        Loop(
            course=Course(job.recipe, batches.steps_per_epoch), batches=batches,
            objective=objective_for(job), autocast=autocast_for(job), forward=network,
            validate=lambda state: {"validation_loss": 0.0, "validation_accuracy": 0.0},
            checkpoint=lambda state: None, checkpoint_seconds=float("inf"), listeners=[watch],
        ).run(state)  # fmt: skip
    return state.seconds, watch.most


def rows(
    name: str, line: Sequence[Point], seconds: dict[Point, list[float]], memory: dict[Point, list[int]]
) -> list[dict[str, Any]]:
    """Write the points of a line as plain values; the axis of sizes counts pixels."""
    at = {"images": lambda p: p.images, "pixels": lambda p: p.size**2, "classes": lambda p: p.classes}[name]
    return [
        {
            "line": name, "at": at(point), "images": point.images, "size": point.size,
            "classes": point.classes, "seconds": statistics.median(seconds[point]),
            "all_seconds": seconds[point], "megabytes": max(memory[point]) / 1e6,
        }
        for point in line
    ]  # fmt: skip


def fit(chosen: Sequence[dict[str, Any]]) -> str:
    """Say how straight a line is: the largest distance of a point from the fitted line, by its height."""
    x, y = (np.array([row[key] for row in chosen], dtype=np.float64) for key in ("at", "seconds"))
    slope, start = np.polyfit(x, y, 1, w=1 / y)  # relative distances count
    away = np.abs(slope * x + start - y) / y
    return f"straight to {away.max():.1%} (start {start:.3g} s, slope {slope:.3g})"


def plot(figures: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the three lines and the memory side by side."""
    import vl_convert

    def panel(name: str, field: str, title: str, unit: str) -> dict[str, Any]:
        return {
            "title": title, "width": 230, "height": 200,
            "data": {"values": [row for row in figures if row["line"] == name]},
            "mark": {"type": "line", "point": True},
            "encoding": {
                "x": {"field": "at", "type": "quantitative", "title": name},
                "y": {"field": field, "type": "quantitative", "title": unit, "scale": {"zero": True}},
            },
        }  # fmt: skip

    panels = [
        panel("images", "seconds", "An epoch by images", "seconds"),
        panel("pixels", "seconds", "An epoch of 2,048 images by their pixels", "seconds"),
        panel("classes", "seconds", "An epoch of 4,096 images by classes", "seconds"),
        panel("images", "megabytes", "Memory by images", "MB beside the mapped images"),
    ]
    chart = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json", "hconcat": panels, "padding": 12,
        "background": "#ffffff",
    }  # fmt: skip
    path.write_bytes(vl_convert.vegalite_to_png(chart, scale=1.5))
    print(f"drawn to {path}")


if __name__ == "__main__":
    main()
