"""The file formats of prompts tables: Parquet, CSV, TSV and JSON Lines, from bytes and to bytes."""

import codecs
import contextlib
import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from samurai_batch.manifest.cells import frame_index, is_blank
from samurai_batch.manifest.rows import COLUMNS

_PANDAS_INDEX = re.compile(r"__index_level_\d+__")
_NO_NAME = re.compile(r"|Unnamed: \d+")  # pandas calls a column without a name "Unnamed: 0"
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_BYTE_ORDER_MARKS = (  # UTF-32 first, because its mark starts with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BLANK_LINES = re.compile(r"\A(?:[ \t]*\r?\n)+")  # before the header
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)  # a first line that Excel reads
_OTHER_FORMATS = {
    b"PK\x03\x04": "a workbook of Excel or a ZIP archive; save it as 'CSV UTF-8', or unpack it",
    b"\xd0\xcf\x11\xe0": "a workbook of Excel; save it as 'CSV UTF-8'",
    b"PAR1": "Parquet; let its name end in .parquet",
    b"\x1f\x8b": "packed by gzip; unpack it",
    b"\x28\xb5\x2f\xfd": "packed by zstd; unpack it",
}
"""What bytes that are no text are, by the first of them, and the remedy."""
_WITH_BLANKS = (
    "video_id",
    "object_id",
    "text",
    "from_video",
    "from_object",
)  # blanks around all other cells of CSV are removed

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
        ("from_video", pa.string()),
        ("from_object", pa.string()),
        ("start_frame", pa.int32()),
        ("end_frame", pa.int32()),
        ("direction", pa.string()),
    ]
)


class TableRead(NamedTuple):
    """A table as read: its rows, the number of each in messages, and the mistake in each row that cannot be read."""

    frame: pd.DataFrame
    row_numbers: Sequence[int]
    unreadable: dict[int, str]


def read_parquet(data: bytes) -> TableRead:
    """A Parquet file. Raises ArrowException and OSError."""
    table = pq.ParquetFile(pa.BufferReader(data)).read()
    table.validate(full=True)  # finds text that is not UTF-8
    # The unnamed index of a data frame is dropped; an index with the name of a column is that column.
    kept = [place for place, name in enumerate(table.column_names) if not _PANDAS_INDEX.fullmatch(name)]
    frame = _without_index(_framed(table.select(kept)))
    return TableRead(frame, range(1, len(frame) + 1), {})


def read_csv(data: bytes) -> TableRead:
    """A CSV file with any of the usual separators. Raises ArrowException, UnicodeDecodeError and csv.Error."""
    body, separator = separated(_BLANK_LINES.sub("", decoded(data)))
    names = header(body, separator)
    unreadable: dict[int, str] = {}

    sign = SEPARATORS.get(separator, repr(separator))

    def skip(row: pacsv.InvalidRow) -> str:
        widths = f"{row.actual_columns} cell(s), but the header {row.expected_columns}"
        unreadable[row.number - 1] = f"it has {widths}; quote cells that contain {sign}, and write all cells"
        return "skip"

    encoded = body.encode()
    table = pacsv.read_csv(
        io.BytesIO(encoded),
        pacsv.ReadOptions(use_threads=False, block_size=len(encoded) + 1),
        pacsv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=skip),
        pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
    )
    numbers = [number for number in range(1, len(table) + len(unreadable) + 1) if number not in unreadable]
    names = [name.strip() for name in table.column_names]
    columns = [
        column if name in _WITH_BLANKS else pc.utf8_trim_whitespace(column)
        for name, column in zip(names, table.columns, strict=True)
    ]
    frame = _without_index(_framed(pa.table(columns, names=names)))
    is_given = (frame != "").any(axis="columns").tolist()  # Excel writes blank rows as separators alone
    rows = frame.loc[is_given].reset_index(drop=True)
    return TableRead(rows, [number for number, given in zip(numbers, is_given, strict=True) if given], unreadable)


def read_jsonl(data: bytes) -> TableRead:
    """JSON Lines, or one JSON array of objects. Raises UnicodeDecodeError."""
    rows, row_numbers, unreadable = [], [], {}
    for number, line in enumerate(_json_lines(decoded(data)), start=1):
        try:
            row = json.loads(line) if isinstance(line, str) else line
        except (ValueError, RecursionError) as error:
            unreadable[number] = f"it is not JSON ({one_line(error)}); write one object per line"
            continue
        if isinstance(row, dict):
            rows.append(row)
            row_numbers.append(number)
        else:
            unreadable[number] = "it is not a JSON object; write {...} on one line"
    names = dict.fromkeys(name for row in rows for name in row) if rows else dict.fromkeys(COLUMNS)
    frame = pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=object) for name in names})
    return TableRead(frame, row_numbers, unreadable)


def _json_lines(body: str) -> list[Any]:
    """The lines that are not blank, or the elements of one JSON array."""
    if body.lstrip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            return list(json.loads(body))
    return [line for line in body.split("\n") if line.strip()]


def _without_index(frame: pd.DataFrame) -> pd.DataFrame:
    """The table without its unnamed columns, if they are empty or are row numbers in the first column."""
    kept = []
    for place, name in enumerate(frame.columns):
        cells = [cell for cell in frame.iloc[:, place] if not is_blank(cell)] if _NO_NAME.fullmatch(name) else None
        is_dropped = cells is not None and (not cells or (place == 0 and all(_is_row_number(one) for one in cells)))
        if not is_dropped:
            kept.append(place)
    return frame if len(kept) == len(frame.columns) else frame.iloc[:, kept]


def _is_row_number(cell: object) -> bool:
    try:
        frame_index(cell)
    except ValueError:
        return False
    return True


def _framed(table: pa.Table) -> pd.DataFrame:
    """The table as a data frame, which may have two columns of the same name."""
    frame = pd.DataFrame(dict(enumerate(column.to_pandas() for column in table.columns)))
    return frame.set_axis(table.column_names, axis="columns")


def decoded(data: bytes) -> str:
    """The text of a file in UTF-8, or in UTF-16 or UTF-32 if a byte order mark or zero bytes show that.

    Raises UnicodeDecodeError. Encodings with one byte per letter, such as Windows-1252, are refused, because there
    is no way to tell them from each other.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data.decode(encoding)
    zeros = tuple(place for place, byte in enumerate(data[:4]) if byte == 0)
    guessed = "utf-16-le" if zeros == (1, 3) else "utf-16-be" if zeros == (0, 2) else None
    return data.decode(guessed or "utf-8")


def why_not_decoded(data: bytes, error: UnicodeDecodeError) -> str:
    """The error message for bytes that `decoded` refuses."""
    for begin, what in _OTHER_FORMATS.items():
        if data.startswith(begin):
            return f"cannot be read: it is no text, but {what}"
    line = data[: error.start].count(b"\n") + 1
    return f"cannot be read ({error}, in line {line}); it is not UTF-8, perhaps Windows-1252: save it as 'CSV UTF-8'"


def separated(text: str) -> tuple[str, str]:
    """The table without a first line ``sep=;``, and the separator of its columns.

    That is the separator in such a line, or else the one with which the header has most of COLUMNS.
    """
    named = _SEPARATOR_LINE.match(text)
    if named:
        return text[named.end() :], named[1]
    known = {sign: {name.strip() for name in header(text, sign)}.intersection(COLUMNS) for sign in SEPARATORS}
    return text, max(SEPARATORS, key=lambda sign: len(known[sign]))


def header(text: str, separator: str) -> list[str]:
    """The names of the columns, unchanged."""
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])


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
    """The first line of an error's message."""
    return str(error).partition("\n")[0]


Format = tuple[Callable[[bytes], TableRead], Callable[[list[dict[str, Any]]], bytes]]

FORMATS = (
    ((".parquet", ".pq"), read_parquet, write_parquet),
    ((".csv",), read_csv, write_csv),
    ((".tsv",), read_csv, write_tsv),
    ((".jsonl", ".ndjson"), read_jsonl, write_jsonl),
)
ENDINGS = ", ".join(ending for endings, _, _ in FORMATS for ending in endings)
