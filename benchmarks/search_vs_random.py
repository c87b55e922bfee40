"""`bakeoff search` beside random search: the same space, the same budget, the same images and seeds.

    python -m benchmarks.search_vs_random --budget 600s

Random search is `method = "random"`: every setting is drawn by itself, every network is trained once and the
same way, and the most accurate on validation images gets the final training, from the same share of time.
Runs alternate, so that a disturbance of the machine meets both. The interval of the difference is a bootstrap
over seeds and test images (`bakeoff compare`).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import bakeoff
from bakeoff.records import StudyFolder
from benchmarks._machine import spread, store

NAMES = ("search", "random search")


def study(budget: str, seeds: int, data: str, classes: int, size: int) -> dict[str, Any]:
    """Lay out the study: one task under an equal budget, two methods."""
    return {
        "name": "search-vs-random",
        "title": "Is what the search does better than chance?",
        "seeds": list(range(seeds)),
        "recipe": {"time": budget},
        "task": [
            {"name": f"{classes} classes", "data": data, "classes": classes, "image_size": size,
             "control": "budget"}
        ],
        "candidate": [
            {"name": NAMES[0], "search": {"budget": budget}},
            {"name": NAMES[1], "search": {"budget": budget, "method": "random"}},
        ],
    }  # fmt: skip


def main() -> None:
    """Run the study, seed by seed and in turns, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--budget", default="600s")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("studies/search-vs-random"))
    parser.add_argument("--data", default="tiny-imagenet")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--image-size", type=int, default=64)
    options = parser.parse_args()
    values = study(options.budget, options.seeds, options.data, options.classes, options.image_size)
    for seed in range(options.seeds):
        bakeoff.run(values, out=options.out, seed=seed, report=seed + 1 == options.seeds)
    folder = StudyFolder(options.out)
    rows = [
        {
            "candidate": record.candidate, "seed": record.seed, "status": record.status,
            "network": record.model, "test_accuracy": record.metrics.get("test_accuracy"),
            "validation_accuracy": record.metrics.get("validation_accuracy"),
            "in_search": record.search.get("validation_accuracy"), "trials": record.search.get("trials"),
            "total_seconds": record.total_seconds,
        }
        for record in folder.records()
    ]  # fmt: skip
    for name in NAMES:
        found = [row["test_accuracy"] for row in rows if row["candidate"] == name and row["test_accuracy"]]
        print(f"{name}: test accuracy {spread(found) if found else 'none'}")
    print(bakeoff.compare(folder.path, *NAMES).table())
    store("search_vs_random", {"runs": rows, "budget": options.budget})


if __name__ == "__main__":
    main()
