"""Which parts of an image a class stands on: cover a part, and see how far its probability falls.

Nothing but the model's answers is needed, so that it works for every network, from outside.

Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014,
section 4.2; covered here with the image's own mean colour instead of grey.

Shape letters: H rows, W columns, C channels, P positions of the cover, G cells of a side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CELLS = 14  # of a side of the map, at most: an image of fewer pixels has as many as it has pixels
COVER = 4  # cells of a side of the cover


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells over a square image, and a cover of several cells that is laid on every place where it fits."""

    size: int  # pixels of a side of the image
    cells: int  # of a side
    cover: int  # cells of a side of the cover

    @classmethod
    def over(cls, size: int) -> Grid:
        """Lay the usual grid over an image, or a coarser one over a very small image."""
        cells = min(CELLS, size)
        return cls(size, cells, max(1, round(cells * COVER / CELLS)))

    @property
    def places(self) -> int:
        """Places of the cover in one direction."""
        return self.cells - self.cover + 1

    def edges(self) -> list[int]:
        """Return the pixels at which cells begin, and the end of the last: cells + 1 numbers."""
        return [round(k * self.size / self.cells) for k in range(self.cells + 1)]


def covered(image_HWC: NDArray[np.uint8], grid: Grid) -> NDArray[np.uint8]:
    """Cover every place of the grid in turn.

    Args:
        image_HWC: A square image.
        grid: Of its size.

    Returns:
        Of shape (places squared, H, W, 3), row by row.
    """
    colour_C = np.rint(image_HWC.reshape(-1, 3).mean(axis=0)).astype(np.uint8)
    images_PHWC = np.repeat(image_HWC[None], grid.places**2, axis=0)
    edges = grid.edges()
    for place, image in enumerate(images_PHWC):
        row, column = divmod(place, grid.places)
        bottom, right = edges[row + grid.cover], edges[column + grid.cover]
        image[edges[row] : bottom, edges[column] : right] = colour_C
    return images_PHWC


def heat_map(probability: float, covered_P: NDArray[np.float32], grid: Grid) -> NDArray[np.float64]:
    """Average, for every cell, how far the probability fell whenever the cell was covered.

    Args:
        probability: Of the class, with nothing covered.
        covered_P: The same with each place covered, in the order of `covered`.
        grid: Whose places they are.

    Returns:
        Of shape (G, G), in [-1, 1]; above zero where the class needs what is there.
    """
    sums_GG = np.zeros((grid.cells, grid.cells))
    counts_GG = np.zeros((grid.cells, grid.cells))
    for place, found in enumerate(covered_P):
        row, column = divmod(place, grid.places)
        cells = slice(row, row + grid.cover), slice(column, column + grid.cover)
        sums_GG[cells] += probability - float(found)
        counts_GG[cells] += 1
    mean_GG: NDArray[np.float64] = sums_GG / counts_GG
    return mean_GG
