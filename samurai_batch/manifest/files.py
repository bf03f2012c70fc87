"""Prompts tables as files: Parquet, CSV, TSV or JSON Lines, by the ending of their name, at any path or URI.

A folder of such files, as Spark writes it, is read as one table. Jobs that segment pictures also read a folder of
pictures or a list of their URIs: a picture is a video of one frame, its video_id is its file name, and its only track,
``mask``, has an everything prompt.
"""

import csv
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from samurai_batch import storage
from samurai_batch.errors import PromptsError, StorageError
from samurai_batch.manifest.formats import (
    ENDINGS,
    FORMATS,
    Format,
    TableRead,
    decoded,
    one_line,
    why_not_decoded,
    write_csv,
    write_tsv,
)
from samurai_batch.manifest.rows import parse_prompts, parse_rows
from samurai_batch.manifest.tracks import Problems
from samurai_batch.prompts import (
    BoxPrompt,
    DiscoverPrompt,
    EverythingPrompt,
    FromVideoPrompt,
    MaskPrompt,
    PointsPrompt,
    Prompt,
    TextPrompt,
)
from samurai_batch.redaction import holds_secret
from samurai_batch.rle import rle_to_coco
from samurai_batch.tasks import Track, Video, check_distinct

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
LIST_SUFFIX = ".txt"
OBJECT_ID = "mask"
_ADVICE = {
    ".xlsx": "; in Excel, save it as 'CSV UTF-8'",
    ".xls": "; in Excel, save it as 'CSV UTF-8'",
    ".ods": "; save it as CSV, in UTF-8",
    ".json": "; write one object a line, or a list of them, as .jsonl",
    **dict.fromkeys((".gz", ".bz2", ".xz", ".zst", ".zip"), "; unpack it first"),
}


def read_prompts(uri: str) -> list[Track]:
    """The tracks of a prompts table: ``.parquet``, ``.csv``, ``.tsv`` or ``.jsonl`` (``.ndjson``), or a folder of them.

    CSV may be separated by commas, semicolons, tabs or bars. Row numbers in messages start at 1 and skip the header and
    blank lines; in a folder they go on from file to file, in the order of the names. Raises PromptsError with all
    mistakes.
    """
    table = read_table(uri)
    problems = Problems(uri, table.row_numbers)
    for row_number, problem in table.unreadable.items():
        problems.about_row(row_number, problem)
    tracks = parse_rows(table.frame, problems)
    problems.raise_if_any()
    return tracks


def write_prompts(uri: str, tracks: Sequence[Track] | pd.DataFrame) -> None:
    """Write a prompts table, from which `read_prompts` reads the same tracks. A data frame is checked first.

    Raises PromptsError with all mistakes in a data frame, PromptError for two tracks with the same ids.
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
    """Whether a name has the ending of a prompts table."""
    return uri.lower().endswith(tuple(ending for endings, _, _ in FORMATS for ending in endings))


def read_table(uri: str) -> TableRead:
    """The rows of a table, or of a folder of tables, by the ending of its name. Raises PromptsError."""
    if _format(uri) is None and _is_folder(uri):
        return _read_folder(uri)
    _known_format(uri)
    try:
        data = storage.read_bytes(uri)
    except (FileNotFoundError, StorageError) as error:  # StorageError: it is a local folder
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
        raise _refusal(uri, why_not_decoded(data, error)) from error
    except (pa.ArrowException, OSError, csv.Error) as error:
        raise _refusal(uri, f"cannot be read ({one_line(error)}); write it again") from error


def _is_folder(uri: str) -> bool:
    return not uri.startswith(("http://", "https://")) and storage.is_directory(uri)


def _read_folder(uri: str) -> TableRead:
    """All tables directly in a folder as one table. Names that start with ``_`` or a dot are ignored."""
    inside = storage.list_children(uri)
    names = [name for name in inside.files if not name.startswith(("_", ".")) and _format(name)]
    folders = [name for name in inside.folders if not name.startswith(("_", "."))]
    if not names or folders:
        what = f"it contains the folder {folders[0]}" if folders else "it contains no table"
        raise _refusal(uri, f"it is a folder, and {what}; give a folder of {ENDINGS} files, or one of its files")
    uris = [storage.join(uri, name) for name in names]
    return _one_after_another([_parsed(one, storage.read_bytes(one)) for one in uris])


def _one_after_another(parts: Sequence[TableRead]) -> TableRead:
    row_numbers: list[int] = []
    unreadable: dict[int, str] = {}
    num_rows = 0
    for part in parts:
        if not part.frame.columns.is_unique:
            return part  # the check of columns will refuse it
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
        raise _refusal(uri, f"its format is not known; the name should end in one of {ENDINGS}{advice}")
    return known


def _rows_of(track: Track) -> list[dict[str, Any]]:
    """One row for each prompt of a track, without the cells that are None."""
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
        case FromVideoPrompt():
            return {"kind": "from_video", "from_video": prompt.video_id, "from_object": prompt.object_id}
        case TextPrompt():
            return {"kind": "text", "text": prompt.text}
        case EverythingPrompt():
            return {"kind": "everything"}
        case DiscoverPrompt():
            return {"kind": "discover"} | ({"text": ", ".join(prompt.classes)} if prompt.classes else {})


def _refusal(uri: str, text: str) -> PromptsError:
    return PromptsError(storage.redact_uri(uri), [text])


def read_pictures(uri: str) -> list[Track]:
    """The tracks of a folder of pictures (not its subfolders), of a ``.txt`` file with a URI per line, or of a table.

    Raises PromptsError with all mistakes.
    """
    if is_table(uri):
        return read_prompts(uri)
    if uri.lower().endswith(LIST_SUFFIX) and not storage.is_directory(uri):
        return _everything_on(_listed(uri), uri)
    names = [
        name for name in storage.list_names(uri) if name.lower().endswith(PICTURE_SUFFIXES) and not name.startswith(".")
    ]
    if not names:
        reason = "it contains no pictures" if storage.is_directory(uri) else "it is no folder"
        raise _refusal(uri, f"{reason}; give a folder of {', '.join(PICTURE_SUFFIXES)} files")
    return _everything_on((storage.join(uri, name) for name in names), uri)


def _listed(uri: str) -> list[str]:
    try:
        lines = decoded(storage.read_bytes(uri)).splitlines()
    except FileNotFoundError as error:
        raise _refusal(uri, "there is no such file") from error
    except UnicodeDecodeError as error:
        raise _refusal(uri, f"it is not text in UTF-8 ({error.reason}); write one URI per line") from error
    uris = [line.strip() for line in lines if line.strip()]
    if not uris:
        raise _refusal(uri, "it is empty; write the URI of one picture per line")
    return uris


def _picture_id(uri: str) -> str:
    """The file name and the query; without a query that holds secrets, because the id is written to every table."""
    name = (
        (uri.partition("?")[0] if storage.is_remote(uri) and holds_secret(uri) else uri).rstrip("/").rpartition("/")[2]
    )
    return storage.redact_uri(name)


def _everything_on(pictures: Iterable[str], source: str) -> list[Track]:
    uris: dict[str, str] = {}
    problems = []
    for uri in pictures:
        name = _picture_id(uri)
        if uris.setdefault(name, uri) != uri:
            both = f"{storage.redact_uri(uris[name])} and {storage.redact_uri(uri)} have the same name"
            problems.append(f"{both}; give a table with a video_id, video_uri and kind everything for each")
    if problems:
        raise PromptsError(storage.redact_uri(source), problems)
    return [
        Track(video=Video(name, uri), object_id=OBJECT_ID, prompts=(EverythingPrompt(0),)) for name, uri in uris.items()
    ]
