"""Masks as tables: one row per (video, object, frame), written as Parquet, read into pandas."""

from samurai_batch.masks.reading import mask_table_uri, read_masks
from samurai_batch.masks.table import (
    MASK_SCHEMA,
    MaskRow,
    bytes_to_table,
    file_metadata,
    rows_to_table,
    table_to_bytes,
)
from samurai_batch.rle import decode_mask, encode_mask

__all__ = [
    "MASK_SCHEMA",
    "MaskRow",
    "bytes_to_table",
    "decode_mask",
    "encode_mask",
    "file_metadata",
    "mask_table_uri",
    "read_masks",
    "rows_to_table",
    "table_to_bytes",
]
