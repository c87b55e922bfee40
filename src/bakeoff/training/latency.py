"""How long a trained network takes for a prediction here: one image alone, and the best batch.

In fp32, from bytes to logits, on the study's device and threads: what a user would wait for. Calls are
timed one by one after a warm-up, and few seconds are spent; nothing of it counts as training.

Shape letters: B images of a batch, H rows, W columns.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

BATCHES = (1, 8, 32, 128)  # images; tried in this order, while larger ones are faster
SECONDS = 1.0  # that each of latency and throughput may take, more or less
LEAST_SECONDS = 0.1  # where the training itself was short
WARM_UP = 2  # calls of each batch that are not counted
MOST_CALLS = 100  # of a batch of one
_BETTER = 1.02  # a batch has to be so much faster for the next one to be tried


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimits:
    """How much time a measurement may take."""

    seconds: float = SECONDS  # for one image, and again for the batches
    batches: Sequence[int] = BATCHES
    calls: int = MOST_CALLS


@torch.no_grad()
def measure_inference(
    model: nn.Module,
    shape: tuple[int, int, int],
    device: torch.device,
    *,
    limits: TimeLimits = TimeLimits(),
    clock: Callable[[], float] = time.perf_counter,
    beat: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Time predictions of a network.

    Args:
        model: From bytes (B, H, W, 3) to logits; it is left in the mode in which it came.
        shape: H, W and channels of an image as it is stored.
        device: Where the model is.
        limits: Of time.
        clock: Seconds; a test brings its own.
        beat: Called with batches tried and batches in all.

    Returns:
        ``latency_seconds`` (median) and ``latency_p90_seconds`` of one image, over ``latency_calls``;
        ``images_per_second`` (median) at the best ``batch``; ``threads``, and ``precision``.
    """
    training = model.training
    model.eval()
    try:
        one = _timed(model, _images(1, shape, device), limits.seconds, limits.calls, clock)
        found: dict[str, Any] = {
            "latency_seconds": statistics.median(one),
            "latency_p90_seconds": _decile(one),
            "latency_calls": len(one),
            "images_per_second": 1 / statistics.median(one),
            "batch": 1,
            "threads": torch.get_num_threads(),
            "precision": "fp32",
        }
        sizes = [batch for batch in limits.batches if batch > 1]
        for tried, batch in enumerate(sizes, start=1):
            if beat is not None:
                beat(tried, len(sizes))
            share = limits.seconds / len(sizes)
            # A batch that would take longer than its share alone is not tried: one call says enough below it.
            if batch / found["images_per_second"] > limits.seconds:
                break
            calls = _timed(model, _images(batch, shape, device), share, limits.calls, clock)
            rate = batch / statistics.median(calls)
            if rate <= _BETTER * found["images_per_second"]:
                break
            found |= {"images_per_second": rate, "batch": batch}
    finally:
        model.train(training)
    return found


def _timed(
    model: nn.Module, images_BHWC: torch.Tensor, seconds: float, most: int, clock: Callable[[], float]
) -> list[float]:
    """Time calls until the seconds are over; three at least, after the warm-up."""
    for _ in range(WARM_UP):
        _call(model, images_BHWC)
    found: list[float] = []
    started = clock()
    while len(found) < 3 or (len(found) < most and clock() - started < seconds):
        before = clock()
        _call(model, images_BHWC)
        found.append(clock() - before)
    return found


def _call(model: nn.Module, images_BHWC: torch.Tensor) -> None:
    float(model(images_BHWC).float().sum())  # waits for a GPU


def _images(batch: int, shape: tuple[int, int, int], device: torch.device) -> torch.Tensor:
    """Make bytes that are neither black nor equal; zeros can be faster than a picture."""
    values = torch.arange(batch * shape[0] * shape[1] * shape[2], dtype=torch.int64) * 37 % 251
    return values.to(torch.uint8).reshape(batch, *shape).to(device)


def _decile(values: Sequence[float]) -> float:
    """Return the ninth decile: nine of ten calls took at most so long."""
    return sorted(values)[-(-9 * len(values) // 10) - 1]
