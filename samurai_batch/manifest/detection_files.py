"""Read and write detections at any path or URI: tables, and the files of other programs."""

from collections.abc import Collection, Iterable, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from samurai_batch import storage
from samurai_batch.errors import PromptsError, StateError
from samurai_batch.manifest.detection_formats import read_json, read_mot, read_yolo, translated
from samurai_batch.manifest.detections import Detections, VideoDetections, parse_detection_rows
from samurai_batch.manifest.files import is_table, read_table
from samurai_batch.manifest.formats import TableRead, one_line
from samurai_batch.manifest.tracks import Problems
from samurai_batch.prompts import FrameDetection
from samurai_batch.rle import rle_from_coco, rle_to_coco

VIDEO_ID = "{video_id}"
"""Stands for each video's id in the URI of detections that are kept in a file or folder for each video."""

_SCHEMA = pa.schema(
    [
        ("video_id", pa.string()),
        ("frame_index", pa.int32()),
        ("class", pa.string()),
        ("score", pa.float64()),
        ("box_xyxy", pa.list_(pa.float64())),
        ("mask", pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])),
    ]
)


def read_detections(uri: str, video_ids: Collection[str] = ()) -> Detections:
    """The detections at a URI: a table (.parquet, .csv, .tsv, .jsonl), or what other programs write.

    See `detection_formats`. With ``{video_id}`` in the URI there is a file or folder for each of ``video_ids``. Without
    it, rows of a file without the column video_id belong to the only video of ``video_ids``. Raises PromptsError with
    all mistakes of all rows.
    """
    if VIDEO_ID not in uri:
        return _read_one(uri, next(iter(video_ids)) if len(set(video_ids)) == 1 else None)
    every: dict[str, VideoDetections] = {}
    problems: list[str] = []
    for video_id in sorted(set(video_ids)):
        try:
            every |= _read_one(uri.replace(VIDEO_ID, video_id), video_id)
        except PromptsError as error:
            problems += [f"{error.source}: {problem}" for problem in error.problems]
    if problems:
        raise PromptsError(storage.redact_uri(uri), problems)
    return every


def _read_one(uri: str, video_id: str | None) -> Detections:
    """The detections of one file or folder."""
    rows, is_relative = _read_rows(uri)
    frame, problem = translated(rows.frame, video_id)
    problems = Problems(uri, rows.row_numbers)
    for number, text in rows.unreadable.items():
        problems.about_row(number, text)
    if problem:
        problems.about_table(problem)
    found = {} if problem else parse_detection_rows(frame, problems, is_relative=is_relative)
    problems.raise_if_any()
    return found


def _read_rows(uri: str) -> tuple[TableRead, bool]:
    """The rows of a file or folder, and whether its boxes are in shares of the picture's sides."""
    try:
        if uri.lower().endswith(".json"):
            return read_json(storage.read_bytes(uri)), False
        if uri.lower().endswith(".txt"):
            return read_mot(storage.read_bytes(uri)), False
    except FileNotFoundError as error:
        raise PromptsError(storage.redact_uri(uri), ["there is no such file; give the URI of detections"]) from error
    except ValueError as error:
        raise PromptsError(
            storage.redact_uri(uri), [f"it cannot be read ({one_line(error)}); write it again"]
        ) from error
    if not is_table(uri) and storage.is_directory(uri):
        names = [name for name in storage.list_names(uri) if name.endswith(".txt") and name != "classes.txt"]
        if names:
            return read_yolo([(name, storage.read_bytes(storage.join(uri, name))) for name in names]), True
    return read_table(uri), False


def detections_to_bytes(video_id: str, found: Iterable[FrameDetection]) -> bytes:
    """A detections table as Parquet; `read_detections` reads it, too."""
    rows = [
        {
            "video_id": video_id,
            "frame_index": one.frame_index,
            "class": one.class_name,
            "score": one.score,
            "box_xyxy": list(one.box_xyxy),
            "mask": None if one.mask is None else rle_to_coco(one.mask),
        }
        for one in found
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), sink, compression="zstd")
    return bytes(sink.getvalue())


def detections_from_bytes(data: bytes) -> Sequence[FrameDetection]:
    """The detections in bytes from `detections_to_bytes`. Raises StateError if they are damaged."""
    try:
        rows = pq.read_table(pa.BufferReader(data), schema=_SCHEMA).to_pylist()
        return [
            FrameDetection(
                frame_index=row["frame_index"],
                class_name=row["class"],
                score=row["score"],
                box_xyxy=tuple(row["box_xyxy"]),
                mask=None if row["mask"] is None else rle_from_coco(row["mask"]),
            )
            for row in rows
        ]
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        raise StateError(f"these detections are damaged ({one_line(error)}); delete them to detect again") from error
