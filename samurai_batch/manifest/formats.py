"""The formats of prompts tables: bytes into a table, and rows into bytes."""

import contextlib
import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from samurai_batch.manifest import text_files
from samurai_batch.manifest.cells import is_blank, whole_number
from samurai_batch.manifest.rows import COLUMNS

_PANDAS_INDEX = re.compile(r"__index_level_\d+__")
_NO_NAME = re.compile(r"|Unnamed: \d+")  # the second is what pandas calls the first
_WITH_BLANKS = ("video_id", "object_id", "text")  # everywhere else in a CSV file, blanks around a cell say nothing

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


class TableRead:
    """A table as read: its rows, what a person calls each, and what was wrong with rows that could not be read."""

    def __init__(self, frame: pd.DataFrame, row_numbers: Sequence[int], unreadable: dict[int, str]) -> None:
        self.frame = frame
        self.row_numbers = row_numbers
        self.unreadable = unreadable


def read_parquet(data: bytes) -> TableRead:
    """A Parquet file. Raises ArrowException and OSError."""
    table = pq.ParquetFile(pa.BufferReader(data)).read()
    table.validate(full=True)  # texts that are no UTF-8, for one
    # An index that pandas wrote along says nothing; one with a name of ours is a column.
    kept = [place for place, name in enumerate(table.column_names) if not _PANDAS_INDEX.fullmatch(name)]
    frame = _without_index(_framed(table.select(kept)))
    return TableRead(frame, range(1, len(frame) + 1), {})


def read_csv(data: bytes) -> TableRead:
    """A CSV file with any of the usual separators. Raises ArrowException, UnicodeDecodeError and csv.Error."""
    body, separator = text_files.separated(text_files.decoded(data), set(COLUMNS))
    names = text_files.header(body, separator)
    unreadable: dict[int, str] = {}

    sign = _CALLED.get(separator, repr(separator))

    def skip(row: pacsv.InvalidRow) -> str:
        widths = f"{row.actual_columns} cell(s), but the header {row.expected_columns}"
        unreadable[row.number - 1] = f"has {widths}; quote cells that hold {sign}, and give every cell"
        return "skip"

    encoded = body.encode()
    table = pacsv.read_csv(
        io.BytesIO(encoded),
        pacsv.ReadOptions(use_threads=False, block_size=len(encoded) + 1),
        pacsv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=skip),
        pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
    )
    numbers = range(1, len(table) + len(unreadable) + 1)
    names = [name.strip() for name in table.column_names]
    columns = [_trimmed(name, column) for name, column in zip(names, table.columns, strict=True)]
    frame = _without_index(_framed(pa.table(columns, names=names)))
    return TableRead(frame, [number for number in numbers if number not in unreadable], unreadable)


def _trimmed(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column if name in _WITH_BLANKS else pc.utf8_trim_whitespace(column)


def read_jsonl(data: bytes) -> TableRead:
    """JSON Lines, or one JSON array of objects. Raises UnicodeDecodeError."""
    rows, row_numbers, unreadable = [], [], {}
    for number, line in enumerate(_json_lines(text_files.decoded(data)), start=1):
        try:
            row = json.loads(line) if isinstance(line, str) else line
        except (ValueError, RecursionError) as error:
            unreadable[number] = f"is not JSON ({one_line(error)}); write one object on one line"
            continue
        if isinstance(row, dict):
            rows.append(row)
            row_numbers.append(number)
        else:
            unreadable[number] = "is not a JSON object; write {...} on one line"
    names = dict.fromkeys(name for row in rows for name in row) if rows else dict.fromkeys(COLUMNS)
    frame = pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=object) for name in names})
    return TableRead(frame, row_numbers, unreadable)


def _json_lines(body: str) -> list[Any]:
    """The lines that are not blank; of one JSON array, what is in it."""
    if body.lstrip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            return list(json.loads(body))
    return [line for line in body.split("\n") if line.strip()]


def _without_index(frame: pd.DataFrame) -> pd.DataFrame:
    """The table without columns that nobody named: row numbers at its beginning, and empty ones."""
    kept = []
    for place, name in enumerate(frame.columns):
        cells = [cell for cell in frame.iloc[:, place] if not is_blank(cell)] if _NO_NAME.fullmatch(name) else None
        says_nothing = cells is not None and (not cells or (place == 0 and all(_is_row_number(one) for one in cells)))
        if not says_nothing:
            kept.append(place)
    return frame if len(kept) == len(frame.columns) else frame.iloc[:, kept]


def _is_row_number(cell: object) -> bool:
    try:
        whole_number(cell)
    except ValueError:
        return False
    return True


def _framed(table: pa.Table) -> pd.DataFrame:
    """The columns as they are, also two of one name."""
    frame = pd.DataFrame(dict(enumerate(column.to_pandas() for column in table.columns)))
    return frame.set_axis(table.column_names, axis="columns")


def write_parquet(rows: list[dict[str, Any]]) -> bytes:
    """Rows by column name as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=PROMPTS_SCHEMA), sink, compression="zstd")
    return bytes(sink.getvalue())


def write_csv(rows: list[dict[str, Any]], separator: str = ",") -> bytes:
    """Rows by column name as CSV, lists as JSON text."""
    sink = io.StringIO(newline="")
    writer = csv.DictWriter(sink, PROMPTS_SCHEMA.names, delimiter=separator)
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {name: value if isinstance(value, str | int) else json.dumps(value) for name, value in row.items()}
        )
    return sink.getvalue().encode()


def write_tsv(rows: list[dict[str, Any]]) -> bytes:
    """As `write_csv`, separated by tabs."""
    return write_csv(rows, "\t")


def write_jsonl(rows: list[dict[str, Any]]) -> bytes:
    """Rows by column name as one JSON object a line."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def one_line(error: Exception) -> str:
    """The first line of what an error says."""
    return str(error).partition("\n")[0]


Format = tuple[Callable[[bytes], TableRead], Callable[[list[dict[str, Any]]], bytes]]

FORMATS = (
    ((".parquet", ".pq"), read_parquet, write_parquet),
    ((".csv",), read_csv, write_csv),
    ((".tsv",), read_csv, write_tsv),
    ((".jsonl", ".ndjson"), read_jsonl, write_jsonl),
)
ENDINGS = ", ".join(ending for endings, _, _ in FORMATS for ending in endings)
_CALLED = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
