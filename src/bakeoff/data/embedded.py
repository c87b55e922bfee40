"""scikit-learn's handwritten digits: 1,797 grey images of 8x8 that come with the library.

The one source that is always there. Its values of 0 to 16 are scaled to 0..255, and
the images are drawn up to the task's size by the same resize as any file.

Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI 1998.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bakeoff.data.source import InMemory, Item, Listing, Opening


class ArrayReader(InMemory):
    """Images that are in memory already, as rows of one array."""

    def __init__(self, images_NHW: NDArray[np.uint8], rows: dict[str, int]) -> None:
        """Remember the images, of shape (N, H, W) or (N, H, W, 3), and each key's row."""
        self.images_NHW = images_NHW
        self.rows = rows

    def read(self, key: str) -> Image.Image:
        """Return one image."""
        return Image.fromarray(self.images_NHW[self.rows[key]])


def open_digits(_path: Path, _opening: Opening) -> Listing:
    """List the digits; nothing is read from disk but the library's own file."""
    import sklearn
    from sklearn.datasets import load_digits

    images_NHW, labels_N = load_digits(return_X_y=True)
    images_NHW = np.rint(images_NHW.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    keys = [f"digit/{row:04d}" for row in range(len(labels_N))]
    items = [Item(key, str(int(label))) for key, label in zip(keys, labels_N, strict=True)]
    reader = ArrayReader(images_NHW, {key: row for row, key in enumerate(keys)})
    sentence = "handwritten digits of scikit-learn (Alpaydin and Kaynak 1998), 1,797 grey images of 8x8"
    return Listing(items, reader, f"digits of scikit-learn {sklearn.__version__}", sentence)
