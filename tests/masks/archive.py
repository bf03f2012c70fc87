"""An archive of many short tracks, compacted, made without a file for each track.

`python -m tests.masks.archive URI 1000` writes 1,000,000 rows, 10,000 tracks of 100 frames; without the number,
`iter_masks` and the reading of one track are measured. The masks are random text, which no codec makes smaller.
"""

import sys
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from samurai_batch import storage
from samurai_batch.benchmark.memory import peak_bytes
from samurai_batch.masks import MASK_SCHEMA, compact, iter_masks, read_masks
from samurai_batch.masks.generations import Generation, write_current
from samurai_batch.masks.table import RLE_TYPE, parquet_bytes

TRACKS_OF_VIDEO, NUM_FRAMES, MASK_CHARACTERS = 10, 100, 250
MIB = 2**20


def archive_tables(num_videos: int) -> Iterator[pa.Table]:
    """A table for each track."""
    generator = np.random.default_rng(0)
    for video in range(num_videos):
        for number in range(TRACKS_OF_VIDEO):
            yield _track(f"video-{video:05d}", f"object-{number}", generator)


def _track(video_id: str, object_id: str, generator: np.random.Generator) -> pa.Table:
    count = NUM_FRAMES
    letters = generator.integers(48, 112, (count, MASK_CHARACTERS), dtype=np.uint8)
    sizes = pa.array([[720, 1280]] * count, RLE_TYPE.field("size").type)
    columns: dict[str, object] = {
        field.name: pa.array(generator.random(count) * 100).cast(field.type, safe=False)
        for field in MASK_SCHEMA
        if field.name not in ("video_id", "object_id", "segmentation", "prompted")
    }
    columns |= {
        "video_id": [video_id] * count,
        "object_id": [object_id] * count,
        "frame_index": np.arange(count),
        "prompted": [False] * count,
        "segmentation": pa.StructArray.from_arrays(
            [sizes, pa.array([row.tobytes().decode() for row in letters])], fields=list(RLE_TYPE)
        ),
    }
    return pa.table({name: columns[name] for name in MASK_SCHEMA.names}, schema=MASK_SCHEMA)


def write_archive(output: str, num_videos: int) -> None:
    """Write ``compact`` as `compact_masks` does, from the tables of `archive_tables`."""
    files = []
    parts = ((dict[str, str](), table) for table in archive_tables(num_videos))
    for number, (_, tables) in enumerate(compact._groups(parts, compact.FILE_BYTES), start=1):
        data = parquet_bytes(tables, {}, compact.ROW_GROUP_BYTES)
        name = f"part-{number:05d}.parquet"
        storage.write_bytes(storage.join(output, "compact", "_made", name), data)
        files.append(compact._described(name, tables, len(data)))
    num_tracks = num_videos * TRACKS_OF_VIDEO
    current = Generation(generation="_made", num_tracks=num_tracks, files=tuple(files))
    write_current(storage.join(output, "compact"), current)


def measure(folder: str) -> Iterator[str]:
    """A line for each measurement."""
    started = time.perf_counter()
    num_rows = sum(batch.num_rows for batch in iter_masks(folder))
    yield f"iter_masks: {num_rows} rows in {time.perf_counter() - started:.2f} s, peak {peak_bytes() // MIB} MiB"
    for _ in range(3):
        started = time.perf_counter()
        num_rows = len(read_masks(folder, videos=["video-00012"], objects=["object-4"]))
        yield f"one track: {num_rows} rows in {time.perf_counter() - started:.3f} s"


if __name__ == "__main__":
    if len(sys.argv) > 2:
        write_archive(sys.argv[1], int(sys.argv[2]))
    else:
        sys.stdout.writelines(f"{line}\n" for line in measure(storage.join(sys.argv[1], "compact")))
