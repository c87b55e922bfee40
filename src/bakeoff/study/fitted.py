"""A run's network apart from its folder: it can be pickled, and classifies images that are drawn already.

`study.trained` is for runs that lie on disk, and for images from anywhere.

Shape letters: N images, H rows, W columns, C channels, K classes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save

from bakeoff.data.batches import ImageStore
from bakeoff.records import RunFolder
from bakeoff.spec import TaskSpec
from bakeoff.spec.recipe import TestViews
from bakeoff.study.earlier import Earlier, earlier_run
from bakeoff.training.classifier import Classifier, build_classifier, placed
from bakeoff.training.evaluate import predict
from bakeoff.training.loop import own_global_state


class Fitted:
    """A trained network that can be pickled: it is built anew from what it is, on a processor."""

    def __init__(self, earlier: Earlier, base_dir: Path, weights: bytes) -> None:
        self.task: TaskSpec = earlier.task
        self._earlier = replace(earlier, seen=None)  # digests of all images: a large part of a pickle
        self._base_dir = base_dir
        self._model = self._built(weights)

    @classmethod
    def of(cls, run: RunFolder, base_dir: Path) -> Fitted:
        """Read a finished run."""
        earlier = earlier_run(str(run.path.absolute()), 0, base_dir, asker="fit", own_files=True)
        return cls(earlier, base_dir, run.weights_path.read_bytes())

    def probabilities(self, images_NHWC: NDArray[np.uint8], device: torch.device) -> NDArray[np.float32]:
        """Compute the probabilities of all classes, as the run's own evaluation does."""
        if next(self._model.buffers()).device != device:
            placed(self._model, device)
        store = ImageStore(images_NHWC, np.zeros(len(images_NHWC), np.int64), device)
        views: TestViews = self._earlier.record.recipe.get("test_views", "one")
        return predict(self._model, store, np.arange(len(images_NHWC)), views=views)

    def _built(self, weights: bytes) -> Classifier:
        earlier = self._earlier
        with own_global_state(torch.device("cpu")):
            model = build_classifier(
                earlier.architecture, classes=earlier.classes, input_size=earlier.record.input_size,
                mean=earlier.mean, std=earlier.std, seed=earlier.record.seed, base_dir=self._base_dir,
                trained=False,
            )  # fmt: skip
        model.load_state_dict(load(weights))
        return placed(model, torch.device("cpu")).eval()

    def __getstate__(self) -> dict[str, Any]:
        weights = {
            name: tensor.to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, tensor in self._model.state_dict().items()
        }
        return {**{k: v for k, v in vars(self).items() if k != "_model"}, "weights": save(weights)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        weights = state.pop("weights")
        vars(self).update(state)
        self._model = self._built(weights)
