"""The loss of a batch: cross-entropy with smoothing, class weights and mixed labels.

Shape letters: B images of a batch, K classes, N training images.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bakeoff.data.batches import Batch


def balanced_weights(labels_N: np.ndarray, classes: int) -> Tensor:
    """Weigh each class by the inverse of its share, so that every class counts alike.

    Args:
        labels_N: Of the training images.
        classes: K.

    Returns:
        float32 of shape (K,); the mean over the training images is 1.

    >>> balanced_weights(np.array([0, 0, 0, 1]), 2).tolist()
    [0.6666666865348816, 2.0]
    """
    counts = np.bincount(labels_N, minlength=classes)
    return torch.from_numpy(len(labels_N) / (classes * np.maximum(counts, 1))).float()


class Objective:
    """Cross-entropy in fp32 on logits of any precision.

    Args:
        label_smoothing: Share of the label spread over all classes (Szegedy et al.,
            CVPR 2016, section 7).
        class_weights: (K,), or None to weigh all alike. The weighted losses are
            averaged over the images, so that a batch without a rare class has a
            small loss instead of a rescaled one.
    """

    def __init__(self, label_smoothing: float = 0.0, class_weights: Tensor | None = None) -> None:
        self.label_smoothing = label_smoothing
        self.class_weights = class_weights

    def __call__(self, logits_BK: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of a batch in nats; with mixing, weighted over both labels."""
        loss = self._mean(logits_BK.float(), batch.labels_B)
        if batch.partner_labels_B is None:
            return loss
        partner = self._mean(logits_BK.float(), batch.partner_labels_B)
        return batch.kept * loss + (1 - batch.kept) * partner

    def _mean(self, logits_BK: Tensor, labels_B: Tensor) -> Tensor:
        if self.class_weights is None:
            return F.cross_entropy(logits_BK, labels_B, label_smoothing=self.label_smoothing)
        losses_B = F.cross_entropy(
            logits_BK, labels_B, label_smoothing=self.label_smoothing, reduction="none"
        )
        return (losses_B * self.class_weights[labels_B]).mean()
