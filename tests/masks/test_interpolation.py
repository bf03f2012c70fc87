import numpy as np
import pyarrow as pa
import pytest

from samurai_batch.masks import MaskRow, bytes_to_table, encode_mask, rows_to_table, table_to_bytes
from samurai_batch.masks.interpolation import with_interpolated_boxes

HEIGHT, WIDTH = 12, 24


def row(frame_index: int, left: int | None) -> MaskRow:
    """A mask of 3 columns from ``left`` on and 4 rows; absent if it is None."""
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    if left is not None:
        mask[2:6, left : left + 3] = True
    return MaskRow(
        video_id="v",
        object_id="1",
        frame_index=frame_index,
        timestamp_s=float(frame_index),
        height=HEIGHT,
        width=WIDTH,
        segmentation=encode_mask(mask),
        mask_score=0.5 + frame_index / 100,
        object_score=1.0,
        motion_score=0.3,
        mask_index=1,
        prompted=frame_index == 0,
        predicted_xywh=(0.0, 0.0, 1.0, 1.0),
    )


def times(index: int) -> float:
    return index * 10.0


def test_boxes_move_evenly_from_one_tracked_frame_to_the_next() -> None:
    table = with_interpolated_boxes(rows_to_table([row(0, 0), row(4, 8), row(5, 4)]), times)
    assert table["frame_index"].to_pylist() == [0, 1, 2, 3, 4, 5]
    assert table["bbox_x"].to_pylist() == [0, 2, 4, 6, 8, 4]
    assert table["bbox_w"].to_pylist() == [3] * 6
    assert table["interpolated"].to_pylist() == [False, True, True, True, False, False]
    assert table["timestamp_s"].to_pylist() == [0, 10, 20, 30, 4, 5]
    between = table.slice(1, 3)
    for name in ("segmentation", "motion_score", "predicted_x"):
        assert between[name].null_count == 3
    assert between["area"].to_pylist() == [0, 0, 0]
    assert between["mask_score"].to_pylist() == pytest.approx([0.5] * 3)
    assert between["prompted"].to_pylist() == [False] * 3


def test_there_is_no_box_beside_a_frame_on_which_the_object_is_absent() -> None:
    table = with_interpolated_boxes(rows_to_table([row(0, 0), row(2, None), row(4, 2)]), times)
    assert table["bbox_x"].to_pylist() == [0, None, None, None, 2]


@pytest.mark.parametrize("frames", [[], [3], [3, 4, 5]])
def test_a_table_without_gaps_stays_as_it_is(frames: list[int]) -> None:
    table = rows_to_table([row(index, 0) for index in frames])
    assert with_interpolated_boxes(table, times).equals(table)


def test_the_rows_survive_a_file() -> None:
    table = with_interpolated_boxes(rows_to_table([row(0, 0), row(3, 6)]), times)
    assert bytes_to_table(table_to_bytes(table, {})).equals(table)
    assert isinstance(table, pa.Table)
