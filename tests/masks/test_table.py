import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samurai_batch.errors import StateError
from samurai_batch.masks import (
    MASK_SCHEMA,
    MaskRow,
    bytes_to_table,
    encode_mask,
    file_metadata,
    rows_to_table,
    table_to_bytes,
)

HEIGHT, WIDTH = 6, 9


def row(frame_index: int, left: int | None) -> MaskRow:
    """A row whose mask is 2 rows by 3 columns from (left, 1) on; absent if ``left`` is None."""
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    if left is not None:
        mask[1:3, left : left + 3] = True
    return MaskRow(
        video_id="clip",
        object_id="1",
        frame_index=frame_index,
        timestamp_s=frame_index / 25,
        height=HEIGHT,
        width=WIDTH,
        segmentation=encode_mask(mask),
        mask_score=0.5,
        object_score=-3.0,
        motion_score=None if frame_index < 2 else 0.25,
        mask_index=2,
        prompted=frame_index == 0,
        predicted_xywh=None if frame_index < 2 else (1.5, -0.25, 3.0, 2.0),
    )


rows = st.lists(st.none() | st.integers(0, WIDTH - 3), max_size=12).map(
    lambda lefts: [row(index, left) for index, left in enumerate(lefts)]
)


def test_the_schema_is_the_one_that_was_promised() -> None:
    assert [f"{field.name}: {field.type}" for field in MASK_SCHEMA] == [
        "video_id: string",
        "object_id: string",
        "frame_index: int32",
        "timestamp_s: double",
        "height: int32",
        "width: int32",
        "segmentation: struct<size: list<element: int32 not null> not null, counts: string not null>",
        "area: int32",
        "bbox_x: float",
        "bbox_y: float",
        "bbox_w: float",
        "bbox_h: float",
        "mask_score: float",
        "object_score: float",
        "motion_score: float",
        "mask_index: int8",
        "prompted: bool",
        "predicted_x: float",
        "predicted_y: float",
        "predicted_w: float",
        "predicted_h: float",
        "interpolated: bool",
        "shot: int32",
    ]
    nullable = {field.name for field in MASK_SCHEMA if field.nullable}
    boxes = {f"{name}_{axis}" for name in ("bbox", "predicted") for axis in "xywh"}
    assert nullable == {"segmentation", "motion_score", "interpolated", "shot"} | boxes


@given(rows)
def test_area_and_box_are_those_of_the_mask_and_null_without_it(some_rows: list[MaskRow]) -> None:
    for got, given_row in zip(rows_to_table(some_rows).to_pylist(), some_rows, strict=True):
        if given_row.segmentation is None:
            assert (got["area"], got["bbox_x"], got["bbox_h"]) == (0, None, None)
            assert got["segmentation"] is None
        else:
            assert (got["area"], got["bbox_y"], got["bbox_w"], got["bbox_h"]) == (6, 1, 3, 2)
            assert got["segmentation"] == {"size": [HEIGHT, WIDTH], "counts": given_row.segmentation.counts}


@given(rows)
def test_a_table_survives_its_bytes_and_the_same_table_gives_the_same_bytes(some_rows: list[MaskRow]) -> None:
    table = rows_to_table(some_rows)
    data = table_to_bytes(table, {"run_id": "r"})
    assert bytes_to_table(data).equals(table, check_metadata=True)
    assert table_to_bytes(bytes_to_table(data), {"run_id": "r"}) == data


def test_a_prediction_stands_in_its_columns_and_is_null_where_there_was_none() -> None:
    table = rows_to_table([row(index, 1) for index in range(4)])
    boxes = [table[f"predicted_{axis}"].to_pylist() for axis in "xywh"]
    assert boxes == [[None, None, value, value] for value in (1.5, -0.25, 3.0, 2.0)]


def test_a_table_of_the_first_version_is_read_without_predictions() -> None:
    whole = rows_to_table([row(index, 1) for index in range(4)])
    before = bytes_to_table(in_the_first_version(whole))
    assert before.schema.equals(MASK_SCHEMA)
    assert before.select(MASK_SCHEMA.names[:17]).equals(whole.select(MASK_SCHEMA.names[:17]))
    assert all(before[name].null_count == 4 for name in MASK_SCHEMA.names[17:])
    assert pa.concat_tables([before, whole]).num_rows == 8


@pytest.mark.parametrize("num_columns", [21, 22])
def test_tables_of_the_second_and_third_version_are_read_without_the_columns_added_since(num_columns: int) -> None:
    whole, sink = rows_to_table([row(index, 1) for index in range(4)]), pa.BufferOutputStream()
    pa.parquet.write_table(whole.select(MASK_SCHEMA.names[:num_columns]), sink, store_schema=False)
    before = bytes_to_table(bytes(sink.getvalue()))
    assert before.select(MASK_SCHEMA.names[:num_columns]).equals(whole.select(MASK_SCHEMA.names[:num_columns]))
    assert all(before[name].null_count == 4 for name in MASK_SCHEMA.names[num_columns:])


def in_the_first_version(table: pa.Table) -> bytes:
    """As version "1" wrote it: without the columns that were added."""
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(table.select(MASK_SCHEMA.names[:17]), sink, store_schema=False)
    return bytes(sink.getvalue())


def test_a_table_with_half_of_the_new_columns_is_refused() -> None:
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(rows_to_table([row(0, 1)]).select(MASK_SCHEMA.names[:19]), sink, store_schema=False)
    with pytest.raises(StateError, match="another version"):
        bytes_to_table(bytes(sink.getvalue()))


def test_files_of_different_runs_have_the_same_schema_also_when_empty() -> None:
    full = table_to_bytes(rows_to_table([row(0, 1)]), {"run_id": "first", "fingerprint": "a"})
    empty = table_to_bytes(rows_to_table([]), {"run_id": "second"})
    assert bytes_to_table(full).schema.equals(bytes_to_table(empty).schema, check_metadata=True)
    assert bytes_to_table(empty).num_rows == 0


def test_metadata_stands_in_the_file_beside_the_schema_version() -> None:
    data = table_to_bytes(rows_to_table([row(0, 1)]), {"model": "tiny", "settings": '{"ä": 1}'})
    assert file_metadata(data) == {"model": "tiny", "settings": '{"ä": 1}', "schema_version": "4"}


def test_parts_can_be_joined_into_one_table() -> None:
    parts = [bytes_to_table(table_to_bytes(rows_to_table([row(i, i)]), {"part": str(i)})) for i in range(3)]
    assert pa.concat_tables(parts).equals(rows_to_table([row(i, i) for i in range(3)]))


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_damaged_table_is_refused(cut: int) -> None:
    data = table_to_bytes(rows_to_table([row(0, 1)]), {})
    with pytest.raises(StateError, match="damaged"):
        bytes_to_table(data[:cut])
    with pytest.raises(StateError, match="damaged"):
        file_metadata(data[:cut])


def test_a_parquet_file_of_something_else_is_refused() -> None:
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(pa.table({"a": [1]}), sink)
    with pytest.raises(StateError, match="another version"):
        bytes_to_table(sink.getvalue().to_pybytes())


def test_a_mask_of_another_size_than_its_video_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError):
        dataclasses.replace(row(0, 1), height=HEIGHT + 1)
