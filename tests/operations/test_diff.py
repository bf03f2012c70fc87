from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.ledger.lease import SystemClock
from samurai_batch.masks import MaskRow, encode_mask, mask_table_uri, rows_to_table, table_to_bytes
from samurai_batch.operations.diff import diff_masks, diff_results
from samurai_batch.prompts import Rle
from samurai_batch.rle import rle_iou
from samurai_batch.runtime.run import new_run_id

PICTURES = arrays(np.bool_, (5, 7))


def square(left: int, side: int = 4) -> Rle:
    mask = np.zeros((16, 24), np.bool_)
    mask[2 : 2 + side, left : left + side] = True
    rle = encode_mask(mask)
    assert rle is not None
    return rle


def write_table(
    output: Path, video_id: str, object_id: str, masks: list[Rle | None], prompted: tuple[int, ...] = (0,)
) -> None:
    rows = [
        MaskRow(
            video_id=video_id,
            object_id=object_id,
            frame_index=index,
            timestamp_s=index / 25,
            height=16,
            width=24,
            segmentation=mask,
            mask_score=0.5,
            object_score=1.0,
            motion_score=None,
            mask_index=0,
            prompted=index in prompted,
        )
        for index, mask in enumerate(masks)
    ]
    storage.write_bytes(mask_table_uri(str(output), video_id, object_id), table_to_bytes(rows_to_table(rows), {}))


def test_results_are_compared_track_by_track_the_least_alike_first(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    write_table(a, "v", "same", [square(3), None])
    write_table(b, "v", "same", [square(3), None])
    write_table(a, "v", "moved/..", [square(3), square(3), None, square(3)])
    write_table(b, "v", "moved/..", [square(3), square(5), None, None])
    write_table(a, "v", "only a", [None])
    write_table(b, "w", "only b", [None])
    found = diff_results(str(a), str(b))
    moved, same = found.tracks
    assert (moved.object_id, moved.num_frames, moved.num_differing) == ("moved/..", 4, 2)
    assert moved.mean_iou == pytest.approx((1 + 8 / 24 + 1 + 0) / 4)
    assert (moved.worst_frame, moved.worst_iou) == (3, 0.0)
    assert (same.object_id, same.mean_iou, same.num_differing, same.worst_frame) == ("same", 1.0, 0, None)
    assert found.only_a == (("v", "only a"),)
    assert found.only_b == (("w", "only b"),)


def test_a_frame_that_only_one_result_has_differs() -> None:
    found = diff_masks(("v", "o"), {0: None}, {0: None, 1: None})
    assert (found.num_differing, found.worst_frame, found.mean_iou) == (1, 1, 0.5)


def test_masks_of_pictures_of_different_size_have_nothing_in_common() -> None:
    other = encode_mask(np.ones((8, 8), np.bool_))
    assert rle_iou(square(3), other) == 0.0


@given(PICTURES, PICTURES)
def test_the_iou_is_that_of_the_pixels_and_symmetric(a: np.ndarray, b: np.ndarray) -> None:
    first, second = encode_mask(a), encode_mask(b)
    union = (a | b).sum()
    assert rle_iou(first, second) == rle_iou(second, first) == ((a & b).sum() / union if union else 1.0)
    assert rle_iou(first, first) == 1.0


@given(st.sampled_from(["nowhere", f"nowhere@{new_run_id(SystemClock())}"]))
def test_a_result_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=r"nowhere: (there are no mask tables|has no run)"):
        diff_results(name, name)


def test_new_prompts_that_left_the_mask_of_their_frame_as_it_was_are_named(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    write_table(a, "v", "o", [square(3), square(3), square(3), None])
    write_table(b, "v", "o", [square(4), square(3), square(9), None], prompted=(0, 1, 2, 3))
    (found,) = diff_results(str(a), str(b)).tracks
    assert found.idle_prompts == (1, 3)
    (back,) = diff_results(str(b), str(a)).tracks
    assert back.idle_prompts == ()
