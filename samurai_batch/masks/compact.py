"""``samurai-batch compact``: copies the many small tables of tracks into few large sorted files.

The tracks' own tables stay and remain the record. The large files are in ``compact/_<generation>/``; the name of a
generation is a hash of its source files and of its layout. ``compact/_current.json``, written by one PUT, names the
newest complete generation, so `read_masks` of ``compact`` sees one complete generation. The generation before is kept
until the next one, for readers that still use it. Names begin with ``_`` so that a reader that takes all files below
``compact`` finds none, instead of two generations.
"""

import functools
import hashlib
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from samurai_batch import storage
from samurai_batch.counting import counted
from samurai_batch.errors import ConfigError, StateError
from samurai_batch.masks.generations import (
    CURRENT_NAME,
    PARTITION_KEYS,
    CompactFile,
    Generation,
    partition_folder,
    read_current,
    write_current,
)
from samurai_batch.masks.locating import MASKS_FOLDER, TABLE_SUFFIX, track_names
from samurai_batch.masks.table import bytes_to_table, parquet_bytes
from samurai_batch.redaction import get_logger
from samurai_batch.tasks import TrackId

logger = get_logger(__name__)

COMPACT_FOLDER = "compact"
FILE_BYTES = 32 * 2**20
ROW_GROUP_BYTES = 2 * 2**20
"""Who reads one track fetches the footer and one or two row groups. A footer has about 2 KB for each row group: pyarrow
fetches up to 64 KB of it by one request."""
_FILES_AT_ONCE = 16
_LAYOUT = "2"  # raised when the same tables give other files

Partition = Mapping[str, str]


def compact_masks(output: str, file_bytes: int = FILE_BYTES, *, partition_by: Iterable[str] = ()) -> str:
    """Copy all finished tracks of an output folder, sorted by video, object and frame; returns the URI of their folder.

    A file has about ``file_bytes`` of rows before compression, which is also about the memory needed. With
    ``partition_by`` (``video_id``, ``object_id`` or both) the files are in folders ``video_id=a%20b/``, as Hive lays
    them out, sorted by these columns first; the columns are then part of the path alone, and `read_masks` puts them
    back. Nothing is written if no table has changed. Raises ConfigError if there is no finished track.
    """
    keys = _checked_keys(partition_by)
    masks, folder = storage.join(output, MASKS_FOLDER), storage.join(output, COMPACT_FOLDER)
    names = sorted(track_names(masks), key=lambda name: _sort_key(_track_of(name), keys))
    if not names:
        raise ConfigError(f"{storage.redact_uri(output)}: no track is finished there; give the output folder of a job")
    layout = "/".join([storage.identity(masks).version, _LAYOUT, str(file_bytes), *keys])
    generation = f"_{hashlib.sha256(layout.encode()).hexdigest()[:16]}"
    try:
        previous = read_current(folder)
    except ConfigError:  # it is damaged, and written anew
        previous = None
    if previous is None or previous.generation != generation:
        files = _write_generation(storage.join(folder, generation), masks, names, file_bytes, keys)
        current = Generation(generation=generation, num_tracks=len(names), partition_by=keys, files=tuple(files))
        write_current(folder, current)
        _remove_old(folder, {generation, previous.generation if previous else None})
    return storage.join(folder, generation)


def _checked_keys(partition_by: Iterable[str]) -> tuple[str, ...]:
    keys = (partition_by,) if isinstance(partition_by, str) else tuple(partition_by)
    wrong = [key for key in keys if key not in PARTITION_KEYS]
    if wrong:
        raise ConfigError(f"partition_by is {wrong[0]!r}: tables are partitioned by {' or '.join(PARTITION_KEYS)}")
    if len(set(keys)) < len(keys):
        raise ConfigError(f"partition_by names {keys[0]} twice; name it once")
    return keys


def _track_of(name: str) -> TrackId:
    video, table = name.split("/")
    return storage.unquote_id(video), storage.unquote_id(table.removesuffix(TABLE_SUFFIX))


def _sort_key(track: TrackId, keys: Sequence[str]) -> list[str]:
    values = dict(zip(PARTITION_KEYS, track, strict=True))
    return [values[key] for key in keys] + list(track)


def _write_generation(
    folder: str, masks: str, names: list[str], file_bytes: int, keys: Sequence[str]
) -> list[CompactFile]:
    storage.delete(folder)  # left by an interrupted run
    files = []
    tables_read = counted(_tables(masks, names), "tables read", len(names))
    parts = (part for table in tables_read for part in _partitions(table, keys))
    for number, (partition, tables) in enumerate(_groups(parts, file_bytes), start=1):
        data = parquet_bytes(tables, {}, ROW_GROUP_BYTES, left_out=keys)
        name = storage.join(partition_folder(partition), f"part-{number:05d}{TABLE_SUFFIX}")
        storage.write_bytes(storage.join(folder, name), data)
        files.append(_described(name, tables, len(data)))
    logger.info("%d tracks in %d files: %s", len(names), len(files), storage.redact_uri(folder))
    return files


def _described(name: str, tables: Sequence[pa.Table], num_bytes: int) -> CompactFile:
    tracks = [track for table in tables if table.num_rows for track in _bounds(table)]
    num_rows = sum(table.num_rows for table in tables)
    first, last = (min(tracks), max(tracks)) if tracks else (("", ""), ("", ""))
    return CompactFile(name=name, num_rows=num_rows, num_bytes=num_bytes, first=first, last=last)


def _bounds(table: pa.Table) -> list[TrackId]:
    """The first and last track of a table of one video."""
    video_id, bounds = table["video_id"][0].as_py(), pc.min_max(table["object_id"]).as_py()
    return [(video_id, bounds["min"]), (video_id, bounds["max"])]


def _tables(masks: str, names: list[str]) -> Iterator[pa.Table]:
    """The tracks' tables in order, read in batches of parallel requests."""

    def read(name: str) -> pa.Table:
        uri = storage.join(masks, name)
        try:
            return bytes_to_table(storage.read_bytes(uri))
        except StateError as error:
            raise ConfigError(f"{storage.redact_uri(uri)}: {error}") from error

    with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
        for start in range(0, len(names), _FILES_AT_ONCE):
            yield from pool.map(read, names[start : start + _FILES_AT_ONCE])


def _partitions(table: pa.Table, keys: Sequence[str]) -> Iterator[tuple[Partition, pa.Table]]:
    """The rows of each partition. A table has several objects only if they were detected on a picture."""
    if not keys:
        yield {}, table
        return
    for values in table.select(list(keys)).group_by(list(keys), use_threads=False).aggregate([]).to_pylist():
        yield values, table.filter(functools.reduce(operator.and_, [pc.field(key) == values[key] for key in keys]))


def _groups(
    parts: Iterator[tuple[Partition, pa.Table]], file_bytes: int
) -> Iterator[tuple[Partition, Sequence[pa.Table]]]:
    """The partition and tables of each file; a track is never split."""
    group: list[pa.Table] = []
    partition: Partition = {}
    num_bytes = 0
    for values, table in parts:
        if group and (values != partition or num_bytes + table.nbytes > file_bytes):
            yield partition, group
            group, num_bytes = [], 0
        group.append(table)
        partition, num_bytes = values, num_bytes + table.nbytes
    if group:
        yield partition, group


def _remove_old(folder: str, kept: set[str | None]) -> None:
    for name in storage.list_names(folder):
        if name != CURRENT_NAME and name not in kept:
            storage.delete(storage.join(folder, name))
