"""Masks in the video's pixels, and the filling of holes against a slow flood fill."""

from collections import deque

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from torch import Tensor

from samurai_batch.tracking.video_masks import FILLED_LOGIT, fill_holes, to_video_masks

grids = arrays(np.int8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([-1, 0, 1, 1, 1]))


def flood_filled(logits: NDArray[np.int8], max_area: int) -> NDArray[np.float64]:
    """Every background part (8-connected, found cell by cell) of at most so many cells, raised."""
    height, width = logits.shape
    out, seen = logits.astype(np.float64), set[tuple[int, int]]()
    for start in np.ndindex(height, width):
        if logits[start] > 0 or start in seen:
            continue
        part, queue = [], deque([start])
        seen.add(start)
        while queue:
            row, column = queue.popleft()
            part.append((row, column))
            for cell in np.ndindex(3, 3):
                near = (row + cell[0] - 1, column + cell[1] - 1)
                inside = 0 <= near[0] < height and 0 <= near[1] < width
                if inside and near not in seen and logits[near] <= 0:
                    seen.add(near)
                    queue.append(near)
        if len(part) <= max_area:
            for place in part:
                out[place] = FILLED_LOGIT
    return out


@settings(max_examples=200, deadline=None)
@given(logits=grids, max_area=st.integers(1, 12))
def test_holes_are_filled_as_a_flood_fill_finds_them(logits: NDArray[np.int8], max_area: int) -> None:
    filled = fill_holes(torch.from_numpy(logits.astype(np.float64)), max_area)
    np.testing.assert_array_equal(filled.numpy(), flood_filled(logits, max_area))


def test_the_only_background_there_is_can_be_a_hole() -> None:
    logits = torch.ones(8, 8)
    logits[3, 3] = -5
    assert (fill_holes(logits, 1) > 0).all()


def disc(size: int, hole: int) -> Tensor:
    """Logits of a disc, with a square hole in its middle."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    centre = size // 2
    logits = size / 3 - torch.hypot(x - float(centre), y - float(centre))
    logits[centre : centre + hole, centre : centre + hole] = -10
    return logits


@pytest.mark.parametrize(("fill_hole_area", "is_filled"), [(0, False), (3, False), (4, True), (8, True)])
def test_holes_up_to_the_limit_are_filled_in_the_masks_written(fill_hole_area: int, is_filled: bool) -> None:
    (mask,) = to_video_masks(disc(16, 2)[None], 64, 64, fill_hole_area)
    assert bool(mask[35, 35]) is is_filled
    assert not mask[0, 0]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 16), (33, 50), (120, 7)])
def test_masks_have_the_size_of_the_video_whatever_it_is(height: int, width: int) -> None:
    masks = to_video_masks(torch.stack([disc(16, 0), disc(16, 2)]), height, width, fill_hole_area=8)
    assert masks.shape == (2, height, width)
    assert masks.dtype == np.bool_


def test_a_mask_at_the_grids_own_size_is_where_logits_exceed_zero() -> None:
    logits = torch.tensor([[[0.0, 0.1], [-0.1, 3.0]]])
    assert to_video_masks(logits, 2, 2, 0).tolist() == [[[False, True], [False, True]]]


def test_each_mask_is_made_as_if_it_were_alone() -> None:
    both = torch.stack([disc(16, 2), -torch.ones(16, 16)])
    together = to_video_masks(both, 40, 50, 8)
    for index in range(2):
        np.testing.assert_array_equal(together[index], to_video_masks(both[index : index + 1], 40, 50, 8)[0])
    assert not together[1].any()
