import json

import numpy as np
import pandas as pd
import pycocotools.mask as coco
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools.coco import COCO

from samurai_batch.errors import ConfigError
from samurai_batch.masks import MaskRow, encode_mask, rows_to_table

HEIGHT, WIDTH = 20, 30
Mask = NDArray[np.bool_]


def table(masks: list[Mask], object_id: str = "1", start: int = 0) -> pd.DataFrame:
    rows = [
        MaskRow(
            video_id="v",
            object_id=object_id,
            frame_index=start + index,
            timestamp_s=index / 25,
            height=HEIGHT,
            width=WIDTH,
            segmentation=encode_mask(mask),
            mask_score=0.5,
            object_score=1.0,
            motion_score=None,
            mask_index=0,
            prompted=False,
        )
        for index, mask in enumerate(masks)
    ]
    frame: pd.DataFrame = rows_to_table(rows).to_pandas()
    return frame


def random_masks(seed: int, count: int) -> list[Mask]:
    rng = np.random.default_rng(seed)
    masks = rng.random((count, HEIGHT, WIDTH)) < rng.random((count, 1, 1))
    masks[rng.random(count) < 0.3] = False
    return list(masks)


@given(st.integers(0, 2**32), st.integers(0, 4))
@settings(deadline=None)
def test_masks_boxes_and_areas_come_back_in_the_rows_order(seed: int, count: int) -> None:
    masks = random_masks(seed, count)
    order = np.random.default_rng(seed).permutation(count)
    frame = table(masks).iloc[order]
    assert len(frame.masks) == count
    assert frame.masks.boxes().shape == (count, 4)
    for position, decoded in enumerate(frame.masks):
        mask = masks[order[position]]
        np.testing.assert_array_equal(decoded, mask)
        np.testing.assert_array_equal(frame.masks.decode(position), mask)
        assert frame.masks.areas()[position] == mask.sum()
        box = frame.masks.boxes()[position]
        if mask.any():
            y, x = np.nonzero(mask)
            assert box.tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
        else:
            assert np.isnan(box).all()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools, numpy 2
def test_decoded_masks_equal_those_of_pycocotools_bit_for_bit() -> None:
    frame = table(random_masks(3, 40))
    for position, segmentation in enumerate(frame.segmentation):
        if segmentation is not None:
            np.testing.assert_array_equal(frame.masks.decode(position), coco.decode(segmentation).astype(bool))


def test_iou_meets_the_rows_of_the_same_object_and_frame() -> None:
    a = np.zeros((HEIGHT, WIDTH), np.bool_)
    b, none = a.copy(), a.copy()
    a[:10, :10] = True
    b[:10, 5:15] = True
    mine = table([a, a, a, none, none]).iloc[::-1]
    expected = pd.concat([table([b, a, none, none]), table([b] * 5, object_id="2")])
    found = mine.masks.iou(expected)
    assert found.index.tolist() == [4, 3, 2, 1, 0]
    assert found.sort_index().tolist()[:4] == [50 / 150, 1.0, 0.0, 1.0]
    assert np.isnan(found[4])
    assert mine.masks.iou(mine).eq(1).all()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools, numpy 2
def test_coco_annotations_are_read_by_pycocotools_and_round_trip_through_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    masks = random_masks(1, 6)
    data = json.loads(json.dumps(pd.concat([table(masks), table(masks, "2")]).masks.to_coco()))
    reader = COCO()
    reader.dataset = data
    reader.createIndex()
    capsys.readouterr()  # it prints
    present = [index for index, mask in enumerate(masks) if mask.any()]
    assert len(data["images"]) == 6
    assert len(data["annotations"]) == 2 * len(present)
    for annotation in data["annotations"]:
        mask = masks[reader.imgs[annotation["image_id"]]["frame_index"]]
        np.testing.assert_array_equal(reader.annToMask(annotation).astype(bool), mask)
        assert annotation["area"] == mask.sum()
    assert {(one["object_id"], one["track_id"]) for one in data["annotations"]} == {("1", 1), ("2", 2)}


def test_what_a_method_lacks_is_named() -> None:
    frame = table(random_masks(1, 2))
    with pytest.raises(ConfigError, match=r"needs the column\(s\) bbox_x, bbox_y, bbox_w, bbox_h"):
        frame[["area"]].masks.boxes()
    with pytest.raises(ConfigError, match="other has several rows for one video, object and frame"):
        frame.masks.iou(pd.concat([frame, frame]))
    damaged = frame.assign(segmentation=pd.Series([{"size": [HEIGHT, WIDTH], "counts": "11"}] * 2, dtype=object))
    with pytest.raises(ConfigError, match="the mask of row 1 is damaged"):
        damaged.masks.decode(1)


def test_one_mask_becomes_json_by_way_of_coco() -> None:
    frame = table([np.ones((HEIGHT, WIDTH), np.bool_)])
    with pytest.raises(TypeError, match="ndarray is not JSON serializable"):
        json.dumps(frame.segmentation[0])
    (annotation,) = frame.iloc[[0]].masks.to_coco()["annotations"]
    assert json.loads(json.dumps(annotation["segmentation"])) == {
        "size": [HEIGHT, WIDTH],
        "counts": frame.segmentation[0]["counts"],
    }
