"""Rows of a frame as supervision takes them: ids, boxes and masks, and no mask decoded before it is used."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from samurai_batch import to_supervision
from samurai_batch.errors import ConfigError
from tests.exports.made_masks import HEIGHT, NUM_FRAMES, WIDTH, Masks, box_of, made, present, video_masks

sv: Any = pytest.importorskip("supervision", reason="supervision is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")


@given(made)
def test_every_frame_has_its_objects_with_their_numbers_boxes_and_masks(masks: Masks) -> None:
    video = video_masks("clip", masks)
    numbers = video.numbers()
    for frame in range(NUM_FRAMES):
        found: Any = to_supervision(video.rows, frame)
        expected = {object_id: mask for (object_id, index), mask in present(masks).items() if index == frame}
        assert len(found) == len(expected)
        for place, object_id in enumerate(found.data.get("object_id", [])):
            mask = expected[object_id]
            assert found.tracker_id[place] == numbers[object_id]
            assert tuple(found.xyxy[place]) == box_of(mask)
            np.testing.assert_array_equal(found.mask[place], mask)


def test_masks_stay_compressed_until_one_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    compact = sv.CompactMask if hasattr(sv, "CompactMask") else None
    square = np.zeros((HEIGHT, WIDTH), np.bool_)
    square[1:3, 2:5] = True
    found: Any = to_supervision(video_masks("clip", {("7", 0): square}).rows, 0)
    assert not isinstance(found.mask, np.ndarray)
    assert compact is None or isinstance(found.mask, compact)
    assert found.mask.area.tolist() == [6]
    assert found.tracker_id.tolist() == [7]
    picture = sv.MaskAnnotator().annotate(np.zeros((HEIGHT, WIDTH, 3), np.uint8), found)
    np.testing.assert_array_equal(picture.any(axis=2), square)


def test_zones_and_filters_of_supervision_work_on_the_detections() -> None:
    square = np.zeros((HEIGHT, WIDTH), np.bool_)
    square[1:3, 2:5] = True
    found: Any = to_supervision(video_masks("clip", {("7", 0): square, ("8", 0): ~square}).rows, 0)
    assert found[found.tracker_id == 7].mask.area.tolist() == [6]
    assert found.area.tolist() == [6, HEIGHT * WIDTH - 6]


def test_a_table_of_two_videos_and_one_without_boxes_are_refused() -> None:
    square = np.ones((HEIGHT, WIDTH), np.bool_)
    rows = video_masks("clip", {("7", 0): square}).rows
    two = pd.concat([rows, rows.assign(video_id="other")])
    with pytest.raises(ConfigError, match="the table has 2 videos"):
        to_supervision(two, 0)
    with pytest.raises(ConfigError, match=r"needs the column\(s\) bbox_x"):
        to_supervision(rows.drop(columns="bbox_x"), 0)
