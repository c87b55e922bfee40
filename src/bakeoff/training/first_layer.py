"""Shows training images to a first layer that is set by them, before the first step."""

from __future__ import annotations

import time

import torch

from bakeoff import rng
from bakeoff.data.batches import ImageStore, evaluation_batches
from bakeoff.models.whitening import first_measured
from bakeoff.training.classifier import Classifier
from bakeoff.training.job import Job

IMAGES = 2048  # of the training images; Jordan takes 5,000 of a quarter of the pixels
BATCH = 64  # of these at a time: their patches take many times their memory


def show_first(model: Classifier, store: ImageStore, job: Job) -> float:
    """Show a network's first layer training images, if it is one that is set by them.

    Args:
        model: On the store's device; changed in place.
        store: The task's images.
        job: Whose; its seed draws the images.

    Returns:
        Seconds that it took; 0 where nothing is to be measured.
    """
    layer = first_measured(model.network)
    if layer is None:
        return 0.0
    started = time.perf_counter()
    drawn = rng.generator(job.seed, "first layer").permutation(job.data.train)[:IMAGES]
    with torch.no_grad():
        layer.measure(
            model.preprocess(batch.images_BHWC) for batch in evaluation_batches(store, drawn, BATCH)
        )
    return time.perf_counter() - started
