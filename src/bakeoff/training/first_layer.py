"""Shows training images to a first layer that is set by them, before the first step."""

from __future__ import annotations

import time

import torch

from bakeoff import rng
from bakeoff.data.batches import ImageStore, evaluation_batches
from bakeoff.models.whitening import set_by_images
from bakeoff.training.classifier import Classifier
from bakeoff.training.job import Job

IMAGES = 2048  # of the training images; Jordan takes 5,000 of CIFAR-10
PIXELS = 2**18  # of the images that are looked at together


def show_first(model: Classifier, store: ImageStore, job: Job) -> float:
    """Show a network's first layer training images, if it is one that is set by them.

    Args:
        model: On the store's device; changed in place.
        store: The task's images.
        job: Whose; its seed draws the images.

    Returns:
        Seconds that it took; 0 where nothing is to be measured.
    """
    layer = set_by_images(model.network)
    if layer is None:
        return 0.0
    started = time.perf_counter()
    drawn = rng.generator(job.seed, "first layer").permutation(job.data.train)[:IMAGES]
    together = max(1, PIXELS // max(job.input_size, job.data.images_NHWC.shape[1]) ** 2)
    with torch.no_grad():
        layer.set_by(
            model.preprocess(batch.images_BHWC) for batch in evaluation_batches(store, drawn, together)
        )
    return time.perf_counter() - started
