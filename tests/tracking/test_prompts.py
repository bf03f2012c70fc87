"""One frame's prompts, from pixels of the video to the network's picture."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from samurai_batch.prompts import BoxPrompt, PointsPrompt
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
    prompt = to_frame_prompt(prompts, height=128, width=128, image_size=128)
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


edges = st.floats(-3000, 3000, allow_nan=False)


@given(edges, edges, st.floats(1, 6000), st.floats(1, 6000))
def test_a_box_that_overhangs_equals_the_same_box_cut_at_the_edge(x: float, y: float, w: float, h: float) -> None:
    assume(x + w > 0 and y + h > 0 and x < 320 and y < 180)
    overhanging = to_frame_prompt([BoxPrompt(0, (x, y, x + w, y + h))], 180, 320, 64)
    cut = BoxPrompt(0, (max(x, 0.0), max(y, 0.0), min(x + w, 320.0), min(y + h, 180.0)))
    there = to_frame_prompt([cut], 180, 320, 64).points
    assert overhanging.points is not None
    assert there is not None
    assert torch.equal(overhanging.points, there)
    assert bool(((there >= 0) & (there <= 64)).all())


@given(st.integers(1, 6), st.integers(0, 1079), st.integers(0, 1910), st.sampled_from([64, 256, 1024]))
def test_a_mask_of_few_pixels_does_not_vanish(num_pixels: int, row: int, column: int, size: int) -> None:
    mask = torch.zeros(1080, 1920, dtype=torch.bool)
    mask[row, column : column + num_pixels] = True
    prompt = to_frame_prompt([], 1080, 1920, size, mask)
    assert prompt.mask is not None
    rows, columns = torch.nonzero(prompt.mask, as_tuple=True)
    assert 1 <= len(rows) <= 8
    assert ((rows + 0.5) * 1080 / size - row - 0.5).abs().max() <= 1080 / size + 1
    assert ((columns + 0.5) * 1920 / size - column - num_pixels / 2).abs().max() <= 1920 / size + num_pixels


def test_an_empty_mask_stays_empty() -> None:
    prompt = to_frame_prompt([], 60, 80, 32, torch.zeros(60, 80, dtype=torch.bool))
    assert prompt.mask is not None
    assert not prompt.mask.any()
