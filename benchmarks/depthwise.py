"""Training steps of networks with depthwise convolutions, computed as bakeoff does and as torch does.

    python -m benchmarks.depthwise

Both arms are the same network with the same weights; one computes its depthwise convolutions as
`bakeoff.models.depthwise` does, the other leaves them to torch. Steps (forward and backward, no optimizer)
are timed in turns, and the gradients compared.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import timm
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bakeoff.cores import usable_cores
from bakeoff.models.catalog import build_model
from bakeoff.models.convolutions import hasten_convolutions
from bakeoff.training.allocator import keep_pages
from benchmarks._machine import spread, store

CLASSES = 200
ARMS = ("bakeoff", "torch")
BORDERS = "bakeoff.models.convolutions.borders"  # finds nothing where torch has the layer
NETWORKS = {  # pixels, images of a step, whether statistics of batch norm are kept (as in fine-tuning)
    "tf_efficientnet_lite0": (96, 64, True),
    "mobilenetv3_large_100": (128, 64, True),
    "efficientnet_b0": (96, 64, False),
    "mobilenet": (32, 64, False),
}


def network_of(name: str, pixels: int, *, kept: bool) -> nn.Module:
    """Build a network for training; `mobilenet` is bakeoff's, all others timm's."""
    torch.manual_seed(0)
    built: nn.Module = (
        build_model(name, classes=CLASSES, image_size=pixels, base_dir=Path())
        if name == "mobilenet"
        else timm.create_model(name, num_classes=CLASSES)
    )
    built.train()
    for part in built.modules():
        if kept and isinstance(part, _BatchNorm):
            part.eval()
    return built.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def step_of(network: nn.Module, images_BCHW: Tensor, labels_B: Tensor) -> Callable[[], list[Tensor]]:
    """Prepare a step that gives its gradients."""
    weights = list(network.parameters())

    def act() -> list[Tensor]:
        loss = nn.functional.cross_entropy(network(images_BCHW), labels_B)
        return list(torch.autograd.grad(loss, weights))

    return act


def difference(ours: list[Tensor], torchs: list[Tensor]) -> float:
    """Find how far two gradients of all weights lie apart, as a share of their length.

    Tensor by tensor it would say nothing of a bias in front of batch normalization, whose gradient is
    rounding alone.
    """
    apart, whole = (torch.cat([g.flatten() for g in some]) for some in (ours, torchs))
    return float((apart - whole).norm() / whole.norm())


def main() -> None:
    """Time both arms of every network in turns and store what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=8)
    asked = parser.parse_args()
    keep_pages()
    torch.set_num_threads(usable_cores())
    torch.set_flush_denormal(True)
    found = {}
    for name, (pixels, batch, kept) in NETWORKS.items():
        plain = network_of(name, pixels, kept=kept)
        quick = copy.deepcopy(plain)
        for arm in (plain, quick):
            hasten_convolutions(arm)  # the other ways of computing convolutions are in both
        images_BCHW = torch.randn(batch, 3, pixels, pixels).to(memory_format=torch.channels_last)
        labels_B = torch.arange(batch) % CLASSES
        steps = dict(zip(ARMS, (step_of(n, images_BCHW, labels_B) for n in (quick, plain)), strict=True))
        rates: dict[str, list[float]] = {arm: [] for arm in ARMS}
        for turn in range(asked.turns + 1):
            gradients = {}
            for arm in ARMS:
                way = nullcontext() if arm == "bakeoff" else mock.patch(BORDERS, return_value=None)
                torch.manual_seed(turn)  # dropout
                with way:
                    started = time.perf_counter()
                    gradients[arm] = steps[arm]()
                if turn:  # the first one warms up
                    rates[arm].append(batch / (time.perf_counter() - started))
        apart = difference(gradients["bakeoff"], gradients["torch"])
        ratios = [a / b for a, b in zip(rates["bakeoff"], rates["torch"], strict=True)]
        found[name] = {
            "pixels": pixels, "batch": batch, "gradients_apart": apart, "ratios": ratios,
            "images_per_second": rates,
        }  # fmt: skip
        print(f"{name}, {pixels} pixels: ratio {spread(ratios)}, gradients apart by {apart:.1e}")
        for arm in ARMS:
            print(f"  {arm}: {spread(rates[arm])} images/s", flush=True)
    store("depthwise", {"networks": found})


if __name__ == "__main__":
    main()
