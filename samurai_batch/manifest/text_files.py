"""Tables as text, as people's programs write them: in which encoding, and what separates their columns."""

import codecs
import csv
import io
import re
from collections.abc import Sequence, Set

SEPARATORS = (",", ";", "\t", "|")

_BYTE_ORDER_MARKS = (  # the longer ones first: that of UTF-32 begins as that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)  # Excel's own first line


def decoded(data: bytes) -> str:
    """The text: UTF-8, or UTF-16 or UTF-32 where a byte order mark or the zeros between the letters say so.

    Raises UnicodeDecodeError. Encodings of one byte a letter, such as Windows-1252, cannot be told from each other, and
    so are not read.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data.decode(encoding)
    zeros = tuple(place for place, byte in enumerate(data[:4]) if byte == 0)
    guessed = "utf-16-le" if zeros == (1, 3) else "utf-16-be" if zeros == (0, 2) else None
    return data.decode(guessed or "utf-8")


def why_not_decoded(data: bytes, error: UnicodeDecodeError) -> str:
    """What to do with bytes that `decoded` refuses."""
    line = data[: error.start].count(b"\n") + 1
    return f"cannot be read ({error}, in line {line}); it is not UTF-8, perhaps Windows-1252: save it as 'CSV UTF-8'"


def separated(text: str, columns: Set[str]) -> tuple[str, str]:
    """The table without a first line ``sep=;``, and what separates its columns.

    That is the sign that the first line names, or else the one by which the header holds most of these columns.
    """
    named = _SEPARATOR_LINE.match(text)
    if named:
        return text[named.end() :], named[1]
    return text, max(SEPARATORS, key=lambda sign: _num_known(header(text, sign), columns))


def header(text: str, separator: str) -> list[str]:
    """The names of the columns as they stand there."""
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])


def _num_known(names: Sequence[str], columns: Set[str]) -> int:
    return len(columns & {name.strip() for name in names})
