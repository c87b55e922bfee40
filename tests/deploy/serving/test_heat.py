from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from bakeoff.deploy.serving.heat import Grid, covered, heat_map


@pytest.mark.parametrize(("size", "cells", "cover"), [(64, 14, 4), (224, 14, 4), (8, 8, 2), (1, 1, 1)])
def test_the_grid_follows_the_image_and_ends_with_it(size: int, cells: int, cover: int) -> None:
    grid = Grid.over(size)
    assert (grid.cells, grid.cover) == (cells, cover)
    edges = grid.edges()
    assert edges[0] == 0
    assert edges[-1] == size
    assert all(a < b for a, b in pairwise(edges))


def test_every_place_is_covered_once_row_by_row_with_the_mean_colour() -> None:
    image_HWC = np.zeros((6, 6, 3), np.uint8)
    image_HWC[:3] = (200, 100, 0)
    grid = Grid(6, 3, 2)
    images_PHWC = covered(image_HWC, grid)
    assert images_PHWC.shape == (4, 6, 6, 3)
    expected = image_HWC.copy()
    expected[0:4, 2:6] = (100, 50, 0)  # the second place: above, right
    np.testing.assert_array_equal(images_PHWC[1], expected)
    assert image_HWC[0, 0, 0] == 200  # the image itself is as it was


def test_the_map_is_warm_exactly_where_the_class_is() -> None:
    """The class is one bright pixel at row 5, column 8 of 14: off the diagonal, so swapped axes show."""
    grid = Grid(14, 14, 4)
    image_HWC = np.zeros((14, 14, 3), np.uint8)
    image_HWC[5, 8] = 255
    covered_P = covered(image_HWC, grid)[:, 5, 8, 0].astype(np.float32) / 255
    drops_GG = heat_map(1.0, covered_P, grid)
    assert drops_GG.shape == (14, 14)
    assert np.unravel_index(drops_GG.argmax(), drops_GG.shape) == (5, 8)
    assert drops_GG[5, 8] == pytest.approx(1 - 1 / 255, abs=0.01)
    assert drops_GG[12, 2] == 0


def test_cells_average_over_the_covers_that_hid_them() -> None:
    grid = Grid(3, 3, 2)  # covers at four places; the middle cell is hidden by all of them
    drops_GG = heat_map(0.5, np.array([0.1, 0.5, 0.7, 0.5], np.float32), grid)
    assert drops_GG[0, 0] == pytest.approx(0.4)
    assert drops_GG[0, 1] == pytest.approx((0.4 + 0.0) / 2)
    assert drops_GG[1, 1] == pytest.approx((0.4 + 0.0 - 0.2 + 0.0) / 4)
    assert drops_GG[2, 0] == pytest.approx(-0.2)
