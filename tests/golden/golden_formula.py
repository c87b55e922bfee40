"""Weights and images by integer arithmetic, the same in Keras's environment and in the tests."""

from __future__ import annotations

import numpy as np

IMAGES = 4


def formula(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Fill an array with numbers in [-1, 1) by integer arithmetic alone (splitmix64)."""
    values = np.arange(int(np.prod(shape)), dtype=np.uint64)
    with np.errstate(over="ignore"):
        values = (values + np.uint64(1_000_003 * (seed + 1))) * np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    values = (values ^ (values >> np.uint64(31))) >> np.uint64(40)
    return (values.astype(np.float64) / 2**23 - 1).reshape(shape).astype(np.float32)


def formula_weights(shapes: list[tuple[int, ...]], norm: bool) -> list[np.ndarray]:
    """Make weights in Keras's order and axes; no statistic of batch normalisation is trivial.

    Args:
        shapes: As Keras stores them: kernel, bias, then gamma, beta, mean, variance when `norm`.
        norm: Whether batch normalisation follows every layer but the last.
    """
    weights = []
    for index, shape in enumerate(shapes):
        values = formula(index, shape)
        part = index % 6 if norm else index % 2
        if part == 0:  # kernel: keeps the size of activations through relu
            values = values * np.float32(np.sqrt(6 / np.prod(shape[:-1])))
        elif part in (2, 5):  # gamma, variance
            values = 1 + values / 2
        else:  # bias, beta, mean
            values = values / 4
        weights.append(values.astype(np.float32))
    return weights


def formula_images(size: int) -> np.ndarray:
    """Make images_BHWC in [0, 1)."""
    return (formula(10_000 + size, (IMAGES, size, size, 3)) + 1) / 2


def formula_weight(index: int, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Make one weight of a kind that Keras names: kernel, bias, gamma, beta, mean or variance."""
    values = formula(index, shape)
    if kind == "kernel":  # keeps the size of activations through relu; a depthwise kernel is H, W, C, 1
        depthwise = len(shape) == 4 and shape[3] == 1
        inputs = shape[0] * shape[1] if depthwise else int(np.prod(shape[:-1]))
        return (values * np.float32(np.sqrt(6 / inputs))).astype(np.float32)
    if kind in ("gamma", "variance"):
        return (1 + values / 2).astype(np.float32)
    return (values / 4).astype(np.float32)
