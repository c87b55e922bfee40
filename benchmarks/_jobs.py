"""The job that is timed: a shipped network on random images, through bakeoff's own training loop."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np

from bakeoff.cores import usable_cores
from bakeoff.data.prepare import TaskData
from bakeoff.spec import CandidateSpec, Recipe, TaskSpec
from bakeoff.training.job import Job
from bakeoff.training.machine import Machine, Precision


def random_task(images: int, side: int, classes: int, folder: Path) -> TaskData:
    """Map random uint8 images from a file, as the cache would; labels are random too."""
    generator = np.random.default_rng(0)
    path = folder / f"{images}x{side}.bin"
    shape = (images, side, side, 3)
    pixels = np.memmap(path, dtype=np.uint8, mode="w+", shape=shape)
    for start in range(0, images, 1024):
        stop = min(start + 1024, images)
        pixels[start:stop] = generator.integers(0, 256, size=(stop - start, *shape[1:]), dtype=np.uint8)
    pixels.flush()
    labels = generator.integers(0, classes, size=images)
    labels[:classes] = np.arange(classes)
    everything = np.arange(images)
    known = {
        "images_NHWC": np.memmap(path, dtype=np.uint8, mode="r", shape=shape),
        "labels_N": labels,
        "class_ids": [str(k) for k in range(classes)],
        "class_names": [str(k) for k in range(classes)],
        "train": everything,
        "validation": everything[:256],
        "test": everything[:256],
        "fingerprint": "random",
        "split_digest": "random",
    }
    # The rest of a task's facts (file names, modes, sizes) says nothing about speed.
    return TaskData(**{field.name: known.get(field.name) for field in fields(TaskData)})


def job(model: str, data: TaskData, side: int, batch_size: int, precision: Precision) -> Job:
    """Ask for a run of a model under the recipe of the shipped study ``classic``."""
    return Job(
        identity="benchmark",
        model_digest=model,
        architecture=model,
        study="benchmark",
        task=TaskSpec(name="random", data="random", image_size=side),
        candidate=CandidateSpec(name=model, model=model),
        seed=0,
        recipe=Recipe(epochs=1000, batch_size=batch_size, normalize="scale"),
        precision=precision,
        precision_reason="benchmark",
        control_digest="benchmark",
        data=data,
        mean=(0.0, 0.0, 0.0),
        std=(255.0, 255.0, 255.0),
        machine=Machine("cpu", usable_cores()),
        base_dir=Path.cwd(),
    )
