"""From bytes to the numbers a network takes; part of the model, so that it ships with it.

Shape letters: B images, N images of a task, H rows, W columns, C = 3 channels.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

Interpolation = Literal["bilinear", "bicubic"]

RESIZING = 2  # raised when what `Preprocess` makes of images of another size changes: runs are trained anew
SAMPLE = 10_000  # images that channel statistics are taken from, evenly spaced, when there are more


def channel_statistics(
    images_NHWC: np.ndarray, index: np.ndarray
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Measure mean and standard deviation of each channel, on the scale of the bytes (0..255).

    Args:
        images_NHWC: All images of a task, uint8.
        index: The training images among them. Of more than 10,000, as many are
            used, evenly spaced.

    Returns:
        Three means and three standard deviations; a channel without any variation
        gets the deviation 1.
    """
    if len(index) > SAMPLE:
        index = index[np.linspace(0, len(index) - 1, SAMPLE).astype(np.int64)]
    counts = np.zeros((3, 256), dtype=np.int64)
    for start in range(0, len(index), 1000):
        chunk = images_NHWC[index[start : start + 1000]]
        for channel in range(3):
            counts[channel] += np.bincount(chunk[..., channel].ravel(), minlength=256)
    values = np.arange(256)
    total = counts.sum(axis=1)
    mean = (counts * values).sum(axis=1) / total
    variance = (counts * values**2).sum(axis=1) / total - mean**2
    deviation = np.where(variance > 1e-6, np.sqrt(np.maximum(variance, 0)), 1.0)
    return tuple(mean.tolist()), tuple(deviation.tolist())


class Preprocess(nn.Module):
    """Turn bytes (B, H, W, 3) into normalized floats (B, 3, S, S) in channels-last memory.

    Args:
        mean: Of each channel, on the scale of the bytes.
        std: Likewise.
        input_size: Pixels of both sides that the network takes; images of another
            size are resized on their device, antialiased. Bytes become bytes, as with Pillow.
        interpolation: How images are made smaller. Enlarged ones are bilinear: a network whose
            images were reduced by bicubic curves still sees less well what these enlarge
            (docs/findings.md, 2026-11-24).
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        input_size: int,
        interpolation: Interpolation = "bilinear",
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.interpolation = interpolation
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1))
        self.register_buffer("scale", 1 / torch.tensor(std).reshape(1, -1, 1, 1))

    def forward(self, images_BHWC: Tensor) -> Tensor:
        """Normalize; accepts bytes, or floats on the same scale."""
        # Images stored row by row with their channels last are channels-last memory as they are.
        images_BCHW = images_BHWC.permute(0, 3, 1, 2)
        if images_BCHW.shape[-2:] != (self.input_size, self.input_size):
            images_BCHW = self._resized(images_BCHW)
        return self._normalized(images_BCHW)

    def _normalized(self, images_BCHW: Tensor) -> Tensor:
        """Normalize; a processor takes whole rows, as three channels are too few for its vectors."""
        images_BHWC = images_BCHW.permute(0, 2, 3, 1)
        columns, channels = images_BHWC.shape[2:]
        # Asked of the rows alone: nothing about the number of images may be fixed where this is exported.
        if images_BCHW.device.type != "cpu" or images_BHWC.stride()[2:] != (channels, 1):
            return (images_BCHW.float() - self.mean) * self.scale
        mean_R, scale_R = (values.flatten().repeat(columns) for values in (self.mean, self.scale))
        rows_BHR = (images_BHWC.flatten(2).float() - mean_R).mul_(scale_R)  # R: columns by channels
        return rows_BHR.reshape(images_BHWC.shape).permute(0, 3, 1, 2)

    def _resized(self, images_BCHW: Tensor) -> Tensor:
        """Resize; a processor takes bytes as they are, which is twenty times as fast as floats."""
        in_bytes = images_BCHW.dtype == torch.uint8
        if not (in_bytes and images_BCHW.device.type == "cpu"):
            images_BCHW = images_BCHW.float()
        size = (self.input_size, self.input_size)
        mode = self.interpolation if min(images_BCHW.shape[-2:]) > self.input_size else "bilinear"
        resized_BCHW = F.interpolate(images_BCHW, size=size, mode=mode, antialias=True)
        if resized_BCHW.dtype != torch.uint8:
            resized_BCHW = resized_BCHW.clamp(0, 255)  # bicubic curves overshoot
            if in_bytes:
                resized_BCHW = resized_BCHW.round()
        return resized_BCHW
