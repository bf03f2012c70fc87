"""Mask tables: one row per (video, object, frame), written as Parquet and read into pandas.

Importing this package registers the DataFrame accessor ``df.masks``.
"""

from samurai_batch.masks.accessor import MasksAccessor
from samurai_batch.masks.compact import compact_masks
from samurai_batch.masks.locating import mask_table_name, mask_table_uri, mask_tables_uri
from samurai_batch.masks.reading import iter_masks, read_masks
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
    "MASK_SCHEMA", "MaskRow", "MasksAccessor", "bytes_to_table", "compact_masks", "decode_mask", "encode_mask",
    "file_metadata", "iter_masks", "mask_table_name", "mask_table_uri", "mask_tables_uri", "read_masks",
    "rows_to_table", "table_to_bytes",
]  # fmt: skip
