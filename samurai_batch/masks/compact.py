"""``samurai-batch compact``: copies the many small tables of tracks into few large sorted files.

The tracks' own tables stay and remain the record. The large files are in ``compact/_<generation>/``; the name of a
generation is a hash of its source files. ``compact/_current.json``, written by one PUT, names the newest complete
generation, so `read_masks` of ``compact`` sees one complete generation. The generation before is kept until the next
one, for readers that still use it. Names begin with ``_`` so that a reader that takes all files below ``compact``
finds none, instead of two generations.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from samurai_batch import storage
from samurai_batch.errors import ConfigError, StateError
from samurai_batch.masks.locating import CURRENT_NAME, MASKS_FOLDER, current_generation, track_names
from samurai_batch.masks.table import bytes_to_table, parquet_bytes
from samurai_batch.redaction import get_logger

logger = get_logger(__name__)

COMPACT_FOLDER = "compact"
FILE_BYTES = 256 * 2**20
ROW_GROUP_BYTES = 16 * 2**20
_FILES_AT_ONCE = 16


def compact_masks(output: str, file_bytes: int = FILE_BYTES) -> str:
    """Copy all finished tracks of an output folder, sorted by video, object and frame; returns the URI of their folder.

    A file has about ``file_bytes`` of rows before compression, which is also about the memory needed. Nothing is
    written if no table has changed. Raises ConfigError if there is no finished track.
    """
    masks, folder = storage.join(output, MASKS_FOLDER), storage.join(output, COMPACT_FOLDER)
    names = sorted(track_names(masks), key=lambda name: [storage.unquote_id(part) for part in name.split("/")])
    if not names:
        raise ConfigError(f"{storage.redact(output)}: no track is finished there; give the output folder of a job")
    generation = f"_{storage.identity(masks).version[:16]}"
    previous = current_generation(folder)
    if previous != generation:
        _write_generation(storage.join(folder, generation), masks, names, file_bytes)
        pointer = json.dumps({"generation": generation, "num_tracks": len(names)}).encode()
        storage.write_bytes(storage.join(folder, CURRENT_NAME), pointer)
        _remove_old(folder, {generation, previous})
    return storage.join(folder, generation)


def _write_generation(folder: str, masks: str, names: list[str], file_bytes: int) -> None:
    storage.delete(folder)  # left by an interrupted run
    number = 0
    for number, tables in enumerate(_groups(_tables(masks, names), file_bytes), start=1):
        data = parquet_bytes(pa.concat_tables(tables).combine_chunks(), {}, ROW_GROUP_BYTES)
        storage.write_bytes(storage.join(folder, f"part-{number:05d}.parquet"), data)
    logger.info("%d tracks in %d files: %s", len(names), number, storage.redact(folder))


def _tables(masks: str, names: list[str]) -> Iterator[pa.Table]:
    """The tracks' tables in order, read in batches of parallel requests."""

    def read(name: str) -> pa.Table:
        uri = storage.join(masks, name)
        try:
            return bytes_to_table(storage.read_bytes(uri))
        except StateError as error:
            raise ConfigError(f"{storage.redact(uri)}: {error}") from error

    with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
        for start in range(0, len(names), _FILES_AT_ONCE):
            yield from pool.map(read, names[start : start + _FILES_AT_ONCE])


def _groups(tables: Iterator[pa.Table], file_bytes: int) -> Iterator[list[pa.Table]]:
    """The tables of each file; a track is never split."""
    group: list[pa.Table] = []
    num_bytes = 0
    for table in tables:
        if group and num_bytes + table.nbytes > file_bytes:
            yield group
            group, num_bytes = [], 0
        group.append(table)
        num_bytes += table.nbytes
    yield group


def _remove_old(folder: str, kept: set[str | None]) -> None:
    for name in storage.list_names(folder):
        if name != CURRENT_NAME and name not in kept:
            storage.delete(storage.join(folder, name))
