"""What a machine can do: its ceilings, and how near trainings come to them.

A ceiling is the best of several turns of one operation alone; a rate is the mean over a few
steps of bakeoff's own training loop. On a shared machine both fall, so a share of a ceiling
says more than either.

Shape letters: N images, H rows, W columns, C channels.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bakeoff.cores import usable_cores
from bakeoff.data.batches import ImageStore, TrainingBatches
from bakeoff.data.prepare import TaskData
from bakeoff.data.tree import FolderTree
from bakeoff.data.workers import CHUNK, decode_all
from bakeoff.data.workers import Job as DecodeJob
from bakeoff.models.catalog import build_model
from bakeoff.models.summary import summarise
from bakeoff.spec import Augmentation, CandidateSpec, Recipe, TaskSpec
from bakeoff.training.cost import BACKWARD, measure
from bakeoff.training.job import Job
from bakeoff.training.loop import own_global_state
from bakeoff.training.machine import Machine, Precision, describe_environment, resolve_precision

TURNS = 5  # of a ceiling, of which the best counts
MATRIX = 2048  # rows and columns on a processor; twice as many on a GPU
MOST_WORKERS = 16  # whose decoding is measured: their rows are on the disk for a moment
COPIED = 200_000_000  # bytes: more than any cache holds

# Channels and pixels of the 3x3 convolutions whose ceilings are measured: as in the first, a middle and
# the last stage of a network for small images.
SHAPES = ((64, 32), (128, 16), (256, 8))
CONVOLVED = 128  # images

# What is trained: network, pixels, batch. The last ones take seconds a step on a processor.
QUICK = (("mobilenet", 32, 64), ("model4", 64, 64))
TRAINED = (*QUICK, ("mobilenet", 64, 256), ("resnet9", 32, 256), ("resnet18-64px", 64, 64))


@dataclass(frozen=True, slots=True)
class Ceiling:
    """How fast one operation is by itself."""

    what: str
    precision: str  # "fp32", "bf16"; empty where nothing is multiplied
    rate: float
    unit: str  # "GFLOP/s", "GB/s" or "images/s"


@dataclass(frozen=True, slots=True)
class TrainingRate:
    """How fast a network trains, input pipeline included."""

    model: str
    image_size: int
    batch_size: int
    precision: str
    images_per_second: float
    gflops: float  # multiplications and additions of forward and backward pass, per second
    share: float  # of the best ceiling in this precision


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that was measured, and what `auto` makes of it."""

    environment: dict[str, Any]
    ceilings: tuple[Ceiling, ...]
    rates: tuple[TrainingRate, ...]
    precision: str  # that auto chooses
    reason: str  # why
    decoders: int  # processes that decode, where there are images enough

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def bench(machine: Machine, *, quick: bool = False, heard: Callable[[str], None] | None = None) -> Bench:
    """Measure a machine; nothing stays on its disk.

    Args:
        machine: Device and threads.
        quick: Leave out the larger networks, and the slower precision.
        heard: Told what is being measured, each time that changes.

    Returns:
        Ceilings and rates; those of the second precision only where the device multiplies it natively.
    """
    tell = heard or (lambda what: None)
    machine.apply()
    device = machine.torch_device
    precision, reason = resolve_precision("auto", device)
    precisions: tuple[Precision, ...] = ("bf16", "fp32") if precision == "bf16" else ("fp32",)
    precisions = precisions[:1] if quick else precisions
    ceilings: list[Ceiling] = []
    with tempfile.TemporaryDirectory(prefix="bakeoff-bench-") as folder, own_global_state(device):
        for each in precisions:
            tell(f"ceilings in {each}")
            ceilings += [matrix_ceiling(device, each), *convolution_ceilings(device, each)]
        tell("memory")
        ceilings.append(copy_ceiling(device))
        tell("decoding")
        ceilings += decode_ceilings(Path(folder), usable_cores())
        tell("batches")
        ceilings.append(batch_ceiling(Path(folder), machine))
        rates = []
        for model, size, batch in QUICK if quick else TRAINED:
            for each in precisions:
                tell(f"training of {model} in {each}")
                rates.append(_rate(model, size, batch, each, machine, Path(folder), ceilings))
    return Bench(
        environment=describe_environment(machine), ceilings=tuple(ceilings), rates=tuple(rates),
        precision=precision, reason=reason, decoders=usable_cores(),
    )  # fmt: skip


def matrix_ceiling(device: torch.device, precision: Precision) -> Ceiling:
    """Multiply two square matrices."""
    side = MATRIX if device.type == "cpu" else 2 * MATRIX
    left, right = (torch.randn(side, side, device=device, dtype=_dtype(precision)) for _ in range(2))
    seconds = _best(lambda: left @ right, device)
    return Ceiling(f"matrix product, {side} x {side}", precision, 2e-9 * side**3 / seconds, "GFLOP/s")


def convolution_ceilings(device: torch.device, precision: Precision) -> Iterator[Ceiling]:
    """Convolve a batch of channels-last maps with 3x3 filters, forward and backward."""
    for channels, side in SHAPES:
        maps = torch.randn(CONVOLVED, channels, side, side, device=device, dtype=_dtype(precision))
        filters = torch.randn(channels, channels, 3, 3, device=device, dtype=_dtype(precision))
        turns = _Convolution(
            maps.to(memory_format=torch.channels_last), filters.to(memory_format=torch.channels_last)
        )
        gflop = 2e-9 * maps.numel() * channels * 9
        what = f"convolution 3x3, {channels} channels of {side} x {side}"
        yield Ceiling(what, precision, gflop / _best(turns.forward, device), "GFLOP/s")
        yield Ceiling(f"{what}, backward", precision, 2 * gflop / _best(turns.backward, device), "GFLOP/s")


@dataclass(frozen=True, slots=True)
class _Convolution:
    """One convolution, with as many filters as channels."""

    maps: Tensor
    filters: Tensor

    def forward(self) -> Tensor:
        return torch.conv2d(self.maps, self.filters, padding=1)

    def backward(self) -> Any:
        """Compute both gradients; the output's has the input's shape, and its values do not matter."""
        ones, zeros = [1, 1], [0, 0]
        return torch.ops.aten.convolution_backward(
            self.maps, self.maps, self.filters, None, ones, ones, ones, False, zeros, 1, [True, True, False]
        )


def copy_ceiling(device: torch.device) -> Ceiling:
    """Copy memory; what is read and what is written both count."""
    source = torch.zeros(COPIED, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    seconds = _best(lambda: target.copy_(source), device)
    return Ceiling("memory, read and written", "", 2e-9 * COPIED / seconds, "GB/s")


def decode_ceilings(folder: Path, decoders: int) -> Iterator[Ceiling]:
    """Decode JPEG files of noise and slopes: as small as Tiny ImageNet's, and as large as ImageNet's."""
    generator = np.random.default_rng(0)
    decoders = min(decoders, MOST_WORKERS)
    for width, height, answers in ((64, 64, 12), (500, 375, 4)):
        count = answers * CHUNK * decoders
        place = folder / f"{width}"
        place.mkdir()
        names = [f"{number}.jpg" for number in range(32)]
        for name in names:
            slope_HW1 = np.linspace(0, 200, width * height).reshape(height, width, 1)
            noisy_HWC = slope_HW1 + generator.uniform(0, 55, size=(height, width, 3))
            Image.fromarray(noisy_HWC.astype(np.uint8)).save(place / name, quality=90)
        rows = place / "rows"
        with rows.open("wb") as file:
            file.truncate(count * 64 * 64 * 3)
        job = DecodeJob(FolderTree(place), 64, "crop", rows)
        watch = _Watch()
        decode_all(job, [names[number % len(names)] for number in range(count)], decoders, watch.hear)
        rows.unlink()
        yield Ceiling(
            f"JPEG of {width} x {height} to 64 pixels, {decoders} processes",
            "",
            watch.rate(decoders),
            "images/s",
        )


class _Watch:
    """Notes when how many rows were finished."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._heard: list[tuple[float, int]] = []

    def hear(self, rows: int) -> None:
        """Note it."""
        self._heard.append((time.perf_counter(), rows))

    def rate(self, first: int) -> float:
        """Return rows a second behind the first answers, which wait for processes to start."""
        since = self._heard[first - 1][0] if len(self._heard) > first else self._started
        rows = sum(rows for at, rows in self._heard if at > since)
        return rows / (self._heard[-1][0] - since)


def batch_ceiling(folder: Path, machine: Machine) -> Ceiling:
    """Gather, shift and mirror batches of 64-pixel images, and do nothing with them."""
    data = random_task(10_000, 64, 10, folder)
    store = ImageStore(data.images_NHWC, data.labels_N, machine.torch_device)
    batches = TrainingBatches(
        store, data.train, batch_size=256, seed=0, augmentation=Augmentation(crop=4, flip="random")
    )
    started, images = time.perf_counter(), 0
    for batch in batches.epoch(0):
        images += len(batch.labels_B)
    _wait(machine.torch_device)
    return Ceiling(
        "batches of 64 x 64, shifted and mirrored", "", images / (time.perf_counter() - started), "images/s"
    )


def random_task(images: int, side: int, classes: int, folder: Path) -> TaskData:
    """Map random images from a file, as the cache would; labels are random too.

    Args:
        images: How many.
        side: Pixels of their sides.
        classes: At most as many as images.
        folder: Receives the file.

    Returns:
        A task whose every image is for training, the first 256 for the rest as well.
    """
    generator = np.random.default_rng(0)
    path = folder / f"{images}x{side}.bin"
    shape = (images, side, side, 3)
    pixels = np.memmap(path, dtype=np.uint8, mode="w+", shape=shape)
    for start in range(0, images, 1024):
        stop = min(start + 1024, images)
        pixels[start:stop] = generator.integers(0, 256, size=(stop - start, *shape[1:]), dtype=np.uint8)
    pixels.flush()
    labels_N = generator.integers(0, classes, size=images)
    labels_N[:classes] = np.arange(classes)
    everything, names = np.arange(images), [str(k) for k in range(classes)]
    return TaskData(
        images_NHWC=np.memmap(path, dtype=np.uint8, mode="r", shape=shape), labels_N=labels_N,
        keys=[], digests=[], class_ids=names, class_names=names,
        train=everything, validation=everything[:256], test=everything[:256],
        fingerprint="random", split_digest="random", source="random images", unreadable=[], ignored=0,
        modes={}, widths=[], heights=[], seconds=0.0, cached=True,
    )  # fmt: skip


def random_job(model: str, data: TaskData, *, batch_size: int, precision: Precision, machine: Machine) -> Job:
    """Ask for a run of a network on random images, by Adam, long enough for any measurement.

    Args:
        model: A registered name.
        data: As `random_task` makes it.
        batch_size: Images of a step.
        precision: Of the training.
        machine: Where.

    Returns:
        The job.
    """
    side = int(data.images_NHWC.shape[1])
    return Job(
        identity="benchmark", model_digest=model, architecture=model, study="benchmark",
        task=TaskSpec(name="random", data="random", image_size=side),
        candidate=CandidateSpec(name=model, model=model), seed=0,
        recipe=Recipe(epochs=1000, batch_size=batch_size, normalize="scale"),
        precision=precision, precision_reason="benchmark", control_digest="benchmark", data=data,
        mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0), machine=machine, base_dir=Path.cwd(),
    )  # fmt: skip


def _rate(
    model: str,
    size: int,
    batch: int,
    precision: Precision,
    machine: Machine,
    folder: Path,
    ceilings: Sequence[Ceiling],
) -> TrainingRate:
    """Time a few training steps of a network."""
    data = random_task(4 * batch, size, min(200, batch), folder)
    job = random_job(model, data, batch_size=batch, precision=precision, machine=machine)
    found = measure(job, steps=8, seconds=8.0)
    with torch.device("meta"):
        network = build_model(model, classes=len(data.class_ids), image_size=size, base_dir=Path())
    flops = 2 * BACKWARD * summarise(network, size).multiplications * found.images_per_second
    best = max(c.rate for c in ceilings if c.precision == precision)
    return TrainingRate(
        model, size, batch, precision, found.images_per_second, flops / 1e9, flops / 1e9 / best
    )


def _dtype(precision: Precision) -> torch.dtype:
    return torch.bfloat16 if precision == "bf16" else torch.float32


def _best(work: Callable[[], Any], device: torch.device) -> float:
    """Return the seconds of the fastest of some turns, after one that warms up."""
    found = []
    for _ in range(TURNS + 1):
        started = time.perf_counter()
        work()
        _wait(device)
        found.append(time.perf_counter() - started)
    return min(found[1:])


def _wait(device: torch.device) -> None:
    """Let a GPU finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
