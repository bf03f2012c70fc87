"""Polygons give the mask back that they were made from, whatever its shape."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from matplotlib.path import Path as Polygon

from samurai_batch.exports.outlines import mask_outline, polygon_mask
from samurai_batch.masks import decode_mask

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.booleans()).filter(np.any)


@given(masks)
def test_a_mask_of_any_shape_is_one_polygon_and_back(mask: np.ndarray) -> None:
    rle = polygon_mask([mask_outline(mask).ravel().tolist()], *mask.shape)
    assert rle is not None
    np.testing.assert_array_equal(decode_mask(rle), mask)


@given(masks)
def test_other_programs_fill_the_same_pixels(mask: np.ndarray) -> None:
    height, width = mask.shape
    grid = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.51)
    centres = np.stack(grid, axis=2).reshape(-1, 2)
    corners = mask_outline(mask)
    inside = Polygon(np.concatenate([corners, corners[:1]])).contains_points(centres)
    np.testing.assert_array_equal(inside.reshape(mask.shape), mask)


def test_a_ring_has_its_hole_and_straight_edges_have_no_more_corners_than_they_need() -> None:
    square = np.zeros((6, 7), np.bool_)
    square[1:4, 2:6] = True
    assert mask_outline(square).tolist() == [[2, 1], [6, 1], [6, 4], [2, 4]]
    ring = np.ones((5, 5), np.bool_)
    ring[2, 2] = False
    assert len(mask_outline(ring)) == 4 + 4 + 2


def test_what_has_no_area_is_no_mask() -> None:
    assert polygon_mask([], 4, 4) is None
    assert polygon_mask([[1, 1, 3, 3]], 4, 4) is None
    assert polygon_mask([[1, 1, 1, 1, 1, 1]], 4, 4) is None
