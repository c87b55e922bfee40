"""Predictions of a split, and the one place where test images are read.

Shape letters: N images of a split, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime

import numpy as np
import torch
from torch import nn

from bakeoff.data.augment import evaluation_views
from bakeoff.data.batches import ImageStore, evaluation_batches
from bakeoff.records import RunFolder
from bakeoff.spec.recipe import TestViews

BATCH = 128  # images; larger ones were not faster on a processor and cost memory


@torch.no_grad()
def predict(
    model: nn.Module,
    store: ImageStore,
    index: np.ndarray,
    *,
    autocast: Callable[[], torch.autocast] | None = None,
    beat: Callable[[int, int], None] | None = None,
    views: TestViews = "one",
    temperature: float = 1.0,
) -> np.ndarray:
    """Compute the probabilities of all classes for the images of an index.

    Args:
        model: From bytes to logits; it is left in the mode in which it came.
        store: The task's images.
        index: Which of them, and in which order.
        autocast: The precision; None is fp32 throughout.
        beat: Called with images done and images in all, after every batch.
        views: In which forms each image is seen; the logits are averaged. Kept features have one.
        temperature: That the logits are divided by; 1 leaves the probabilities as the network has them.

    Returns:
        float32 of shape (N, K); not finite where the network's outputs are not.
    """
    training = model.training
    model.eval()
    parts: list[np.ndarray] = []
    done = 0
    try:
        for batch in evaluation_batches(store, index, BATCH):
            with nullcontext() if autocast is None else autocast():
                logits_BK = sum(
                    weight * model(images_BHWC).float()
                    for weight, images_BHWC in evaluation_views(batch.images_BHWC, views)
                )
            if temperature != 1.0:
                logits_BK = logits_BK / temperature
            parts.append(logits_BK.softmax(dim=1).cpu().numpy())
            done += len(parts[-1])
            if beat is not None:
                beat(done, len(index))
    finally:
        model.train(training)
    return np.concatenate(parts)


def score(probabilities_NK: np.ndarray, labels_N: np.ndarray) -> dict[str, float]:
    """Return mean loss (nats) and accuracy of a split.

    A probability of exactly 0 counts as the smallest float32 above it, so that one
    image cannot make the mean infinite.
    """
    own_N = probabilities_NK[np.arange(len(labels_N)), labels_N].astype(np.float64)
    loss = -np.log(np.maximum(own_N, np.finfo(np.float32).tiny)).mean()
    accuracy = (probabilities_NK.argmax(axis=1) == labels_N).mean()
    return {"loss": float(loss), "accuracy": float(accuracy)}


def read_test(
    model: nn.Module,
    store: ImageStore,
    index: np.ndarray,
    folder: RunFolder,
    *,
    purpose: str,
    beat: Callable[[int, int], None] | None = None,
    views: TestViews = "one",
) -> np.ndarray:
    """Predict the test images in fp32, and note in the run's folder that they were read.

    The note is written before the first image is, so that an interrupted reading shows.

    Args:
        model: From bytes to logits.
        store: The task's images.
        index: The test images among them.
        folder: The run's; receives the note.
        purpose: Why they are read; a `records.run.VERIFICATION` is noted beside the run's own readings.
        beat: As for `predict`.
        views: As for `predict`.

    Returns:
        As `predict`.
    """
    note_reading(folder, purpose, len(index))
    return predict(model, store, index, beat=beat, views=views)


def note_reading(folder: RunFolder, purpose: str, images: int) -> None:
    """Note in a run's folder that its test images are about to be read.

    Args:
        folder: The run's.
        purpose: Why they are read.
        images: How many.
    """
    folder.note_test_reading({
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "purpose": purpose,
        "images": str(images),
    })  # fmt: skip
