"""What an exported file computes in, beside PyTorch: the whole way from bytes to probabilities.

    python -m benchmarks.export [--turns 7] [--threads 2]

Three arms on the same fresh network take turns of a fraction of a second: PyTorch eager as
`bakeoff.load` runs it (channels-last, its convolutions hastened), ONNX Runtime on the exported
file, and that file in int8, its ranges measured on noise (weights do not change how long it
takes). A latency is the time of one call; claims are ratios within a turn.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bakeoff.cores import usable_cores
from bakeoff.deploy import quantize
from bakeoff.deploy.bundle import SCHEMA, About, Bundle
from bakeoff.deploy.graph import NETWORK, Surroundings, assemble
from bakeoff.deploy.network import trace_network
from bakeoff.deploy.shipped import Answering, Shipped
from bakeoff.spec import canonical_json
from bakeoff.training.classifier import Classifier, build_classifier, placed
from benchmarks._machine import spread, store

NETWORKS = (("model4", 64), ("mobilenet", 32), ("timm:tf_efficientnet_lite0", 128))
BATCHES = (1, 64)
CLASSES = 10
SECONDS = 0.4  # of a turn, at least; three calls at least
ARMS = ("PyTorch eager", "ONNX Runtime", "ONNX Runtime int8")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--threads", type=int, default=usable_cores())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    figures: dict[str, Any] = {"threads": options.threads, "turns": options.turns, "networks": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name, size in NETWORKS:
            arms = build(name, size, Path(folder), options.threads)
            found = {batch: measure(arms, size, batch, options.turns) for batch in BATCHES}
            figures["networks"][f"{name} {size} px"] = {
                str(batch): dict(zip(ARMS, found[batch], strict=True)) for batch in BATCHES
            }
            for batch in BATCHES:
                tell(f"{name}, {size} px", batch, found[batch])
    store(f"export-{options.threads}-thread{'s' if options.threads > 1 else ''}", figures)


def build(name: str, size: int, folder: Path, threads: int) -> list[Callable[[np.ndarray], Any]]:
    """Make the three arms of one network."""
    classifier = placed(
        build_classifier(
            name, classes=CLASSES, input_size=size, mean=(120.0,) * 3, std=(60.0,) * 3, seed=0,
            base_dir=Path(), trained=False,
        ),
        torch.device("cpu"),
    )  # fmt: skip
    noise = np.random.default_rng(0).integers(0, 256, (32, size, size, 3), dtype=np.uint8)
    settle(classifier, noise)
    classes = [str(k) for k in range(CLASSES)]
    about = About(
        schema=SCHEMA, name=name, study="benchmark", task="noise", candidate=name, seed=0, identity="",
        class_ids=classes, class_names=classes, image_size=size, fit="crop", input_size=size,
    )  # fmt: skip
    around = Surroundings(image_size=size, fit="crop", preprocess=classifier.preprocess)
    graph = assemble(
        trace_network(classifier.network, size, name=name), around, canonical_json(about.as_dict())
    )
    fp32, int8 = folder / "fp32.onnx", folder / "int8.onnx"
    fp32.write_bytes(graph.SerializeToString())
    prepared = quantize._prepared(fp32, folder)
    one = quantize.TRIES[0]
    quantize._static(
        prepared, int8, one, quantize._excluded(prepared, NETWORK, one.exclude) or [], noise, about
    )
    shipped = Shipped(classifier, Answering(image_size=size)).eval()

    def eager(images: np.ndarray) -> Any:
        with torch.no_grad():
            return shipped(torch.from_numpy(images)).numpy()

    bundles = [Bundle.open(file, threads=threads) for file in (fp32, int8)]
    return [eager, *(bundle.probabilities_of for bundle in bundles)]


@torch.no_grad()
def settle(classifier: Classifier, noise: np.ndarray) -> None:
    """Let normalizations know their inputs: in a fresh deep network values grow beyond all bytes."""
    for layer in classifier.modules():
        if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    classifier.train()
    classifier(torch.from_numpy(noise))
    classifier.eval()


def measure(arms: list[Callable[[np.ndarray], Any]], size: int, batch: int, turns: int) -> list[list[float]]:
    """Alternate the arms; return the seconds of a call, turn by turn."""
    images = np.random.default_rng(1).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    found: list[list[float]] = [[] for _ in arms]
    for arm in arms:
        arm(images)
    for _ in range(turns):
        for arm, times in zip(arms, found, strict=True):
            calls, started = 0, time.perf_counter()
            while calls < 3 or time.perf_counter() - started < SECONDS:
                arm(images)
                calls += 1
            times.append((time.perf_counter() - started) / calls)
    return found


def tell(what: str, batch: int, found: list[list[float]]) -> None:
    """Print latencies, throughputs and ratios."""
    eager = found[0]
    for arm, times in zip(ARMS, found, strict=True):
        ratios = [a / b for a, b in zip(eager, times, strict=True)]
        print(
            f"{what}, batch {batch}, {arm}: {spread([1000 * t for t in times])} ms, "
            f"{batch / statistics.median(times):.0f} images/s, {spread(ratios)} times as fast as eager",
            flush=True,
        )


if __name__ == "__main__":
    main()
