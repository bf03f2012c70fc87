"""Mask tables back into pandas: what was asked for, and as few files and row groups opened as that needs."""

import functools
import operator
from collections.abc import Collection, Iterable
from typing import cast

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from samurai_batch import storage
from samurai_batch.errors import ConfigError, StorageError
from samurai_batch.masks.locating import table_paths
from samurai_batch.masks.table import MASK_SCHEMA


def read_masks(
    uri: str,
    videos: Iterable[str] | None = None,
    objects: Iterable[str] | None = None,
    frames: Collection[int] | None = None,
    columns: Iterable[str] | None = None,
    min_score: float | None = None,
) -> pd.DataFrame:
    """Mask rows of an output folder, of its ``masks`` folder, of one video in it, of one file, or compacted ones.

    ``videos``, ``objects`` (ids) and ``frames`` (a range or any collection of frame indices) keep only what is in
    them, None keeps all; what is asked for and not there leaves no row. ``min_score`` keeps rows whose mask_score is
    at least that. ``columns`` chooses and orders columns. Rows come file by file in the order of their names, each
    sorted by frame_index. An output without a finished track gives an empty frame. Raises ConfigError if an argument
    is wrong or ``uri`` is no output, and StorageError if reading fails.
    """
    names = _checked_columns(columns)
    video_ids, object_ids = _checked_ids("videos", videos), _checked_ids("objects", objects)
    row_filter = _row_filter(video_ids, object_ids, frames, min_score)
    try:
        paths = table_paths(uri, video_ids, object_ids)
        if not paths:
            return cast(pd.DataFrame, MASK_SCHEMA.empty_table().select(names).to_pandas())
        # The schema is given, and no partitioning: neither folder names nor a first file decide on columns.
        filesystem, _ = storage.arrow_filesystem(uri)
        dataset = pads.dataset(paths, MASK_SCHEMA, format="parquet", filesystem=filesystem, partitioning=None)
        table = dataset.to_table(columns=list(dict.fromkeys([*names, "frame_index"])), filter=row_filter)
        _refuse_foreign_rows(uri, table)
        return cast(pd.DataFrame, table.select(names).to_pandas())
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowKeyError, pa.ArrowNotImplementedError) as error:
        message = f"{storage.redact(uri)}: not all of it is mask tables of this version: {error}"
        raise ConfigError(message) from error
    except OSError as error:
        raise StorageError(f"{storage.redact(uri)}: reading mask tables failed: {error}") from error


def _refuse_foreign_rows(uri: str, table: pa.Table) -> None:
    """Arrow fills columns that a file does not have with nulls, also where the schema allows none."""
    for field, column in zip(table.schema, table.columns, strict=True):
        if not field.nullable and column.null_count:
            message = f"some file has no column {field.name}; keep other files out of the masks folder"
            raise ConfigError(f"{storage.redact(uri)}: not all of it is mask tables: {message}")


def _checked_columns(columns: Iterable[str] | None) -> list[str]:
    if isinstance(columns, str):
        raise ConfigError(f"columns is {columns!r}, a text: give a list of names")
    names = list(MASK_SCHEMA.names if columns is None else columns)
    unknown = [name for name in names if name not in MASK_SCHEMA.names]
    if unknown:
        raise ConfigError(f"columns {unknown} are not in a mask table; it has {', '.join(MASK_SCHEMA.names)}")
    return names


def _checked_ids(argument: str, ids: Iterable[str] | None) -> list[str] | None:
    if ids is None:
        return None
    if isinstance(ids, str):
        raise ConfigError(f"{argument} is {ids!r}, a text: give a list of ids")
    checked = list(ids)
    wrong = [an_id for an_id in checked if not isinstance(an_id, str) or not an_id]
    if wrong:
        raise ConfigError(f"{argument} holds {wrong[0]!r}: ids are texts, and not empty")
    return checked


def _row_filter(
    videos: list[str] | None, objects: list[str] | None, frames: Collection[int] | None, min_score: float | None
) -> pc.Expression | None:
    """The same conditions on rows: Parquet's statistics skip what cannot match."""
    conditions = [] if frames is None else _frame_conditions(frames)
    for column, wanted in (("video_id", videos), ("object_id", objects)):
        if wanted is not None:
            conditions.append(pc.field(column).isin(pa.array(wanted, pa.string())))
    if min_score is not None:
        conditions.append(pc.field("mask_score") >= pa.scalar(min_score, pa.float32()))
    return functools.reduce(operator.and_, conditions) if conditions else None


def _frame_conditions(frames: Collection[int]) -> list[pc.Expression]:
    if len(frames) == 0:
        return [pc.scalar(False)]
    frame_index = pc.field("frame_index")
    lowest, highest = pa.scalar(min(frames), pa.int64()), pa.scalar(max(frames), pa.int64())
    bounds = [frame_index >= lowest, frame_index <= highest]
    if isinstance(frames, range) and abs(frames.step) == 1:
        return bounds
    return [*bounds, frame_index.isin(pa.array(list(frames), pa.int64()))]
