"""Whether an FLV file is all there: behind each tag stands its length (Adobe Flash Video File Format 10.1, annex E)."""

import os
from pathlib import Path

_HEADER_BYTES = 11
_LENGTH_BYTES = 4


def ends_within_tag(path: Path) -> bool:
    """Whether the file does not end with a whole tag. What it says of its duration is too often wrong."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LENGTH_BYTES))
        tag_bytes = int.from_bytes(file.read(_LENGTH_BYTES), "big")
        start = size - _LENGTH_BYTES - tag_bytes
        if tag_bytes < _HEADER_BYTES or start < 0:
            return True
        file.seek(start)
        header = file.read(4)
    return int.from_bytes(header[1:], "big") != tag_bytes - _HEADER_BYTES
