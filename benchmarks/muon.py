"""A step of Muon beside timm's, on the weights of whole networks.

    python -m benchmarks.muon

Both arms move copies of the same weights by the same gradients, in turns; timm's stands here twice, as it
comes (products in bfloat16) and in single precision, as ours. Nothing else of a training is timed.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import timm.optim.muon
import torch
from torch import nn

from bakeoff.cores import usable_cores
from bakeoff.models.catalog import build_model
from bakeoff.models.macro import build_macro
from bakeoff.spec.macro import Macro, MacroStage
from bakeoff.training.allocator import keep_pages
from bakeoff.training.muon import Muon
from benchmarks._machine import spread, store

NEWTON = timm.optim.muon.zeropower_via_newtonschulz
SMALL = Macro(
    patch=2, stem_width=32,
    stages=tuple(MacroStage(width=width, depth=1, down="pool") for width in (64, 128, 256)),
)  # fmt: skip
Step = Callable[[], object]


def networks() -> dict[str, nn.Module]:
    """Build the networks whose weights are moved."""
    return {
        "described, 64 128 256": build_macro(SMALL, 200),
        "resnet9": build_model("resnet9", classes=200, image_size=64, base_dir=Path()),
    }


def arm(network: nn.Module, device: str, make: Callable[[list[nn.Parameter]], torch.optim.Optimizer]) -> Step:
    """Prepare steps on a network's matrices."""
    own = copy.deepcopy(network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    chance = torch.Generator().manual_seed(0)
    weights = [weight for weight in own.parameters() if weight.ndim > 1]
    for weight in weights:
        weight.grad = torch.randn(weight.shape, generator=chance).to(
            device, memory_format=torch.channels_last if weight.ndim == 4 else torch.preserve_format
        )
    optimizer = make(weights)
    return lambda: optimizer.step()


def in_precision(dtype: torch.dtype, step: Step) -> Step:
    """Have timm's products computed in a type."""

    def act() -> None:
        timm.optim.muon.zeropower_via_newtonschulz = partial(NEWTON, dtype=dtype)
        step()

    return act


def milliseconds(step: Step, most: float) -> float:
    """Time steps for a while, one at least."""
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    wait()
    started, steps = time.perf_counter(), 0
    while steps == 0 or time.perf_counter() - started < most:
        step()
        wait()
        steps += 1
    return 1000 * (time.perf_counter() - started) / steps


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each arm in a turn")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda; figures are stored for cpu")
    asked = parser.parse_args()
    keep_pages()
    torch.set_num_threads(usable_cores())
    figures: dict[str, dict[str, list[float]]] = {}
    for name, network in networks().items():
        theirs = partial(timm.optim.muon.Muon, lr=0.02, momentum=0.95, nesterov=True)
        arms = {
            "ours": arm(
                network, asked.device, lambda weights: Muon([{"params": weights}], lr=0.02, momentum=0.95)
            ),
            "timm, float32": in_precision(torch.float32, arm(network, asked.device, theirs)),
            "timm, as it comes": in_precision(torch.bfloat16, arm(network, asked.device, theirs)),
        }
        found: dict[str, list[float]] = {kind: [] for kind in arms}
        for turn in range(asked.turns + 1):
            for kind, step in arms.items():
                took = milliseconds(step, asked.seconds)
                if turn:  # the first one warms up
                    found[kind].append(took)
        figures[name] = found
        print(name)
        for kind, times in found.items():
            ratios = [one / own for one, own in zip(times, found["ours"], strict=True)]
            print(f"  {kind}: {spread(times)} ms, {statistics.median(ratios):.3g} times ours")
    if asked.device == "cpu":
        store("muon", {"milliseconds": figures})


if __name__ == "__main__":
    main()
