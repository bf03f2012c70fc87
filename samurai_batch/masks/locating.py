"""Finding the files of an output that can have the requested rows, with few requests to the store."""

import posixpath
import re

import pyarrow.fs as pafs

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.masks.generations import CURRENT_NAME, PARTITION_KEYS, partition_values, read_current

MASKS_FOLDER = "masks"
TABLE_SUFFIX = ".parquet"
_PART = re.compile(r"part-\d{5,}\.parquet")
"""Names of compacted files."""

# Up to this number, checking each table by name takes fewer requests than listing the folders of the videos.
_MAX_NAMED = 16


def mask_table_uri(output: str, video_id: str, object_id: str) -> str:
    """The URI of a finished track's table in an output folder."""
    return storage.join(mask_tables_uri(output, video_id), mask_table_name(object_id))


def mask_tables_uri(output: str, video_id: str) -> str:
    """The folder of a video's tables."""
    return storage.join(output, MASKS_FOLDER, storage.quote_id(video_id))


def mask_table_name(object_id: str) -> str:
    """The file name of a track's table."""
    return storage.quote_id(object_id) + TABLE_SUFFIX


def table_paths(uri: str, videos: list[str] | None, objects: list[str] | None) -> list[str]:
    """The files that can have the requested rows, as sorted paths of the Arrow file system.

    Objects detected on an image for a track ``x`` (``x#0``, ``x#1``, …) are in the table of ``x``.
    Raises ConfigError if ``uri`` does not exist or has no mask tables.
    """
    if objects is not None:
        objects = sorted({name for one in objects for name in (one, one.rpartition("#")[0]) if name})
    below = storage.list_children(uri)
    filesystem, root = storage.arrow_filesystem(uri)
    if not below.files and not below.folders and filesystem.get_file_info(root).type == pafs.FileType.File:
        return [root]
    if CURRENT_NAME in below.files:
        return _compacted(uri, videos, objects)
    if any(name.startswith(tuple(f"{key}=" for key in PARTITION_KEYS)) for name in below.folders):
        return _partitioned(uri, videos, objects)
    if tables := _tables(below):
        return [posixpath.join(root, name) for name in tables if _is_selected(name, objects)]
    is_output = _is_output(uri, below.folders)
    masks = storage.join(uri, MASKS_FOLDER) if is_output else uri
    names = _track_names(masks, videos, objects)
    if not names and not is_output and posixpath.basename(root) != MASKS_FOLDER and not track_names(masks):
        what = "no mask tables are below it" if storage.exists(uri) else "nothing is there"
        raise ConfigError(f"{storage.redact_uri(uri)}: {what}; give the output folder of a job, or a part of it")
    masks_root = storage.arrow_filesystem(masks)[1]
    return [posixpath.join(masks_root, name) for name in names]


def track_names(masks: str) -> list[str]:
    """``video/object.parquet`` of every table in a masks folder, by one recursive listing."""
    filesystem, root = storage.arrow_filesystem(masks)
    infos = filesystem.get_file_info(pafs.FileSelector(root, allow_not_found=True, recursive=True))
    names = [posixpath.relpath(info.path, root) for info in infos if info.type == pafs.FileType.File]
    return sorted(name for name in names if name.count("/") == 1 and _is_table(posixpath.basename(name)))


def _compacted(uri: str, videos: list[str] | None, objects: list[str] | None) -> list[str]:
    """The files of the complete generation in a ``compact`` folder."""
    current = read_current(uri)
    assert current is not None
    folder = storage.join(uri, current.generation)
    if current.files is None:
        return table_paths(folder, videos, None)
    root = storage.arrow_filesystem(folder)[1]
    return [posixpath.join(root, file.name) for file in current.files if file.may_hold(videos, objects)]


def _partitioned(uri: str, videos: list[str] | None, objects: list[str] | None) -> list[str]:
    """The files below folders that are called ``video_id=…`` or ``object_id=…``, by one recursive listing."""
    filesystem, root = storage.arrow_filesystem(uri)
    infos = filesystem.get_file_info(pafs.FileSelector(root, recursive=True))
    files = sorted(info.path for info in infos if info.type == pafs.FileType.File and info.path.endswith(TABLE_SUFFIX))
    wanted = {key: values for key, values in zip(PARTITION_KEYS, (videos, objects), strict=True) if values is not None}

    def is_selected(path: str) -> bool:
        there = partition_values(posixpath.relpath(path, root).split("/"))
        return all(there[key] in values for key, values in wanted.items() if key in there)

    return [path for path in files if is_selected(path)]


def _tables(below: storage.Children) -> list[str]:
    return [name for name in below.files if _is_table(name)]


def _is_output(uri: str, folders: list[str]) -> bool:
    """Whether this is an output folder, and not its ``masks`` folder, which may have a video called "masks"."""
    if any(name.startswith("_") for name in folders):  # the ledger; the folder of a video never begins with _
        return True
    return MASKS_FOLDER in folders and not _tables(storage.list_children(storage.join(uri, MASKS_FOLDER)))


def _track_names(masks: str, videos: list[str] | None, objects: list[str] | None) -> list[str]:
    if videos is None:
        return [name for name in track_names(masks) if _is_selected(name, objects)]
    folders = sorted({storage.quote_id(video) for video in videos})
    if objects is not None and len(folders) * len(objects) <= _MAX_NAMED:
        tables = sorted(map(mask_table_name, set(objects)))
        return _existing(masks, [f"{folder}/{table}" for folder in folders for table in tables])
    names = [
        f"{folder}/{name}" for folder in folders for name in _tables(storage.list_children(storage.join(masks, folder)))
    ]
    return [name for name in names if _is_selected(name, objects)]


def _existing(masks: str, names: list[str]) -> list[str]:
    filesystem, root = storage.arrow_filesystem(masks)
    infos = filesystem.get_file_info([posixpath.join(root, name) for name in names])
    return [name for name, info in zip(names, infos, strict=True) if info.type == pafs.FileType.File]


def _is_table(name: str) -> bool:
    return name.endswith(TABLE_SUFFIX) and not name.startswith(("_", "."))


def _is_selected(name: str, objects: list[str] | None) -> bool:
    if _PART.fullmatch(posixpath.basename(name)):
        return True
    object_id = storage.unquote_id(posixpath.basename(name).removesuffix(TABLE_SUFFIX))
    return objects is None or object_id in objects
