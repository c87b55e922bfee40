"""`bakeoff search` beside AutoKeras: the same images, the same 600 s of wall clock, on one machine.

    python -m venv .venv-autokeras && .venv-autokeras/bin/pip install -r benchmarks/autokeras-requirements.txt
    python -m benchmarks.search_vs_autokeras --peer .venv-autokeras/bin/python

The first ten classes of Tiny ImageNet at 64 pixels: 4,500 training and 500 validation images for both, the
500 official validation images as test. Both are candidates of one study under an equal budget, in turns, seed
by seed: AutoKeras with its defaults, stopped at the budget, its best saved weights scored; ours from scratch,
its trials and its final training within the budget; test images are predicted with their mirror images by
ours alone, whose budget pays for it (AutoKeras has no such setting). Behind each of our runs the network that
is handed over (`bakeoff.load`) predicts the test images again, which must agree with the record image by
image.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import numpy as np

import bakeoff
from bakeoff.data.prepare import prepare
from bakeoff.records import StudyFolder
from bakeoff.spec import TaskSpec
from bakeoff.units import parse_length
from benchmarks._machine import spread, store

AHEAD = 0.15  # of test accuracy, that is asked for


def study(budget: str, peer: str, seeds: int, data: str, classes: int) -> dict[str, Any]:
    """Lay out the study: one task under an equal budget, two candidates."""
    return {
        "name": "search-vs-autokeras",
        "title": "A network for ten classes of Tiny ImageNet: bakeoff's search beside AutoKeras",
        "seeds": list(range(seeds)),
        "recipe": {"time": budget, "test_views": "mirror"},
        "task": [
            {"name": f"{classes} classes", "data": data, "classes": classes, "image_size": 64,
             "control": "budget"}
        ],
        "candidate": [
            {"name": "bakeoff search", "search": {"budget": budget}},
            {"name": "autokeras", "external": [peer, "-m", "bakeoff.external.autokeras"], "grace": "5m"},
        ],
    }  # fmt: skip


def same_images(folder: Path, study_folder: StudyFolder, record: Any) -> dict[str, float]:
    """Predict the test images by the network that is handed over, and hold that against the record."""
    spec = study_folder.spec()
    task: TaskSpec = next(one for one in spec.tasks if one.name == record.task)
    data = prepare(task, base_dir=Path.cwd())
    kept = study_folder.run(record.task, record.candidate, record.seed).read_predictions("test")
    if kept is None:
        raise SystemExit(f"{folder}: no predictions")
    probabilities_NK = bakeoff.load(folder, raw=True).score(data.images_NHWC[kept.index_N])
    answers_N = probabilities_NK.argmax(axis=1)
    return {
        "images": len(answers_N),
        "other_answers": int((answers_N != kept.top_NT[:, 0]).sum()),
        "accuracy": float((answers_N == kept.label_N).mean()),
        "recorded": float(np.mean(kept.correct_N)),
    }


def main() -> None:
    """Run the study, seed by seed and in turns, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peer", required=True, help="a Python that has AutoKeras 3.0.0 and Keras 3.12")
    parser.add_argument("--budget", default="600s")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("studies/search-vs-autokeras"))
    parser.add_argument("--data", default="tiny-imagenet", help="for a trial of this program: digits")
    parser.add_argument("--classes", type=int, default=10)
    options = parser.parse_args()
    peer = str(Path(options.peer).absolute())  # a link's own path: an environment's Python is one
    values = study(options.budget, peer, options.seeds, options.data, options.classes)
    for seed in range(options.seeds):  # in turns, so that a disturbance of the machine meets both
        result = bakeoff.run(values, out=options.out, seed=seed, report=seed + 1 == options.seeds)
    folder = StudyFolder(options.out)
    rows = []
    for record in folder.records():
        row = {
            "candidate": record.candidate, "seed": record.seed, "status": record.status,
            "reason": record.reason, "network": record.model, "version": record.external.get("version", ""),
            "test_accuracy": record.metrics.get("test_accuracy"),
            "validation_accuracy": record.metrics.get("validation_accuracy"),
            "total_seconds": record.total_seconds, "charged": record.search.get("charged"),
            "trials": record.search.get("trials"),
        }  # fmt: skip
        if record.search and record.status == "finished":
            run = folder.run(record.task, record.candidate, record.seed)
            row["handed_over"] = same_images(run.path, folder, record)
        rows.append(row)
        print(row, flush=True)
    found = {
        name: [
            row["test_accuracy"]
            for row in rows
            if row["candidate"] == name and row["test_accuracy"] is not None
        ]
        for name in ("bakeoff search", "autokeras")
    }
    for name, values_ in found.items():
        print(f"{name}: test accuracy {spread(values_) if values_ else 'none'}")
    budget = parse_length(options.budget).amount
    ours = [row for row in rows if row["candidate"] == "bakeoff search" and row["status"] == "finished"]
    short = [name for name, values_ in found.items() if len(values_) < options.seeds]
    if short:
        print(
            f"no conclusion: {' and '.join(short)} ended without an accuracy in some of {options.seeds} seeds"
        )
    else:
        ahead = statistics.mean(found["bakeoff search"]) - statistics.mean(found["autokeras"])
        print(f"ahead by {100 * ahead:.1f} points (asked for: {100 * AHEAD:.0f})")
    charged = [row["charged"] / budget for row in ours if row["charged"] is not None]
    print(f"most of our budget, all that was charged: {max(charged) if charged else float('nan'):.3f}")
    differing = sum(row["handed_over"]["other_answers"] for row in ours)
    print(f"images that the handed-over networks answer otherwise than recorded: {differing}")
    store("search_vs_autokeras", {"runs": rows, "budget_seconds": budget})
    print(result.table())


if __name__ == "__main__":
    main()
