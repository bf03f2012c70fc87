"""The mask table: its schema, and the conversion of rows to Parquet bytes and back.

Every file has the schema `MASK_SCHEMA`, empty files too. The file's metadata has the schema version, and what differs
between runs: tracker settings, the weights' digest, and so on.

Columns are only ever added, at the end. Files of earlier versions are readable; their missing columns are null.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from samurai_batch.errors import StateError
from samurai_batch.prompts import Box, Rle
from samurai_batch.rle import areas_and_boxes, rle_to_coco

SCHEMA_VERSION = "4"
METADATA_PREFIX = "samurai_batch."

# Small enough that reading a few frames skips most of a long video, large enough to compress well.
ROW_GROUP_BYTES = 2**20
MAX_ROWS_PER_GROUP = 4096
MAX_ROWS_PER_PAGE = 1024

# Parquet calls the items of a list "element"; any other name would not survive writing.
RLE_TYPE = pa.struct(
    [
        pa.field("size", pa.list_(pa.field("element", pa.int32(), nullable=False)), nullable=False),
        pa.field("counts", pa.string(), nullable=False),
    ]
)

MASK_SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("object_id", pa.string(), nullable=False),
        pa.field("frame_index", pa.int32(), nullable=False),
        pa.field("timestamp_s", pa.float64(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("segmentation", RLE_TYPE),
        pa.field("area", pa.int32(), nullable=False),
        pa.field("bbox_x", pa.float32()),
        pa.field("bbox_y", pa.float32()),
        pa.field("bbox_w", pa.float32()),
        pa.field("bbox_h", pa.float32()),
        pa.field("mask_score", pa.float32(), nullable=False),
        pa.field("object_score", pa.float32(), nullable=False),
        pa.field("motion_score", pa.float32()),
        pa.field("mask_index", pa.int8(), nullable=False),
        pa.field("prompted", pa.bool_(), nullable=False),
        pa.field("predicted_x", pa.float32()),
        pa.field("predicted_y", pa.float32()),
        pa.field("predicted_w", pa.float32()),
        pa.field("predicted_h", pa.float32()),
        pa.field("interpolated", pa.bool_()),
        pa.field("shot", pa.int32()),
    ]
)

_NUM_COLUMNS_BEFORE = (17, 21, 22)  # of earlier versions: they end with prompted, predicted_h, interpolated
_KNOWN_SCHEMAS = (MASK_SCHEMA, *(pa.schema(list(MASK_SCHEMA)[:count]) for count in _NUM_COLUMNS_BEFORE))

_PLAIN_NAMES = [name for name in MASK_SCHEMA.names if name != "segmentation"]
_WRITE_OPTIONS = {
    "compression": {
        **dict.fromkeys(_PLAIN_NAMES, "snappy"),
        **dict.fromkeys(("segmentation.size.list.element", "segmentation.counts"), "zstd"),
    },
    "use_dictionary": ["video_id", "object_id"],
    "write_statistics": _PLAIN_NAMES,
    "write_page_index": True,
    "max_rows_per_page": MAX_ROWS_PER_PAGE,
    "store_schema": False,
}
"""How every Parquet file of mask rows is written. Columns that can be filtered have statistics, of each row group and,
in the page index, of each page.

Only the masks, nearly all of a file's bytes, are compressed by zstd: with zstd in every column, half of the time to
read a small file would be spent on starting it. Arrow's copy of the schema would be a quarter of a small file.
"""


@dataclass(frozen=True, kw_only=True)
class MaskRow:
    """One object on one frame. ``area`` and the box of the table follow from ``segmentation``.

    ``height`` and ``width`` are the video's, in pixels; ``segmentation`` is None when the object is absent;
    ``mask_score`` is the predicted IoU of the chosen mask, ``object_score`` the object-present logit,
    ``motion_score`` the IoU with the Kalman prediction, or None where it was not used to choose the mask.
    ``predicted_xywh`` is that prediction, a COCO box in pixels of the video; None if there is none, as on the
    first frames of a track and with plain SAM 2.
    """

    video_id: str
    object_id: str
    frame_index: int
    timestamp_s: float
    height: int
    width: int
    segmentation: Rle | None
    mask_score: float
    object_score: float
    motion_score: float | None
    mask_index: int
    prompted: bool
    predicted_xywh: Box | None = None

    def __post_init__(self) -> None:
        rle = self.segmentation
        assert rle is None or (rle.height, rle.width) == (self.height, self.width), self


_PLAIN_COLUMNS = (
    "video_id", "object_id", "frame_index", "timestamp_s", "height", "width",
    "mask_score", "object_score", "motion_score", "mask_index", "prompted",
)  # fmt: skip
_BOX_COLUMNS = ("bbox_x", "bbox_y", "bbox_w", "bbox_h")
_PREDICTED_COLUMNS = ("predicted_x", "predicted_y", "predicted_w", "predicted_h")
_NO_BOX = (None,) * 4


def rows_to_table(rows: Sequence[MaskRow]) -> pa.Table:
    """The rows, in the same order, as a table of `MASK_SCHEMA`."""
    columns: dict[str, Sequence[object]] = {name: [getattr(row, name) for row in rows] for name in _PLAIN_COLUMNS}
    rles = [row.segmentation for row in rows]
    columns["segmentation"] = [None if rle is None else rle_to_coco(rle) for rle in rles]
    present = [position for position, rle in enumerate(rles) if rle is not None]
    present_areas, present_boxes = areas_and_boxes([rle for rle in rles if rle is not None])
    areas = np.zeros(len(rows), np.int64)
    areas[present] = present_areas
    columns["area"] = areas.tolist()
    boxes: list[Sequence[float | None]] = [_NO_BOX] * len(rows)
    for position, box in zip(present, present_boxes.tolist(), strict=True):
        boxes[position] = box
    columns |= _by_axis(_BOX_COLUMNS, boxes)
    columns |= _by_axis(_PREDICTED_COLUMNS, [row.predicted_xywh or _NO_BOX for row in rows])
    columns["interpolated"] = [False] * len(rows)
    columns["shot"] = [None] * len(rows)  # `shots.with_shots` sets it
    return pa.table({name: columns[name] for name in MASK_SCHEMA.names}, schema=MASK_SCHEMA)


def _by_axis(names: Sequence[str], boxes: Sequence[Sequence[float | None]]) -> dict[str, Sequence[object]]:
    return {name: [box[axis] for box in boxes] for axis, name in enumerate(names)}


def is_mask_schema(schema: pa.Schema, left_out: Collection[str] = ()) -> bool:
    """Whether a file with this schema is a mask table of this or an earlier version, without columns ``left_out``."""
    return any(schema.equals(_without(known, left_out)) for known in _KNOWN_SCHEMAS)


def _without(schema: pa.Schema, names: Collection[str]) -> pa.Schema:
    return pa.schema([field for field in schema if field.name not in names])


def with_columns(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """These columns, in this order; columns that a table of an earlier version lacks are null."""
    if set(names).issubset(table.column_names):
        return table.select(names)
    columns = [
        table[name] if name in table.column_names else pa.nulls(table.num_rows, MASK_SCHEMA.field(name).type)
        for name in names
    ]
    return pa.table(columns, schema=pa.schema([MASK_SCHEMA.field(name) for name in names]))


def table_to_bytes(table: pa.Table, metadata: Mapping[str, str]) -> bytes:
    """A Parquet file (zstd) of a table of `MASK_SCHEMA`; the same table and metadata give the same bytes.

    ``metadata`` is kept in the file under keys that begin with "samurai_batch."; `file_metadata` returns it.
    """
    assert table.schema.equals(MASK_SCHEMA), table.schema
    assert "schema_version" not in metadata
    return parquet_bytes([table], metadata, ROW_GROUP_BYTES, MAX_ROWS_PER_GROUP)


def parquet_bytes(
    tables: Sequence[pa.Table],
    metadata: Mapping[str, str],
    row_group_bytes: int,
    max_rows_per_group: int | None = None,
    left_out: Collection[str] = (),
) -> bytes:
    """A Parquet file of tables of `MASK_SCHEMA`, without the columns ``left_out``.

    A row group has about ``row_group_bytes`` before compression. Small tables share one; only those above that size
    are divided.
    """
    kept = {METADATA_PREFIX + key: value for key, value in {**metadata, "schema_version": SCHEMA_VERSION}.items()}
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, _without(MASK_SCHEMA, left_out), **_WRITE_OPTIONS) as writer:
        for group in _row_groups(tables, row_group_bytes):
            num_rows = max(row_group_bytes * max(group.num_rows, 1) // max(group.nbytes, 1), 1)
            rows = group.drop_columns(list(left_out))
            writer.write_table(rows, row_group_size=min(num_rows, max_rows_per_group or num_rows))
        writer.add_key_value_metadata(kept)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _row_groups(tables: Sequence[pa.Table], row_group_bytes: int) -> Iterator[pa.Table]:
    """The tables, joined up to this size."""
    group: list[pa.Table] = []
    num_bytes = 0
    for table in tables:
        if group and num_bytes + table.nbytes > row_group_bytes:
            yield pa.concat_tables(group).combine_chunks()
            group, num_bytes = [], 0
        group.append(table)
        num_bytes += table.nbytes
    yield pa.concat_tables(group).combine_chunks()


def bytes_to_table(data: bytes) -> pa.Table:
    """The table in bytes from `table_to_bytes` of this or an earlier version, without the metadata.

    Raises StateError if they are damaged or have another schema.
    """
    try:
        table = pq.read_table(pa.BufferReader(data), partitioning=None).replace_schema_metadata(None)
        table.validate(full=True)  # finds texts that are not UTF-8, among others
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise StateError(f"this mask table is damaged ({error}); delete it and run the job again") from error
    if not is_mask_schema(table.schema):
        raise StateError("this mask table has columns of another version; delete it and run the job again")
    return with_columns(table, MASK_SCHEMA.names)


def file_metadata(data: bytes) -> dict[str, str]:
    """The metadata given to `table_to_bytes`, and ``schema_version``. Raises StateError if the bytes are damaged."""
    try:
        stored = pq.read_metadata(pa.BufferReader(data)).metadata or {}
        return {
            key.decode().removeprefix(METADATA_PREFIX): value.decode()
            for key, value in stored.items()
            if key.startswith(METADATA_PREFIX.encode())
        }
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise StateError(f"this mask table is damaged ({error}); delete it and run the job again") from error
