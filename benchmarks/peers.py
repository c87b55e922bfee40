"""Training from image files, side by side: bakeoff, timm, fastai, Lightning and Keras on one network.

    python -m benchmarks.peers --data PATH --peers .venv-peers/bin/python

PATH is Tiny ImageNet. All read the same 10,000 of its training images from class folders, at 64 pixels
in batches of 256, by AdamW; each peer once with the defaults of its documentation and once with the best
settings that it offers on a processor. What is timed is steps with everything that feeds them.
bakeoff decodes once, into its cache, before it trains, as it always does; that pass is timed apart.
Each arm runs in a process of its own, all of them in turn in every round; the claim is the ratio within
a round. Networks have equal numbers of weights, which is checked first.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks._machine import spread, store
from benchmarks.training import in_process

NETWORKS = ("resnet18-64px", "mobilenet")
PEERS = ("timm", "fastai", "lightning", "keras")
SIDE, BATCH, IMAGES_A_CLASS = 64, 256, 50


def link_images(tiny_imagenet: Path, folder: Path) -> int:
    """Lay out class folders of links to some of the training images, which every peer can read."""
    count = 0
    for place in sorted((tiny_imagenet / "train").iterdir()):
        (folder / place.name).mkdir(parents=True)
        for image in sorted((place / "images").glob("*.JPEG"))[:IMAGES_A_CLASS]:
            os.symlink(image.resolve(), folder / place.name / image.name)
            count += 1
    return count


def time_bakeoff(network: str, folder: Path, seconds: float) -> dict[str, float]:
    """Time bakeoff's own loop on a folder of class folders, in this process."""
    from dataclasses import replace

    import torch

    from bakeoff.cores import usable_cores
    from bakeoff.data.prepare import prepare
    from bakeoff.spec import TaskSpec
    from bakeoff.training.bench import random_job
    from bakeoff.training.cost import measure
    from bakeoff.training.machine import Machine, resolve_precision

    with tempfile.TemporaryDirectory() as cache:
        task = TaskSpec(name="images", data=str(folder), image_size=SIDE)
        data = prepare(task, base_dir=Path.cwd(), cache_dir=Path(cache))
        machine = Machine("cpu", usable_cores())
        precision, _ = resolve_precision("auto", torch.device("cpu"))
        work = random_job(network, data, batch_size=BATCH, precision=precision, machine=machine)
        recipe = work.recipe.overlaid(
            {
                "optimizer": {"name": "adamw", "lr": 1e-3, "weight_decay": 0.05},
                "augmentation": {"crop": 8, "flip": "alternating"},
            },
            "benchmark",
        )
        work = replace(work, task=task, recipe=recipe)
        work.machine.apply()
        found = measure(work, steps=10_000, seconds=seconds)
        return {"rate": found.images_per_second, "prepared": data.seconds}


def counted(network: str, peers: str) -> dict[str, int]:
    """Count the trainable weights of every arm's network, for 200 classes."""
    import torch

    from bakeoff.models.catalog import build_model

    with torch.device("meta"):
        ours = build_model(network, classes=200, image_size=SIDE, base_dir=Path.cwd())
    here = Path(__file__).parent
    return {
        "bakeoff": sum(p.numel() for p in ours.parameters()),
        "torch peers": int(
            in_process([peers, str(here / "peer_torch.py"), "timm", network, ".", "1", "--count"])
        ),
        "keras": int(in_process([peers, str(here / "peer_keras.py"), network, "--count"])),
    }


def arms(network: str, folder: Path, seconds: float, peers: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the command of every arm of a round."""
    one = [sys.executable, "-m", "benchmarks.peers", "--seconds", str(seconds), "--one", network, str(folder)]
    yield "bakeoff", one
    here = Path(__file__).parent
    for peer in PEERS:
        for best in (False, True):
            script = ["peer_keras.py"] if peer == "keras" else ["peer_torch.py", peer]
            command = [peers, str(here / script[0]), *script[1:], network, str(folder), str(seconds)]
            yield f"{peer}, {'best' if best else 'defaults'}", command + (["--best"] if best else [])


def compare(network: str, folder: Path, options: argparse.Namespace) -> dict[str, list[float]]:
    """Run the rounds of a network and print them."""
    rates: dict[str, list[float]] = {}
    for number in range(options.rounds):
        for name, command in arms(network, folder, options.seconds, options.peers):
            rates.setdefault(name, []).append(in_process(command))
            print(f"{network}, round {number + 1}: {name} {rates[name][-1]:.1f} images/s", flush=True)
    for name, theirs in rates.items():
        ratios = [a / b for a, b in zip(rates["bakeoff"], theirs, strict=True)]
        print(
            f"{network}: {name} {spread(theirs)} images/s; bakeoff {statistics.median(ratios):.2f} times that"
        )
    return rates


def main() -> None:
    """Measure and print, or, with --one, time bakeoff alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="Tiny ImageNet")
    parser.add_argument("--peers", help="a Python that has timm, fastai, Lightning, Keras and TensorFlow")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0, help="of timed steps in each arm of a round")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--one", nargs=2, metavar=("NETWORK", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        found = time_bakeoff(options.one[0], Path(options.one[1]), options.seconds)
        print(json.dumps({"prepared": found["prepared"]}), file=sys.stderr)
        print(found["rate"])
        return
    if not (options.data and options.peers):
        parser.error("--data and --peers are missing")
    weights = {network: counted(network, options.peers) for network in options.networks}
    for network, counts in weights.items():
        print(f"{network}: trainable weights {counts}")
        if len(set(counts.values())) != 1:
            sys.exit(f"{network}: the arms' networks differ: {counts}")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "images"
        started = time.perf_counter()
        print(f"{link_images(options.data, folder)} images linked in {time.perf_counter() - started:.1f} s")
        rates = {network: compare(network, folder, options) for network in options.networks}
    store("peers", {"weights": weights, "images_per_second": rates})


if __name__ == "__main__":
    main()
