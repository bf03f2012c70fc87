"""``samurai-batch compact``: many small track files into few large sorted ones.

The tracks' own files stay, they are the truth; the large ones stand beside them in ``compact/_<generation>/``. A
generation gets its name from the files it was made of, and ``compact/_current.json`` names the newest complete one,
by one PUT: so `read_masks` of ``compact``, and any reader of the folder that `compact_masks` returns, sees all of a
generation or all of the one before, which is kept until the next. Their names begin with ``_``, so that a reader that
takes whatever is below ``compact`` finds nothing rather than two generations at once.
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
    """Write all finished tracks of an output folder anew, sorted by video, object and frame; returns their folder.

    Files hold about ``file_bytes`` of rows before compression, which is also about what is held in memory. Nothing is
    written if nothing has changed. Raises ConfigError if there is no finished track.
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
    storage.delete(folder)  # what an interrupted run left
    number = 0
    for number, tables in enumerate(_groups(_tables(masks, names), file_bytes), start=1):
        data = parquet_bytes(pa.concat_tables(tables).combine_chunks(), {}, ROW_GROUP_BYTES)
        storage.write_bytes(storage.join(folder, f"part-{number:05d}.parquet"), data)
    logger.info("%d tracks in %d files: %s", len(names), number, storage.redact(folder))


def _tables(masks: str, names: list[str]) -> Iterator[pa.Table]:
    """The tracks' tables in order, a few of them read ahead."""

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
    """Tables that go into one file together; a track is never divided."""
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
