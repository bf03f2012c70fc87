"""The suite `arrivals`: things come and go, and the detector errs as often as it says."""

import numpy as np
import pytest

from samurai_batch.synthetic.arrivals import LEAST_SHARE, Noise, arrivals_clip, noisy_detections, visible_boxes

SIZE, NUM_FRAMES = 96, 40


@pytest.mark.parametrize("index", [0, 1])
def test_things_come_later_and_go(index: int) -> None:
    clip = arrivals_clip(index, NUM_FRAMES, SIZE)
    there = ~np.isnan(visible_boxes(clip)[..., 0])
    assert clip.num_objects == there.shape[1] >= 5
    assert (~there[0] & there.any(axis=0)).sum() >= 1, "nothing comes later"
    assert (there.any(axis=0) & ~there[-1]).sum() >= 1, "nothing goes"


def test_a_clip_and_its_detections_are_the_same_on_every_call() -> None:
    one, other = (arrivals_clip(2, 4, SIZE) for _ in range(2))
    np.testing.assert_array_equal(one.frames, other.frames)
    boxes = visible_boxes(one)
    assert noisy_detections(boxes, 2, 1, SIZE, Noise()) == noisy_detections(boxes, 2, 1, SIZE, Noise())


def test_boxes_are_tight_around_what_is_visible() -> None:
    clip = arrivals_clip(0, 2, SIZE)
    for thing, (x1, y1, x2, y2) in enumerate(visible_boxes(clip)[0]):
        mask = clip.masks[0, thing]
        assert np.isnan(x1) == (mask.mean() < LEAST_SHARE)
        if not np.isnan(x1):
            inside = mask[int(y1) : int(y2), int(x1) : int(x2)]
            assert inside.sum() == mask.sum()
            assert all(side.any() for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


def test_the_noise_is_as_large_as_it_says() -> None:
    boxes = np.tile(np.array([[30.0, 30.0, 50.0, 60.0]]), (4000, 5, 1))
    found = noisy_detections(boxes, 0, 1, SIZE, Noise())
    near = np.array([one.box_xyxy for one in found])
    near = near[np.abs(near - boxes[0, 0]).max(axis=1) < 10]
    assert len(near) / 20_000 == pytest.approx(0.8, abs=0.02)
    assert (len(found) - len(near)) / 20_000 == pytest.approx(0.05, abs=0.01)
    assert near.std(axis=0) == pytest.approx([1.0, 1.5, 1.0, 1.5], rel=0.1)
    exact = noisy_detections(boxes[:3], 0, 2, SIZE, Noise(missed=0, false=0, jitter=0))
    assert [one.frame_index for one in exact] == [0] * 5 + [2] * 5
    assert {one.box_xyxy for one in exact} == {(30.0, 30.0, 50.0, 60.0)}
