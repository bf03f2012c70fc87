"""Everything mode: each step against an independent, slow statement of it; then the whole on pictures."""

from collections import deque
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from samurai_batch.errors import ConfigError
from samurai_batch.geometry import box_iou
from samurai_batch.images import everything
from samurai_batch.images.crops import cut_by_crop, make_crops, point_grid
from samurai_batch.images.everything import AutoMask, segment_everything
from samurai_batch.images.filters import stability_scores, without_duplicates, without_small_regions
from samurai_batch.images.predictor import ImagePredictor
from samurai_batch.images.settings import EverythingSettings
from samurai_batch.rle import decode_mask
from tests.images.small import picture, small_network

LOOSE = EverythingSettings(points_per_side=6, points_per_batch=7, pred_iou_thresh=-10.0, stability_score_thresh=0.0)


def test_the_grid_is_the_centres_of_equal_cells() -> None:
    slow = [((column + 0.5) / 3, (row + 0.5) / 3) for row in range(3) for column in range(3)]
    np.testing.assert_allclose(point_grid(3), slow)


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 3), st.floats(0, 0.9))
def test_the_crops_of_every_layer_cover_the_image_and_stay_in_it(
    height: int, width: int, layers: int, overlap: float
) -> None:
    crops = make_crops(height, width, layers, overlap)
    assert crops[0].box_xyxy == (0, 0, width, height)
    for layer in range(layers + 1):
        covered = np.zeros((height, width), bool)
        for crop in crops:
            x1, y1, x2, y2 = crop.box_xyxy
            assert 0 <= x1 < x2 <= width
            assert 0 <= y1 < y2 <= height
            if crop.layer == layer:
                covered[y1:y2, x1:x2] = True
        assert covered.all()


def test_the_crops_of_a_usual_picture_are_those_of_sams_code() -> None:
    boxes = [crop.box_xyxy for crop in make_crops(1080, 1920, 1, 512 / 1500)]  # 368 pixels of overlap
    assert boxes == [
        (0, 0, 1920, 1080),
        (0, 0, 1144, 724),
        (0, 356, 1144, 1080),
        (776, 0, 1920, 724),
        (776, 356, 1920, 1080),
    ]


def test_a_box_is_cut_off_only_where_the_image_goes_on() -> None:
    crop = make_crops(200, 300, 1, 0.2)[1]
    assert crop.box_xyxy[:2] == (0, 0)
    x2, y2 = crop.box_xyxy[2:]
    boxes = np.array([(0, 0, 50, 50), (30, 30, x2 - 5, 90), (30, 30, 60, y2), (60, 60, x2 - 21, y2 - 21)], np.float64)
    assert cut_by_crop(boxes, crop, 200, 300).tolist() == [False, True, True, False]


@given(arrays(np.float64, (2, 5, 6), elements=st.floats(-3, 3)), st.floats(0, 2))
def test_stability_is_the_iou_of_a_mask_cut_high_and_cut_low(logits: NDArray[np.float64], offset: float) -> None:
    scores = stability_scores(torch.from_numpy(logits), 0.0, offset)
    for one, score in zip(logits, scores.tolist(), strict=True):
        high = {tuple(cell) for cell in np.argwhere(one > offset).tolist()}
        low = {tuple(cell) for cell in np.argwhere(one > -offset).tolist()}
        assert score == pytest.approx(len(high & low) / len(high | low) if low else 0.0)


Boxes = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 15), st.integers(1, 15), st.integers(0, 4)),
    max_size=12,
)


@given(Boxes, st.sampled_from([0.0, 0.3, 0.7, 1.0]))
def test_duplicates_are_dropped_one_pair_after_the_other(
    drawn: list[tuple[int, int, int, int, int]], max_iou: float
) -> None:
    boxes = [(float(x), float(y), float(x + w), float(y + h)) for x, y, w, h, _ in drawn]
    scores = [score for *_, score in drawn]
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        if all(box_iou(boxes[index], boxes[better]) <= max_iou for better in kept):
            kept.append(index)
    fast = without_duplicates(np.array(boxes).reshape(-1, 4), np.array(scores, np.float64), max_iou)
    assert fast.tolist() == kept


def slow_parts(region: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    """8-connected parts by walking from cell to cell."""
    height, width = region.shape
    seen: set[tuple[int, int]] = set()
    parts = []
    for start in [(y, x) for y in range(height) for x in range(width) if region[y, x]]:
        if start in seen:
            continue
        part, queue = [], deque([start])
        seen.add(start)
        while queue:
            y, x = queue.popleft()
            part.append((y, x))
            for cell in [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]:
                inside = 0 <= cell[0] < height and 0 <= cell[1] < width
                if inside and region[cell] and cell not in seen:
                    seen.add(cell)
                    queue.append(cell)
        parts.append(part)
    return parts


@given(arrays(np.bool_, (7, 8)), st.integers(1, 6))
def test_small_holes_are_filled_and_then_small_islands_removed(mask: NDArray[np.bool_], min_area: int) -> None:
    expected = mask.copy()
    for hole in slow_parts(~mask):
        if len(hole) < min_area:
            expected[tuple(np.array(hole).T)] = True
    for island in slow_parts(expected):
        if len(island) < min_area:
            expected[tuple(np.array(island).T)] = False
    np.testing.assert_array_equal(without_small_regions(mask, min_area), expected)


def assert_no_duplicates(masks: list[AutoMask], max_iou: float) -> None:
    for index, one in enumerate(masks):
        for other in masks[index + 1 :]:
            assert box_iou(one.box_xyxy, other.box_xyxy) <= max_iou


@pytest.mark.parametrize("family", ["sam", "sam2"])
def test_a_picture_gives_masks_that_hold_what_was_promised(family: str) -> None:
    kept = EverythingSettings(
        points_per_side=6,
        points_per_batch=7,
        pred_iou_thresh=-5.0,
        stability_score_thresh=0.1,
        crop_n_layers=1,
        min_mask_region_area=30,
    )
    masks = segment_everything(ImagePredictor(small_network(family)), picture(90, 120), kept)
    assert masks
    assert_no_duplicates(masks, 0.7)
    assert [mask.predicted_iou for mask in masks] == sorted((mask.predicted_iou for mask in masks), reverse=True)
    for found in masks:
        pixels = decode_mask(found.mask)
        assert pixels.shape == (90, 120)
        assert pixels.sum() == found.area >= 30
        rows, columns = np.nonzero(pixels)
        assert found.box_xyxy == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert found.predicted_iou > -5.0
        assert found.stability_score >= 0.1
        assert all(len(part) >= 30 for part in slow_parts(pixels))


@pytest.mark.parametrize("family", ["sam", "sam2"])
def test_everything_is_the_three_answers_to_every_point_of_the_grid(family: str) -> None:
    """Without any filter but that for empty masks: what a user would get point by point."""
    predictor = ImagePredictor(small_network(family))
    pixels = picture(60, 80)
    open_settings = EverythingSettings(
        points_per_side=3, points_per_batch=2, pred_iou_thresh=-10.0, stability_score_thresh=0.0, box_nms_thresh=1.0
    )
    found = segment_everything(predictor, pixels, open_settings)
    expected: list[tuple[float, int]] = []
    predictor.set_image(pixels)
    for x, y in point_grid(3) * (80, 60):
        answer = predictor.predict(points_xy=[(x, y)], labels=[1])
        expected += [
            (float(iou), int(mask.sum())) for iou, mask in zip(answer.ious, answer.masks, strict=True) if mask.any()
        ]
    assert [mask.area for mask in found] == [area for _, area in sorted(expected, key=lambda pair: -pair[0])]


def test_memory_is_bounded_by_steps_that_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = ImagePredictor(small_network("sam2"))
    whole = segment_everything(predictor, picture(60, 80), LOOSE)
    monkeypatch.setattr(everything, "LOGITS_PER_STEP", 60 * 80 * 2)
    largest = 0
    enlarge = predictor.logits_at_image_size

    def watched(logits: torch.Tensor) -> torch.Tensor:
        nonlocal largest
        largest = max(largest, len(logits))
        return enlarge(logits)

    monkeypatch.setattr(predictor, "logits_at_image_size", watched)
    assert segment_everything(predictor, picture(60, 80), LOOSE) == whole
    assert largest == 2


@settings(deadline=None, max_examples=5)
@given(st.integers(1, 9))
def test_the_batch_of_points_does_not_matter(points_per_batch: int) -> None:
    predictor = ImagePredictor(small_network("sam2"))
    few = EverythingSettings(
        points_per_side=3, points_per_batch=points_per_batch, pred_iou_thresh=0.0, stability_score_thresh=0.0
    )
    alone = EverythingSettings(points_per_side=3, points_per_batch=9, pred_iou_thresh=0.0, stability_score_thresh=0.0)
    masks = [[m.mask for m in segment_everything(predictor, picture(40, 40), one)] for one in (few, alone)]
    assert masks[0] == masks[1]


def test_a_setting_out_of_range_is_named() -> None:
    with pytest.raises(ConfigError, match=r"everything\.points_per_side is 0: it should be greater than or equal to 1"):
        EverythingSettings(points_per_side=0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"points_per_side": 0}, "points_per_side is 0: it should be greater than or equal to 1"),
        ({"points_per_side": 2.5}, "points_per_side is 2.5: it should be a valid integer"),
        ({"pred_iou_thresh": float("nan")}, "pred_iou_thresh is nan: it should be a finite number"),
        ({"box_nms_thresh": "high"}, "box_nms_thresh is 'high': it should be a valid number"),
        ({"crop_overlap_ratio": 1.0}, "crop_overlap_ratio is 1.0: it should be less than 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused_where_they_are_made(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        EverythingSettings(**changes)
