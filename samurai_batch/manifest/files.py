"""Prompts tables as files: Parquet, CSV and JSON Lines, at any URI; which of them, the name's ending says.

A folder of such files, as Spark writes it, is one table.
"""

import csv
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from samurai_batch import storage
from samurai_batch.errors import PromptsError, StorageError
from samurai_batch.manifest import text_files
from samurai_batch.manifest.formats import ENDINGS, FORMATS, Format, TableRead, one_line, write_csv, write_tsv
from samurai_batch.manifest.problems import Problems
from samurai_batch.manifest.rows import parse_prompts, parse_rows
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

_ADVICE = {
    ".xlsx": "; in Excel, save it as 'CSV UTF-8'",
    ".xls": "; in Excel, save it as 'CSV UTF-8'",
    ".ods": "; save it as CSV, in UTF-8",
    ".json": "; write one object a line, or a list of them, as .jsonl",
    **dict.fromkeys((".gz", ".bz2", ".xz", ".zst", ".zip"), "; unpack it first"),
}


def read_prompts(uri: str) -> list[Track]:
    """The tracks of a prompts table: ``.parquet``, ``.csv``, ``.tsv`` or ``.jsonl`` (``.ndjson``), or a folder of them.

    CSV may be separated by commas, semicolons, tabs or bars. Rows count from 1, without the header and without blank
    lines, and on through the files of a folder in the order of their names. Raises PromptsError with all that is wrong.
    """
    table = _read_table(uri)
    problems = Problems(uri, table.row_numbers)
    for row_number, problem in table.unreadable.items():
        problems.about_row(row_number, problem)
    tracks = parse_rows(table.frame, problems)
    problems.raise_if_any()
    return tracks


def write_prompts(uri: str, tracks: Sequence[Track] | pd.DataFrame) -> None:
    """Write a prompts table that `read_prompts` reads back as the same tracks; of a data frame, once it is checked.

    Raises PromptsError with all that is wrong in a data frame, PromptError for two tracks of one name.
    """
    _, write = _known_format(uri)
    tracks = parse_prompts(tracks) if isinstance(tracks, pd.DataFrame) else tracks
    check_distinct(tracks)
    if write in (write_csv, write_tsv):
        for track in tracks:
            if track.video.uri != track.video.uri.strip():
                problem = f"video_uri {track.video.uri!r}: CSV does not keep the blanks around it; write .parquet"
                raise _refusal(uri, problem)
    storage.write_bytes(uri, write([row for track in tracks for row in _rows_of(track)]))


def is_table(uri: str) -> bool:
    """Whether a name ends as those of prompts tables do."""
    return uri.lower().endswith(tuple(ending for endings, _, _ in FORMATS for ending in endings))


def _read_table(uri: str) -> TableRead:
    if _format(uri) is None and _is_folder(uri):
        return _read_folder(uri)
    _known_format(uri)
    try:
        data = storage.read_bytes(uri)
    except (FileNotFoundError, StorageError) as error:  # the second is what reading a folder of a disk leads to
        if _is_folder(uri):
            return _read_folder(uri)
        if isinstance(error, StorageError):
            raise
        raise _refusal(uri, "there is no such file; give the URI of a prompts table") from error
    return _parsed(uri, data)


def _parsed(uri: str, data: bytes) -> TableRead:
    read, _ = _known_format(uri)
    try:
        return read(data)
    except UnicodeDecodeError as error:
        raise _refusal(uri, text_files.why_not_decoded(data, error)) from error
    except (pa.ArrowException, OSError, csv.Error) as error:
        raise _refusal(uri, f"cannot be read ({one_line(error)}); write it again") from error


def _is_folder(uri: str) -> bool:
    return not uri.startswith(("http://", "https://")) and storage.is_directory(uri)


def _read_folder(uri: str) -> TableRead:
    """All tables directly in a folder as one; what begins with ``_`` or a dot is none."""
    inside = storage.list_children(uri)
    names = [name for name in inside.files if not name.startswith(("_", ".")) and _format(name)]
    folders = [name for name in inside.folders if not name.startswith(("_", "."))]
    if not names or folders:
        what = f"the folder {folders[0]} lies in it" if folders else "no table lies in it"
        raise _refusal(uri, f"it is a folder, and {what}; give a folder of {ENDINGS} files, or one of its files")
    uris = [storage.join(uri, name) for name in names]
    return _one_after_another([_parsed(one, storage.read_bytes(one)) for one in uris])


def _one_after_another(parts: Sequence[TableRead]) -> TableRead:
    row_numbers: list[int] = []
    unreadable: dict[int, str] = {}
    num_rows = 0
    for part in parts:
        if not part.frame.columns.is_unique:
            return part  # which is refused, whatever the others say
        row_numbers += [num_rows + number for number in part.row_numbers]
        unreadable |= {num_rows + number: problem for number, problem in part.unreadable.items()}
        num_rows += len(part.row_numbers) + len(part.unreadable)
    frame = pd.concat([part.frame.astype(object) for part in parts], ignore_index=True)
    return TableRead(frame, row_numbers, unreadable)


def _format(uri: str) -> Format | None:
    path = uri.partition("?")[0] if storage.is_remote(uri) else uri
    for endings, read, write in FORMATS:
        if path.lower().endswith(endings):
            return read, write
    return None


def _known_format(uri: str) -> Format:
    known = _format(uri)
    if known is None:
        path = uri.partition("?")[0] if storage.is_remote(uri) else uri
        advice = next((advice for ending, advice in _ADVICE.items() if path.lower().endswith(ending)), "")
        raise _refusal(uri, f"its name does not say which format it is in; let it end in one of {ENDINGS}{advice}")
    return known


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
