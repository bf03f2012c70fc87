"""Prompts tables as files: Parquet, CSV and JSON Lines, at any URI; which of them, the name's ending says."""

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from samurai_batch import storage
from samurai_batch.errors import PromptsError
from samurai_batch.manifest.problems import Problems
from samurai_batch.manifest.rows import COLUMNS, parse_prompts, parse_rows
from samurai_batch.rle import rle_to_coco
from samurai_batch.tasks import (
    BoxPrompt,
    EverythingPrompt,
    MaskPrompt,
    PointsPrompt,
    Prompt,
    TextPrompt,
    Track,
    check_distinct,
)

_PANDAS_INDEX = re.compile(r"__index_level_\d+__")

PROMPTS_SCHEMA = pa.schema(
    [
        ("video_id", pa.string()),
        ("video_uri", pa.string()),
        ("object_id", pa.string()),
        ("frame_index", pa.int32()),
        ("kind", pa.string()),
        ("box_xyxy", pa.list_(pa.float64())),
        ("points_xy", pa.list_(pa.list_(pa.float64()))),
        ("labels", pa.list_(pa.int8())),
        ("mask", pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])),
        ("text", pa.string()),
        ("start_frame", pa.int32()),
        ("end_frame", pa.int32()),
        ("direction", pa.string()),
    ]
)


class _Numbered:
    """A table as read: its rows, what a person calls each, and what was wrong with rows that could not be read."""

    def __init__(self, frame: pd.DataFrame, row_numbers: Sequence[int], unreadable: dict[int, str]) -> None:
        self.frame = frame
        self.row_numbers = row_numbers
        self.unreadable = unreadable


def read_prompts(uri: str) -> list[Track]:
    """The tracks of a prompts table: ``.parquet``, ``.csv`` or ``.jsonl`` (``.ndjson``).

    Rows count from 1, without the header and without blank lines. Raises PromptsError with all that is wrong.
    """
    read, _ = _format(uri)
    try:
        data = storage.read_bytes(uri)
    except FileNotFoundError as error:
        raise _refusal(uri, "there is no such file; give the URI of a prompts table") from error
    try:
        table = read(data)
    except (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error) as error:
        raise _refusal(uri, f"cannot be read ({_one_line(error)}); write it again") from error
    problems = Problems(uri, table.row_numbers)
    for row_number, text in table.unreadable.items():
        problems.about_row(row_number, text)
    tracks = parse_rows(table.frame, problems)
    problems.raise_if_any()
    return tracks


def write_prompts(uri: str, tracks: Sequence[Track] | pd.DataFrame) -> None:
    """Write a prompts table that `read_prompts` reads back as the same tracks; of a data frame, once it is checked.

    Raises PromptsError with all that is wrong in a data frame, PromptError for two tracks of one name.
    """
    _, write = _format(uri)
    tracks = parse_prompts(tracks) if isinstance(tracks, pd.DataFrame) else tracks
    check_distinct(tracks)
    storage.write_bytes(uri, write([row for track in tracks for row in _rows_of(track)]))


def is_table(uri: str) -> bool:
    """Whether a name ends as those of prompts tables do."""
    return uri.lower().endswith(tuple(ending for endings, _, _ in _FORMATS for ending in endings))


def _format(uri: str) -> "tuple[Callable[[bytes], _Numbered], Callable[[list[dict[str, Any]]], bytes]]":
    path = uri.partition("?")[0] if storage.is_remote(uri) else uri
    for endings, read, write in _FORMATS:
        if path.lower().endswith(endings):
            return read, write
    known = ", ".join(ending for endings, _, _ in _FORMATS for ending in endings)
    raise _refusal(uri, f"its name does not say which format it is in; let it end in one of {known}")


def _read_parquet(data: bytes) -> _Numbered:
    table = pq.ParquetFile(pa.BufferReader(data)).read()
    table.validate(full=True)  # texts that are no UTF-8, for one
    # An index that pandas wrote along says nothing; one with a name of ours is a column.
    kept = [place for place, name in enumerate(table.column_names) if not _PANDAS_INDEX.fullmatch(name)]
    frame = _framed(table.select(kept))
    return _Numbered(frame, range(1, len(frame) + 1), {})


def _read_csv(data: bytes) -> _Numbered:
    text = data.decode("utf-8-sig")
    header = next(csv.reader(io.StringIO(text, newline="")), [])
    unreadable: dict[int, str] = {}

    def skip(row: pacsv.InvalidRow) -> str:
        widths = f"{row.actual_columns} cell(s), but the header {row.expected_columns}"
        unreadable[row.number - 1] = f"has {widths}; quote cells that hold commas, and give every cell"
        return "skip"

    table = pacsv.read_csv(
        io.BytesIO(data),
        pacsv.ReadOptions(use_threads=False, block_size=len(data) + 1),
        pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip),
        pacsv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False),
    )
    numbers = range(1, len(table) + len(unreadable) + 1)
    frame = _framed(table)
    return _Numbered(frame, [number for number in numbers if number not in unreadable], unreadable)


def _read_jsonl(data: bytes) -> _Numbered:
    rows, row_numbers, unreadable = [], [], {}
    lines = [line for line in data.decode("utf-8-sig").split("\n") if line.strip()]
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            unreadable[number] = f"is not JSON ({_one_line(error)}); write one object on one line"
            continue
        if isinstance(row, dict):
            rows.append(row)
            row_numbers.append(number)
        else:
            unreadable[number] = "is not a JSON object; write {...} on one line"
    names = dict.fromkeys(name for row in rows for name in row) if rows else dict.fromkeys(COLUMNS)
    frame = pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=object) for name in names})
    return _Numbered(frame, row_numbers, unreadable)


def _framed(table: pa.Table) -> pd.DataFrame:
    """The columns as they are, also two of one name."""
    frame = pd.DataFrame(dict(enumerate(column.to_pandas() for column in table.columns)))
    return frame.set_axis(table.column_names, axis="columns")


def _write_parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=PROMPTS_SCHEMA), sink, compression="zstd")
    return bytes(sink.getvalue())


def _write_csv(rows: list[dict[str, Any]]) -> bytes:
    sink = io.StringIO(newline="")
    writer = csv.DictWriter(sink, PROMPTS_SCHEMA.names)
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {name: value if isinstance(value, str | int) else json.dumps(value) for name, value in row.items()}
        )
    return sink.getvalue().encode()


def _write_jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _rows_of(track: Track) -> list[dict[str, Any]]:
    """A track's prompts as rows that leave out what is not given."""
    whole: dict[str, Any] = {
        "video_id": track.video.video_id,
        "video_uri": track.video.uri,
        "object_id": track.object_id,
        "start_frame": track.start_frame,
        "end_frame": track.end_frame,
        "direction": track.direction,
    }
    rows = [{**whole, "frame_index": prompt.frame_index, **_cells_of(prompt)} for prompt in track.prompts]
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def _cells_of(prompt: Prompt) -> dict[str, Any]:
    match prompt:
        case BoxPrompt():
            return {"kind": "box", "box_xyxy": list(prompt.box_xyxy)}
        case PointsPrompt():
            points = [list(point) for point in prompt.points_xy]
            return {"kind": "points", "points_xy": points, "labels": list(prompt.labels)}
        case MaskPrompt():
            return {"kind": "mask", "mask": rle_to_coco(prompt.mask)}
        case TextPrompt():
            return {"kind": "text", "text": prompt.text}
        case EverythingPrompt():
            return {"kind": "everything"}


def _refusal(uri: str, text: str) -> PromptsError:
    return PromptsError(storage.redact(uri), [text])


def _one_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


_FORMATS = (
    ((".parquet", ".pq"), _read_parquet, _write_parquet),
    ((".csv",), _read_csv, _write_csv),
    ((".jsonl", ".ndjson"), _read_jsonl, _write_jsonl),
)
