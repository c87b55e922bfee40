"""Fine-tuning a trained MobileNet on CIFAR-10, beside the same thing done by Keras 3's `fit`.

    python -m benchmarks.finetune --base STUDY/runs/10-classes/mobilenet/seed-0 --peer .venv-keras/bin/python

The base is a run of the shipped study ``classic``. Both arms start from its weights, freeze all
but its last dense layer, put the head of "finetune 1" on its ten probabilities and train it for
the same epochs on the same images. Ours is the time of training as a record has it, with the one
pass of the frozen part over all images, made anew in every round; Keras's is that of `fit`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import bakeoff
from bakeoff.data import prepare
from bakeoff.models.architecture import PREFIX
from bakeoff.models.catalog import build_model
from bakeoff.models.keras_layers import keras_weights
from bakeoff.spec import TaskSpec
from benchmarks._machine import spread, store

HEAD = [1024, 0.5]
TASK = {"name": "10 classes", "data": "cifar10", "image_size": 32}


def write_arrays(base: Path, seed: int, file: Path, folder: Path) -> None:
    """Hand the peer the same images, the same split and the same trained weights."""
    import torch
    from safetensors.torch import load_file

    data = prepare(TaskSpec(**TASK), base_dir=Path.cwd())
    network = build_model("mobilenet", classes=len(data.class_ids), image_size=32, base_dir=folder)
    stored = load_file(base / "weights.safetensors")
    network.load_state_dict({k.removeprefix(PREFIX): v for k, v in stored.items() if k.startswith(PREFIX)})
    with torch.no_grad():
        weights = {f"weight{k}": array for k, array in enumerate(keras_weights(network))}
    parts = {}
    for part, index in (("train", data.train), ("test", data.test)):
        parts[f"{part}_images"], parts[f"{part}_labels"] = data.images_NHWC[index], data.labels_N[index]
    np.savez(file, seed=seed, **parts, **weights)


def ours(base: Path, seed: int, epochs: int, folder: Path) -> dict[str, float]:
    """Train the candidate, its frozen work included."""
    study: dict[str, Any] = {
        "name": "finetune",
        "seeds": [seed],
        "recipe": {"epochs": epochs, "batch_size": 64, "schedule": "linear", "normalize": "scale"},
        "task": [TASK],
        "candidate": [
            {
                "name": "finetune 1",
                "from": str(base.absolute()),
                "tap": "output",
                "train_last": 4,
                "head": HEAD,
            }
        ],
    }
    (record,) = bakeoff.run(study, out=folder / f"study-{seed}", report=False).records
    return {"seconds": record.train_seconds, "test_accuracy": record.metric("test_accuracy")}


def main() -> None:
    """Measure in rounds, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--base", type=Path, required=True, help="the folder of a trained mobilenet's run")
    parser.add_argument("--peer", required=True, help="a Python that has Keras 3 and TensorFlow")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    rounds: dict[str, list[dict[str, float]]] = {"bakeoff": [], "keras": []}
    for seed in range(options.rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            os.environ["BAKEOFF_CACHE"] = name  # so that the frozen work of an earlier round is not found
            arrays = folder / "arrays.npz"
            write_arrays(options.base, seed, arrays, folder)
            rounds["bakeoff"].append(ours(options.base, seed, options.epochs, folder))
            script = str(Path(__file__).with_name("keras_finetune.py"))
            command = [options.peer, script, str(arrays), str(options.epochs), json.dumps(HEAD)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
            rounds["keras"].append(json.loads(done.stdout.strip().splitlines()[-1]))
            print(json.dumps({arm: found[-1] for arm, found in rounds.items()}), flush=True)
    ratios = [
        theirs["seconds"] / own["seconds"]
        for own, theirs in zip(rounds["bakeoff"], rounds["keras"], strict=True)
    ]
    for arm, found in rounds.items():
        print(f"{arm}: {spread([f['seconds'] for f in found])} s, test accuracy "
              f"{spread([f['test_accuracy'] for f in found])}")  # fmt: skip
    print(
        f"bakeoff is {statistics.median(ratios):.1f} times as fast ({min(ratios):.1f} to {max(ratios):.1f})"
    )
    store("finetune", {"rounds": rounds, "ratios": ratios, "epochs": options.epochs})


if __name__ == "__main__":
    main()
