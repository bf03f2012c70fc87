"""One frame's prompts, from pixels of the video to the network's picture."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from samurai_batch.tasks import BoxPrompt, PointsPrompt
from samurai_batch.tracking.prompts import to_frame_prompt

CLICKS = PointsPrompt(3, ((10.0, 20.0), (30.0, 5.0)), (1, 0))
BOX = BoxPrompt(3, (0.0, 10.0, 100.0, 50.0))


def test_points_are_scaled_by_each_side_on_its_own() -> None:
    prompt = to_frame_prompt([CLICKS], height=50, width=100, image_size=200)
    assert prompt.points is not None
    assert prompt.labels is not None
    assert prompt.points.tolist() == [[20.0, 80.0], [60.0, 20.0]]
    assert prompt.labels.tolist() == [1, 0]
    assert (prompt.points.dtype, prompt.labels.dtype) == (torch.float32, torch.int32)
    assert prompt.mask is None


@pytest.mark.parametrize("prompts", [[CLICKS, BOX], [BOX, CLICKS]])
def test_box_corners_come_before_clicks_whatever_the_order_of_rows(prompts: list[BoxPrompt | PointsPrompt]) -> None:
    prompt = to_frame_prompt(prompts, height=64, width=64, image_size=64)
    assert prompt.points is not None
    assert prompt.labels is not None
    assert prompt.points.tolist() == [[0.0, 10.0], [100.0, 50.0], [10.0, 20.0], [30.0, 5.0]]
    assert prompt.labels.tolist() == [2, 3, 1, 0]


def test_several_clicks_of_one_frame_go_together_in_their_order() -> None:
    more = PointsPrompt(3, ((1.0, 2.0),), (1,))
    prompt = to_frame_prompt([CLICKS, more], height=64, width=64, image_size=64)
    assert prompt.labels is not None
    assert prompt.labels.tolist() == [1, 0, 1]


def test_a_mask_is_resized_and_is_only_0_and_1() -> None:
    mask = torch.zeros(30, 50, dtype=torch.bool)
    mask[10:20, 10:40] = True
    prompt = to_frame_prompt([], height=30, width=50, image_size=64, decoded_mask=mask)
    assert prompt.mask is not None
    assert prompt.points is None
    assert prompt.mask.shape == (64, 64)
    assert set(prompt.mask.unique().tolist()) == {0.0, 1.0}
    assert float(prompt.mask.mean()) == pytest.approx(float(mask.float().mean()), abs=0.02)


@settings(deadline=None)
@given(size=st.sampled_from([32, 64, 96]), fill=st.booleans())
def test_a_mask_of_the_models_own_size_stays_as_it_is(size: int, fill: bool) -> None:
    mask = torch.full((size, size), fill)
    mask[3:9, 4:20] = True
    prompt = to_frame_prompt([], size, size, size, mask)
    assert prompt.mask is not None
    assert torch.equal(prompt.mask.bool(), mask)
