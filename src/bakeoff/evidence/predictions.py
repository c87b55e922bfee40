"""From class probabilities to what a run keeps of them: the label's loss and the five best classes.

Shape letters: N images, K classes, T = min(5, K).
"""

from __future__ import annotations

import numpy as np

from bakeoff.records import Predictions

KEPT = 5  # classes kept per image; enough for top-5 accuracy and for naming confusions
SMALLEST = float(np.finfo(np.float32).tiny)  # 1.2e-38: the smallest probability that no hardware flushes to 0
WORST_LOSS = float(np.float32(-np.log(SMALLEST)))  # 87.3 nats, as stored: what a label of probability 0 costs


def summarise_probabilities(
    probabilities_NK: np.ndarray, labels_N: np.ndarray, index_N: np.ndarray
) -> Predictions:
    """Keep, for each image, the label's loss and the classes with the highest probability.

    Equal probabilities are ordered by the lower class index, so the outcome does
    not depend on the sorting algorithm or the machine.

    Args:
        probabilities_NK: Class probabilities (float32); each row sums to one.
        labels_N: Class indices in ``[0, K)``.
        index_N: Which of the task's images each row is.

    Returns:
        The compact predictions; losses are in nats, at most 87.3.

    Raises:
        ValueError: A probability is not finite (the network diverged) or below 0, a label is
            no class, or the lengths differ.

    >>> kept = summarise_probabilities(np.float32([[0.25, 0.5, 0.25]]), np.array([1]), np.array([7]))
    >>> kept.top_NT.tolist(), [round(loss, 4) for loss in kept.loss_N.tolist()]
    ([[1, 0, 2]], [0.6931])
    """
    probabilities_NK = np.asarray(probabilities_NK, dtype=np.float32)
    labels_N, index_N = np.asarray(labels_N), np.asarray(index_N)
    _check(probabilities_NK, labels_N, index_N)
    kept = min(KEPT, probabilities_NK.shape[1])
    # Stable, on the negated values: ties stay in the order of the class index.
    top_NT = np.argsort(-probabilities_NK, axis=1, kind="stable")[:, :kept]
    label_probability_N = probabilities_NK[np.arange(len(labels_N)), labels_N]
    # In double precision: a float32 logarithm differs in its last bit between processors.
    loss_N = -np.log(np.clip(label_probability_N.astype(np.float64), SMALLEST, 1.0))
    return Predictions(
        index_N=index_N.astype(np.int32),
        label_N=labels_N.astype(np.int16),
        loss_N=(loss_N + 0.0).astype(np.float32),  # + 0.0 turns -0.0 into 0.0
        top_NT=top_NT.astype(np.int16),
        probability_NT=np.take_along_axis(probabilities_NK, top_NT, axis=1),
    )


def _check(probabilities_NK: np.ndarray, labels_N: np.ndarray, index_N: np.ndarray) -> None:
    if probabilities_NK.ndim != 2 or probabilities_NK.shape[1] < 2:
        raise ValueError(f"probabilities: got shape {probabilities_NK.shape}, expected (images, classes)")
    images, classes = probabilities_NK.shape
    if labels_N.shape != (images,) or index_N.shape != (images,):
        raise ValueError(
            f"labels and index: got shapes {labels_N.shape} and {index_N.shape}, expected ({images},) twice"
        )
    if not np.isfinite(probabilities_NK).all():
        bad = int((~np.isfinite(probabilities_NK)).any(axis=1).sum())
        raise ValueError(f"probabilities: not finite for {bad} of {images} images; the network diverged")
    if images and probabilities_NK.min() < 0:
        raise ValueError(f"probabilities: got {probabilities_NK.min():g}, expected values of at least 0")
    if images and not (labels_N.min() >= 0 and labels_N.max() < classes):
        raise ValueError(f"labels: got {labels_N.min()} to {labels_N.max()}, expected 0 to {classes - 1}")
