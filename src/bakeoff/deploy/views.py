"""The views in which a recipe evaluates each image, as rows and columns to be taken.

Shape letters: B images, H rows, W columns, C channels, S pixels of both sides.
"""

from __future__ import annotations

import numpy as np
import torch

from bakeoff.data.augment import evaluation_views
from bakeoff.spec.recipe import TestViews


def view_indices(size: int, views: TestViews) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """List the rows and the columns that each view takes of an image, with the view's weight.

    They are read off an image whose pixels say where they are, seen as the scored ones were.

    >>> [(weight, rows.tolist(), columns.tolist()) for weight, rows, columns in view_indices(3, "mirror")]
    [(0.5, [0, 1, 2], [0, 1, 2]), (0.5, [0, 1, 2], [2, 1, 0])]
    """
    rows_HW, columns_HW = np.indices((size, size))
    places_HWC = np.stack([rows_HW // 256, rows_HW % 256, columns_HW // 256, columns_HW % 256], axis=2)
    found = []
    for weight, seen_BHWC in evaluation_views(torch.from_numpy(places_HWC.astype(np.uint8)[None]), views):
        seen_HWC = seen_BHWC[0].numpy().astype(np.int64)
        rows_S = 256 * seen_HWC[:, 0, 0] + seen_HWC[:, 0, 1]
        found.append((weight, rows_S, 256 * seen_HWC[0, :, 2] + seen_HWC[0, :, 3]))
    return found
