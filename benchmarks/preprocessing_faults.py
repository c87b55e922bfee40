"""What a trained network makes of test images that are prepared otherwise than in training.

    python -m benchmarks.preprocessing_faults --run studies/classic/runs/10-classes/mobilenet/seed-0

Evaluation alone, of a run of `bakeoff run classic --task "10 classes"`, whose images are found as then or by
``--data cifar10=PATH``; docs/findings.md (2026-11-27) has what was seen. The run's own readings of the test
images are not touched, and nothing is written.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import bakeoff
from bakeoff.cli.arguments import data_places
from bakeoff.data.prepare import prepare

BATCH = 500


def main() -> None:
    """Print a row for each way of preparing the images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", action="append", default=[])
    asked = parser.parse_args()
    trained = bakeoff.load(asked.run, raw=True)
    if trained.run is None:
        raise SystemExit(f"--run: got {asked.run}, expected the folder of a run")
    places = data_places(asked.data)
    locations = {name: Path(path) for name, path in places.items()} if isinstance(places, dict) else {}
    data = prepare(trained.run.task, locations=locations, base_dir=Path())
    model = trained.model.eval()
    network, prepared = model.network, model.preprocess

    def judge(name: str, change: Callable[[Tensor], Tensor], index: np.ndarray, judged: nn.Module) -> None:
        right, loss = 0, 0.0
        with torch.no_grad():
            for start in range(0, len(index), BATCH):
                part = index[start : start + BATCH]
                images_BHWC = torch.from_numpy(np.ascontiguousarray(data.images_NHWC[part]))
                labels_B = torch.from_numpy(data.labels_N[part].astype(np.int64))
                logits_BK = judged(change(prepared(images_BHWC)))
                loss += float(functional.cross_entropy(logits_BK, labels_B, reduction="sum"))
                right += int((logits_BK.argmax(1) == labels_B).sum())
        print(f"{name:42} {100 * right / len(index):5.1f} % {loss / len(index):8.2f}", flush=True)

    some = prepared(torch.from_numpy(np.ascontiguousarray(data.images_NHWC[data.train[:5000]])))
    mean, std = some.mean((0, 2, 3), keepdim=True), some.std((0, 2, 3), keepdim=True)
    shuffled = np.random.default_rng(0).permutation(data.test)
    by_class = data.test[np.argsort(data.labels_N[data.test], kind="stable")]
    by_batch = copy.deepcopy(network).train()
    print(f"{'test images':42} accuracy     loss")
    judge("as in training", lambda x: x, shuffled, network)
    judge("a tenth too bright", lambda x: 1.1 * x, shuffled, network)
    judge("blue and red exchanged", lambda x: x.flip(1), shuffled, network)
    judge("in [-1, 1]", lambda x: 2 * x - 1, shuffled, network)
    judge("standardized", lambda x: (x - mean) / std, shuffled, network)
    judge("divided by 255 twice", lambda x: x / 255, shuffled, network)
    judge(f"normalized by batches of {BATCH}, shuffled", lambda x: x, shuffled, copy.deepcopy(by_batch))
    judge(f"normalized by batches of {BATCH}, by class", lambda x: x, by_class, by_batch)
    judge("8 times too large", lambda x: 8 * x, shuffled, network)
    judge("30 times too large", lambda x: 30 * x, shuffled, network)
    judge("not scaled at all", lambda x: 255 * x, shuffled, network)


if __name__ == "__main__":
    main()
