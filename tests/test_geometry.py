"""Boxes as plain numbers, against counting pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from samurai_batch.geometry import box_iou, mask_box_xyxy
from samurai_batch.prompts import Box

sides = st.lists(st.integers(0, 12), min_size=2, max_size=2).map(sorted)
boxes: st.SearchStrategy[Box] = st.builds(
    lambda x, y: (float(x[0]), float(y[0]), float(x[1]), float(y[1])), sides, sides
)


def pixels_of(box: Box) -> NDArray[np.bool_]:
    x1, y1, x2, y2 = (int(side) for side in box)
    picture = np.zeros((12, 12), bool)
    picture[y1:y2, x1:x2] = True
    return picture


@settings(deadline=None)
@given(a=boxes, b=boxes)
def test_iou_is_shared_pixels_over_pixels_of_either(a: Box, b: Box) -> None:
    union = int((pixels_of(a) | pixels_of(b)).sum())
    expected = int((pixels_of(a) & pixels_of(b)).sum()) / union if union else 0.0
    assert box_iou(a, b) == pytest.approx(expected)
    assert box_iou(a, b) == box_iou(b, a)


@settings(deadline=None)
@given(box=boxes)
def test_a_box_is_its_own_match_unless_it_is_empty(box: Box) -> None:
    assert box_iou(box, box) == (1.0 if pixels_of(box).any() else 0.0)


def test_boxes_that_only_touch_do_not_overlap() -> None:
    assert box_iou((0, 0, 5, 5), (5, 0, 9, 5)) == 0.0


@settings(deadline=None)
@given(mask=arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_the_box_of_a_mask_holds_all_its_pixels_and_none_to_spare(mask: NDArray[np.bool_]) -> None:
    box = mask_box_xyxy(mask)
    if box is None:
        assert not mask.any()
        return
    left, top, right, bottom = (int(value) for value in box)
    inside = mask[top:bottom, left:right]
    assert inside.sum() == mask.sum()
    assert inside[0].any()
    assert inside[-1].any()
    assert inside[:, 0].any()
    assert inside[:, -1].any()
