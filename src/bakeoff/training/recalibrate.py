"""Batch normalization's statistics, measured again for the weights as they are.

The moving averages that training leaves lag behind: with Keras's momentum of 0.99 a run of
100 steps still holds a third of their arbitrary start, and averaged weights have statistics
of no network that ever ran. Measured anew on training images they are right at any time.

Source: Wu and Johnson, "Rethinking 'Batch' in BatchNorm", arXiv 2105.07576, section 3.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from bakeoff import rng
from bakeoff.data.batches import ImageStore, evaluation_batches
from bakeoff.models.transfer import still_layers

IMAGES = 2048  # of the training images; the source finds a thousand enough


def recalibrate(
    model: nn.Module,
    store: ImageStore,
    index: np.ndarray,
    *,
    batch_size: int,
    seed: int,
    autocast: Callable[[], torch.autocast] | None = None,
) -> None:
    """Replace the moving averages by plain averages over batches of training images.

    Args:
        model: From bytes to logits. Its weights stay as they are, and so do the
            statistics of frozen layers; a model without batch normalization is left alone.
        store: The task's images.
        index: The training images among them; up to 2,048, drawn without repetition.
        batch_size: Images of a batch, as in training.
        seed: The run's; names the stream of the draw.
        autocast: The precision; None is fp32.
    """
    kept = still_layers(model)
    norms = [
        m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats and m not in kept
    ]
    if not norms:
        return
    drawn = rng.generator(seed, "norm statistics").permutation(index)[:IMAGES]
    if len(drawn) % batch_size == 1 and len(drawn) > 1:
        drawn = drawn[:-1]  # batch normalization cannot use a single image
    modes = [(module, module.training) for module in model.modules()]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches
        norm.train()
    try:
        with torch.no_grad():
            for batch in evaluation_batches(store, drawn, batch_size):
                with autocast() if autocast is not None else torch.autocast(store.device.type, enabled=False):
                    model(batch.images_BHWC)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, training in modes:
            module.training = training
