"""The whole classifier as one module that torch can trace: from drawn bytes to probabilities.

It computes what scored the run, operation by operation, so that what is stored of it can be held to the
same bits. Only images of the study's size: drawing is `data.decode`'s part.

Shape letters: B images, S pixels of the study's images, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bakeoff.data.predictor import Predictor, Uncalibrated
from bakeoff.deploy.bundle import About
from bakeoff.deploy.views import view_indices
from bakeoff.spec.recipe import TestViews
from bakeoff.training.classifier import Classifier
from bakeoff.training.evaluate import BATCH

Compute = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Answering:
    """How a classifier's logits become its answer."""

    image_size: int
    views: TestViews = "one"
    temperature: float = 1.0


class Shipped(nn.Module):
    """A classifier with its views, its temperature and a softmax.

    Args:
        classifier: In evaluation mode.
        answering: How its logits become probabilities.
    """

    def __init__(self, classifier: Classifier, answering: Answering) -> None:
        super().__init__()
        self.classifier = classifier
        self.temperature = answering.temperature
        self._weights: list[float] = []
        for number, (weight, rows_S, columns_S) in enumerate(
            view_indices(answering.image_size, answering.views)
        ):
            self._weights.append(weight)
            self.register_buffer(f"rows{number}", torch.from_numpy(rows_S), persistent=False)
            self.register_buffer(f"columns{number}", torch.from_numpy(columns_S), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Compute probabilities_BK from bytes of shape (B, S, S, 3)."""
        if len(self._weights) == 1:
            logits_BK = self.classifier(images).float()
        else:
            logits_BK = sum(
                weight * self.classifier(self._view(images, number)).float()
                for number, weight in enumerate(self._weights)
            )
        if self.temperature != 1.0:
            logits_BK = logits_BK / self.temperature
        found_BK: Tensor = logits_BK.softmax(dim=1)
        return found_BK

    def _view(self, images_BSSC: Tensor, number: int) -> Tensor:
        """Take the rows and columns of a view."""
        rows_S, columns_S = (self.get_buffer(f"{name}{number}") for name in ("rows", "columns"))
        return images_BSSC.index_select(1, rows_S).index_select(2, columns_S)


class InTorch(Predictor):
    """A classifier in torch, read from a file; it says what it is as an ONNX file would.

    Args:
        compute: From bytes (B, S, S, 3) to probabilities, on the processor.
        about: What it is.
    """

    def __init__(self, compute: nn.Module, about: About) -> None:
        super().__init__(about.class_names, about.image_size, about.fit)
        self.about = about
        self._compute = compute

    def score(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the probabilities of all classes for images that are drawn.

        Args:
            images_NHWC: Bytes of shape (B, image_size, image_size, 3).

        Returns:
            Of shape (B, K).
        """
        return computed(self._compute, images_NHWC, len(self.class_names))

    def weights(self) -> dict[str, Tensor]:
        """Return what it computes with, by the names that the run's classifier has for it."""
        return self._compute.state_dict()

    def raw(self) -> Predictor:
        """Return the same without its calibration."""
        return Uncalibrated(self, self.about.temperature)


@torch.no_grad()
def computed(compute: Compute, images_NHWC: NDArray[np.uint8], classes: int) -> NDArray[np.float32]:
    """Compute in batches of the size in which runs are scored.

    Args:
        compute: From bytes to probabilities.
        images_NHWC: Bytes.
        classes: K.

    Returns:
        Probabilities, (N, K).
    """
    parts = [
        compute(torch.from_numpy(np.array(images_NHWC[start : start + BATCH]))).numpy()
        for start in range(0, len(images_NHWC), BATCH)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, classes), np.float32)
