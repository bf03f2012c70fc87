"""The format of a file by its content, and its prompts: `read_annotations`."""

import json
import re
import zipfile
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from samurai_batch import storage
from samurai_batch.errors import ConfigError, StorageError
from samurai_batch.imports.coco import read_coco
from samurai_batch.imports.cvat import read_cvat
from samurai_batch.imports.label_studio import read_label_studio
from samurai_batch.imports.prompts import ImportedPrompts, Videos
from samurai_batch.imports.text_formats import read_mot, read_yolo
from samurai_batch.manifest import read_prompts
from samurai_batch.manifest.files import is_table
from samurai_batch.masks import read_masks
from samurai_batch.prompts import MaskPrompt
from samurai_batch.rle import rle_from_coco

FORMATS = ("cvat", "label-studio", "coco", "yolo", "mot", "masks", "prompts")
_KINDS = "CVAT XML, Label Studio JSON, COCO, YOLO, MOT, mask tables or a prompts table"
_NAMES_IN_ZIP = re.compile(r"(?:.*/)?[^/]+\.(xml|json|txt|yaml)")
_MOT_LINE = re.compile(r"\s*\d+\s*,\s*-?\d+(\s*,\s*[-+.\deE]+){4,}")

_MISTAKES = (
    *(ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError),
    *(zipfile.BadZipFile, yaml.YAMLError),
)
"""What the readers raise for content that is damaged or not of their format."""

Files = dict[str, bytes]


def read_annotations(uri: str, videos: Videos, format: str | None = None) -> ImportedPrompts:  # noqa: A002
    """The prompts of a file, a ZIP or a folder, under the names that it has; ``format`` is one of FORMATS.

    Raises ConfigError if it is none of these or damaged, StorageError if it cannot be read.
    """
    if format is not None and format not in FORMATS:
        raise ConfigError(f"format {format!r} is not known; use one of {', '.join(FORMATS)}")
    name = storage.redact_uri(uri)
    try:
        if format == "prompts" or (format is None and is_table(uri) and not _is_mask_table(uri)):
            return _read_prompts_table(uri, videos)
        if format == "masks" or (format is None and _has_mask_tables(uri)):
            return _read_mask_tables(uri, videos)
        files = _files(uri)
        known = format or _recognised(files)
        return _read(known, files, uri, videos)
    except FileNotFoundError as error:
        raise ConfigError(f"{name}: there is no such file; give {_KINDS}") from error
    except _MISTAKES as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error).partition("\n")[0]
        raise ConfigError(f"{name}: cannot be read as {format or 'annotations'} ({what}); give {_KINDS}") from error


def _read(known: str, files: Files, uri: str, videos: Videos) -> ImportedPrompts:
    if known == "yolo":
        return read_yolo({name: data.decode() for name, data in files.items()}, videos)
    found = ImportedPrompts()
    for name, data in sorted(files.items()):
        if known == "cvat" and name.endswith(".xml"):
            part = read_cvat(data, videos)
        elif known in ("label-studio", "coco") and name.endswith(".json"):
            content = json.loads(data)
            part = read_coco(content, videos) if known == "coco" else read_label_studio(content, videos)
        elif known == "mot" and name.endswith(".txt"):
            part = read_mot(data.decode(), name if len(files) > 1 else uri, videos)
        else:
            continue
        found.prompts += part.prompts
        found.left_out += part.left_out
    return found


def _files(uri: str) -> Files:
    """A file by its name, or the files of a folder or ZIP by their path in it."""
    if not uri.startswith("http") and storage.is_directory(uri):
        return dict(_files_of_folder(uri))
    data = storage.read_bytes(uri)
    if not data.startswith(b"PK\x03\x04"):
        return {storage.file_name(uri): data}
    with zipfile.ZipFile(BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist() if _NAMES_IN_ZIP.fullmatch(name)}


def _files_of_folder(uri: str, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    below = storage.list_children(uri)
    for name in below.files:
        if _NAMES_IN_ZIP.fullmatch(name):
            yield prefix + name, storage.read_bytes(storage.join(uri, name))
    for name in below.folders:
        yield from _files_of_folder(storage.join(uri, name), f"{prefix}{name}/")


def _recognised(files: Files) -> str:
    """The format that the content shows. Raises ValueError if it shows none."""
    for name, data in sorted(files.items()):
        if name.endswith(".yaml") and b"names" in data:
            return "yolo"
        if name.endswith("tracks.json"):
            continue
        known = _of_content(data)
        if known is not None:
            return known
    raise ValueError("its content is of no format that is known")


def _of_content(data: bytes) -> str | None:
    start = data[:4096].lstrip(b"\xef\xbb\xbf \r\n\t")
    if start.startswith(b"<"):
        return "cvat" if b"<annotations" in start else None
    if start.startswith((b"{", b"[")):
        return _of_json(json.loads(data))
    first = start.split(b"\n", 1)[0].decode(errors="replace").strip()
    if _MOT_LINE.fullmatch(first):
        return "mot"
    is_yolo = len(first.split()) >= 5 and all(_is_number(cell) for cell in first.split())
    return "yolo" if is_yolo else None


def _of_json(content: Any) -> str | None:
    if isinstance(content, dict) and {"images", "annotations"} <= content.keys():
        return "coco"
    is_tasks = isinstance(content, list) and all(isinstance(one, dict) and "data" in one for one in content)
    return "label-studio" if is_tasks and content else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _has_mask_tables(uri: str) -> bool:
    if uri.lower().endswith((".parquet", ".pq")):
        return _is_mask_table(uri)
    if uri.startswith("http") or not storage.is_directory(uri):
        return False
    below = storage.list_children(uri)
    return "masks" in below.folders or "_ledger" in below.folders


def _is_mask_table(uri: str) -> bool:
    if not uri.lower().endswith((".parquet", ".pq")) or storage.is_directory(uri):
        return False
    try:
        return "mask_score" in pq.read_schema(pa.BufferReader(storage.read_bytes(uri))).names
    except (pa.ArrowException, StorageError):
        return False


def _read_mask_tables(uri: str, videos: Videos) -> ImportedPrompts:
    columns = ["video_id", "object_id", "frame_index", "segmentation"]
    found = ImportedPrompts()
    rows: pd.DataFrame = read_masks(uri, columns=columns)
    for video_id, object_id, frame, mask in rows.itertuples(index=False, name=None):
        if isinstance(mask, dict):
            found.add((videos.id_of(video_id), object_id), MaskPrompt(int(frame), rle_from_coco(mask)))
        else:
            found.leave_out("rows without a mask (no prompt says that an object is absent)")
    return found


def _read_prompts_table(uri: str, videos: Videos) -> ImportedPrompts:
    found = ImportedPrompts()
    for track in read_prompts(uri):
        videos.uris.setdefault(track.video.video_id, track.video.uri)
        for prompt in track.prompts:
            found.add(track.track_id, prompt)
    return found
