"""Rows of mask tables: `read_masks` as a pandas DataFrame, `iter_masks` as Arrow batches."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
import pyarrow as pa

from samurai_batch import storage
from samurai_batch.errors import ConfigError, StorageError
from samurai_batch.masks.locating import table_paths
from samurai_batch.masks.scanning import Condition, scan, scan_batches
from samurai_batch.masks.table import MASK_SCHEMA

BATCH_ROWS = 4096


def read_masks(
    uri: str,
    videos: Iterable[str] | None = None,
    objects: Iterable[str] | None = None,
    frames: Collection[int] | None = None,
    columns: Iterable[str] | None = None,
    min_score: float | None = None,
) -> pd.DataFrame:
    """Mask rows of an output folder, of its ``masks`` folder, of one video in it, of one file, or of ``compact``.

    ``videos``, ``objects`` (ids) and ``frames`` (a range or any collection of frame indices) select rows; None selects
    all. Ids and frames that do not exist are ignored. ``min_score`` selects rows with at least this mask_score.
    ``columns`` selects and orders columns. Rows are sorted by file name, then by frame_index. An output without a
    finished track gives an empty DataFrame. Only the files, row groups and columns that can match are read. Raises
    ConfigError if an argument is wrong or ``uri`` is not an output, StorageError if reading fails.
    """
    rows = _Selection.of(videos, objects, frames, columns, min_score)
    with _named_errors(uri):
        table = scan(storage.arrow_filesystem(uri)[0], rows.paths(uri), rows.columns, rows.conditions or [])
        return to_pandas(table)


def iter_masks(
    uri: str,
    videos: Iterable[str] | None = None,
    objects: Iterable[str] | None = None,
    frames: Collection[int] | None = None,
    columns: Iterable[str] | None = None,
    min_score: float | None = None,
    *,
    batch_rows: int = BATCH_ROWS,
) -> Iterator[pa.RecordBatch]:
    """The rows of `read_masks` as Arrow batches of at most ``batch_rows`` rows, in the same order.

    Memory holds a few small files or one row group of a compacted one, whatever the size of the output. The arguments
    are checked by the call, the files are read as the iterator is used; errors are those of `read_masks`.
    """
    rows = _Selection.of(videos, objects, frames, columns, min_score)
    if isinstance(batch_rows, bool) or not isinstance(batch_rows, int) or batch_rows < 1:
        raise ConfigError(f"batch_rows is {batch_rows!r}: it should be a whole number above 0")
    with _named_errors(uri):
        paths = rows.paths(uri)
    return _batches(uri, paths, rows, batch_rows)


def _batches(uri: str, paths: list[str], rows: "_Selection", batch_rows: int) -> Iterator[pa.RecordBatch]:
    with _named_errors(uri):
        filesystem = storage.arrow_filesystem(uri)[0]
        yield from scan_batches(filesystem, paths, rows.columns, rows.conditions or [], batch_rows)


@dataclass(frozen=True)
class _Selection:
    """The rows and columns that were requested; ``conditions`` is None if no row can meet them."""

    videos: list[str] | None
    objects: list[str] | None
    columns: list[str]
    conditions: list[Condition] | None

    @staticmethod
    def of(
        videos: Iterable[str] | None,
        objects: Iterable[str] | None,
        frames: Collection[int] | None,
        columns: Iterable[str] | None,
        min_score: float | None,
    ) -> "_Selection":
        """Raises ConfigError if an argument is wrong."""
        names = _checked_columns(columns)
        video_ids, object_ids = _checked_ids("videos", videos), _checked_ids("objects", objects)
        conditions = _conditions(video_ids, object_ids, _checked_frames(frames), _checked_score(min_score))
        return _Selection(video_ids, object_ids, names, conditions)

    def paths(self, uri: str) -> list[str]:
        """The files that can have the rows. Raises ConfigError if there are no mask tables."""
        paths = table_paths(uri, self.videos, self.objects)
        return [] if self.conditions is None else paths


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """The rows as a DataFrame whose types do not depend on which rows have a shot: without one it is NaN."""
    frame = cast(pd.DataFrame, table.to_pandas())
    return frame.astype({"shot": np.float64}) if "shot" in frame else frame


@contextmanager
def _named_errors(uri: str) -> Iterator[None]:
    try:
        with storage.translated("reading mask tables", uri), _named_if_invalid(uri):
            yield
    except FileNotFoundError as error:
        raise StorageError(f"{storage.redact_uri(uri)}: a table was removed while it was read; read again") from error


@contextmanager
def _named_if_invalid(uri: str) -> Iterator[None]:
    try:
        yield
    except pa.ArrowInvalid as error:
        message = f"{storage.redact_uri(uri)}: not all of it is mask tables of this version: {error}"
        raise ConfigError(message) from error


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
        raise ConfigError(f"{argument} holds {wrong[0]!r}: an id is a text that is not empty")
    return checked


def _checked_frames(frames: Collection[int] | None) -> Collection[int] | None:
    if frames is None or isinstance(frames, range):
        return frames
    if isinstance(frames, str | bytes) or not isinstance(frames, Collection | np.ndarray):
        raise ConfigError(f"frames is {frames!r}: give a range, or a list of frame indices")
    indices = list(frames)
    wrong = [one for one in indices if not isinstance(one, int | np.integer) or isinstance(one, bool)]
    if wrong:
        raise ConfigError(f"frames holds {wrong[0]!r}: a frame index is a whole number")
    return [int(one) for one in indices]


def _checked_score(min_score: float | None) -> float | None:
    is_number = isinstance(min_score, int | float | np.number) and not isinstance(min_score, bool)
    if min_score is not None and (not is_number or np.isnan(min_score)):
        raise ConfigError(f"min_score is {min_score!r}: it should be a number, from 0 to 1")
    return min_score


def _conditions(
    videos: list[str] | None, objects: list[str] | None, frames: Collection[int] | None, min_score: float | None
) -> list[Condition] | None:
    """The conditions on the rows; None if no row can meet them."""
    found = []
    for column, wanted in (("video_id", videos), ("object_id", objects), ("frame_index", frames)):
        if wanted is None:
            continue
        if len(wanted) == 0:
            return None
        is_span = isinstance(wanted, range) and abs(wanted.step) == 1
        values = None if is_span else frozenset(wanted)
        found.append(Condition(column=column, lowest=min(wanted), highest=max(wanted), values=values))
    if min_score is not None:
        # Scores are float32, so the threshold is rounded to float32 too.
        found.append(Condition(column="mask_score", lowest=float(np.float32(min_score))))
    return found
