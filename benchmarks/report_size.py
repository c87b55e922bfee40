"""How long `bakeoff report` takes, and how large it and its page are, for a large study made for this.

    python -m benchmarks.report_size [--candidates 14] [--seeds 3] [--images 10000] [--classes 200]

Nothing is trained: predictions are drawn, with an image's difficulty that all candidates share. The
command runs in a process of its own; what counts is its time on the wall, the time of its processor
(a busy machine does not lengthen that), its largest resident memory, and the bytes of the page.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bakeoff.evidence.metrics import measure
from bakeoff.evidence.predictions import summarise_probabilities
from bakeoff.records import Predictions, RunRecord, StudyFolder, TaskRecord
from bakeoff.rng import generator
from bakeoff.spec import digest, study_from_dict

LIMITS = {"seconds": 10.0, "memory_bytes": 1e9, "page_bytes": 3e6}
ROUNDS = 3
EPOCHS = 30


def make_study(path: Path, candidates: int, seeds: int, images: int, classes: int) -> None:
    """Write a study of one task with its records and predictions."""
    folder = StudyFolder(path)
    spec = study_from_dict(
        {
            "name": "large", "seeds": list(range(seeds)), "recipe": {"epochs": EPOCHS},
            "task": [{"name": "a task", "data": "digits", "image_size": 64}],
            "candidate": [{"name": f"net {k:02d}", "model": "model4"} for k in range(candidates)],
        },
        "benchmark",
    )  # fmt: skip
    folder.write_lock({"study": spec.as_dict(), "environment": {}})
    folder.write_task(_task(images, classes))
    shared_NK = generator(0, "images").normal(0, 1.0, (images, classes)).astype(np.float32)
    for k in range(candidates):
        for seed in range(seeds):
            own = generator(seed, "run", k)
            skill = 1.5 + 0.08 * k + own.normal(0, 0.05)
            logits_NK = shared_NK + own.normal(0, 0.7, (images, classes)).astype(np.float32)
            _write_run(folder, f"net {k:02d}", seed, _predictions(logits_NK, skill, images, classes), skill)


def _task(images: int, classes: int) -> TaskRecord:
    names = [f"class {k:03d}" for k in range(classes)]
    return TaskRecord(
        name="a task", source="a formula", class_ids=names, class_names=names,
        counts={"train": 9 * images, "validation": images, "test": images}, data_fingerprint="data",
        split_digest="split", image_size=64,
    )  # fmt: skip


def _predictions(logits_NK: np.ndarray, skill: float, images: int, classes: int) -> Predictions:
    label_N = np.arange(images) % classes
    logits_NK[np.arange(images), label_N] += skill
    exp_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    return summarise_probabilities(exp_NK / exp_NK.sum(axis=1, keepdims=True), label_N, np.arange(images))


def _write_run(folder: StudyFolder, name: str, seed: int, test: Predictions, skill: float) -> None:
    run = folder.run("a task", name, seed)
    run.write_predictions({"test": test, "validation": test})
    metrics = measure(test, "test") | measure(test, "validation")
    history = [
        {"epoch": e, "step": 100 * e, "train_loss": 5 / e, "train_accuracy": 0.5 * e / EPOCHS,
         "validation_loss": 5 / e + 0.1, "validation_accuracy": 0.4 * e / EPOCHS, "seconds": 60.0 * e,
         "images_per_second": 400.0, "lr": 1e-3}
        for e in range(1, EPOCHS + 1)
    ]  # fmt: skip
    layers = []
    for k in range(16):
        shape = [32 * (1 + k // 4), 64 >> k // 4, 64 >> k // 4]
        layers.append({
            "name": f"conv{k}", "kind": "conv", "detail": "3x3", "output_shape": shape,
            "parameters": 9 * 1024, "trainable": 9 * 1024, "multiplications": 1_000_000,
        })  # fmt: skip
    run.write(RunRecord(
        identity=digest([name, seed]), study="large", task="a task", candidate=name, seed=seed,
        status="finished", control_digest="control", model="model4", input_size=64, parameters=1_000_000,
        trainable=1_000_000, multiplications=50_000_000, layers=layers, epochs=EPOCHS, steps=3000,
        train_seconds=600 * skill, total_seconds=700 * skill, images_per_second=400.0,
        peak_memory_bytes=900_000_000, history=history, metrics=metrics,
        inference={"latency_seconds": 0.01 * skill, "latency_p90_seconds": 0.012 * skill, "batch": 32,
                   "images_per_second": 300 / skill, "threads": 2, "precision": "fp32"} if seed == 0 else {},
        data_fingerprint="data", split_digest="split", test_readings=[{"when": "", "purpose": "made"}],
    ))  # fmt: skip


def report(folder: StudyFolder) -> dict[str, float]:
    """Run the command and measure it; torch must not be loaded."""
    command = (
        "import sys; from bakeoff.cli.main import main; sys.argv = ['bakeoff', 'report', sys.argv[1]]\n"
        "try: main()\nfinally: assert 'torch' not in sys.modules"
    )
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", command, str(folder.path)], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise SystemExit(f"bakeoff report ended with status {status}")
    return {
        "seconds": seconds,
        "processor_seconds": used.ru_utime + used.ru_stime,
        "memory_bytes": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "page_bytes": folder.report_path.stat().st_size,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("candidates", 14), ("seeds", 3), ("images", 10_000), ("classes", 200)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = vars(parser.parse_args())
    with tempfile.TemporaryDirectory() as path:
        folder = StudyFolder(Path(path) / "study")
        # In a process of its own: Linux starts a child's largest memory at its parent's.
        making = multiprocessing.get_context("spawn").Process(
            target=make_study, args=[folder.path, *asked.values()]
        )
        making.start()
        making.join()
        found = min((report(folder) for _ in range(ROUNDS)), key=lambda figures: figures["seconds"])
    for name, value in found.items():
        limit = f", at most {LIMITS[name]:g}" if name in LIMITS else ""
        print(f"{name}: {value:.4g}{limit}")
    from benchmarks._machine import store  # brings torch, as the command must not

    store("report_size", {"study": asked, "figures": found, "limits": LIMITS})


if __name__ == "__main__":
    main()
