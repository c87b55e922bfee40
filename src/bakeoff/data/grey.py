"""Images in grey, chunk by chunk: what the checks look at, streamed over the mapped array.

Shape letters: N images, H rows, W columns, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

CHUNK_BYTES = 24_000_000  # of grey pixels at a time, whatever the images' size

_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114


def grey(images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Weigh the channels to one brightness on the scale of the bytes, 0 to 255.

    Source:
        ITU-R Recommendation BT.601-7, section 2.5.1; the weights with which Pillow converts to "L".

    >>> grey(np.array([[[[255, 0, 0], [255, 255, 255]]]], dtype=np.uint8)).round().tolist()
    [[[76.0, 255.0]]]
    """
    weights_C = np.array([_RED, _GREEN, _BLUE], dtype=np.float32)
    grey_NHW: NDArray[np.float32] = images_NHWC.astype(np.float32) @ weights_C
    return grey_NHW


def chunks(images_NHWC: NDArray[np.uint8]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield images in order, a bounded number of bytes at a time, each chunk with its first position."""
    _, height, width, _ = images_NHWC.shape
    step = max(1, CHUNK_BYTES // (4 * height * width))
    for start in range(0, len(images_NHWC), step):
        yield start, images_NHWC[start : start + step]
