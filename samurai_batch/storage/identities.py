"""Versions of files and folders: size, version string, and modification time."""

import hashlib
import os
import posixpath
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from samurai_batch.errors import StorageError
from samurai_batch.redaction import redact_uri
from samurai_batch.storage.local import is_finished
from samurai_batch.storage.retry import retrying
from samurai_batch.storage.stores import locate
from samurai_batch.storage.uris import HTTP, is_remote, protocol_of

FRAME_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
"""Files that count as frames in a folder of frames."""

_VERSION_KEYS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "mtime", "updated", "created")
_TIME_KEYS = ("LastModified", "last_modified", "mtime", "updated")


@dataclass(frozen=True)
class Identity:
    """One version of a file or folder; ``version`` changes whenever it is rewritten."""

    size_bytes: int
    version: str


def identity(uri: str) -> Identity:
    """Size and version of a file; for a folder the total size and a hash over the listing of `files_of`.

    Raises FileNotFoundError if it does not exist, and StorageError if the store does not report sizes.
    """
    files, path = locate(uri)
    info = retrying("reading metadata", uri, lambda: files.info(path))
    _check_is_no_web_page(uri, info)
    if info["type"] != "directory":
        return _identity_of(uri, info)
    entries = {name: _identity_of(uri, info) for name, info in sorted(files_of(uri).items())}
    text = "\n".join(f"{name}\t{entry.size_bytes}\t{entry.version}" for name, entry in entries.items())
    size_bytes = sum(entry.size_bytes for entry in entries.values())
    return Identity(size_bytes, hashlib.sha256(text.encode()).hexdigest())


def modified_s(uri: str) -> float | None:
    """Modification time of a file, or of the newest of `files_of`, in seconds since 1970; None if unknown.

    Raises FileNotFoundError if it does not exist.
    """
    files, path = locate(uri)
    info = retrying("reading metadata", uri, lambda: files.info(path))
    entries = list(files_of(uri).values()) if info["type"] == "directory" else [info]
    times = [next((entry[key] for key in _TIME_KEYS if entry.get(key)), None) for entry in entries]
    return max((_seconds(time) for time in times if time), default=None)


def files_of(uri: str) -> dict[str, Any]:
    """The files of a folder: fsspec's info of each, by its path in the folder with a leading ``/``.

    If the folder directly contains frames (FRAME_SUFFIXES), only these; otherwise all files at any depth.
    """
    files, path = locate(uri)
    listing = retrying("listing", uri, lambda: files.ls(path, detail=True))
    frames = {info["name"]: info for info in listing if info["type"] != "directory" and _is_frame(info["name"])}
    infos = frames or retrying("listing", uri, lambda: files.find(path, detail=True))
    folder = path.rstrip("/")
    return {name.removeprefix(folder): info for name, info in infos.items() if is_finished(posixpath.basename(name))}


def _is_frame(path: str) -> bool:
    name = posixpath.basename(path)
    return os.path.splitext(name)[1].lower() in FRAME_SUFFIXES and not name.startswith(".")  # noqa: PTH122


def _check_is_no_web_page(uri: str, info: dict[str, Any]) -> None:
    """Raises StorageError if a web server answers with HTML, as it does for a folder or a login."""
    if protocol_of(uri) in HTTP and info.get("mimetype") == "text/html":
        raise StorageError(
            f"{redact_uri(uri)}: the web server returns a web page, not a file; give the address of the file itself "
            "(folders cannot be read over HTTP)"
        )


def _identity_of(uri: str, info: dict[str, Any]) -> Identity:
    if info.get("size") is None:
        raise StorageError(f"{redact_uri(uri)}: the store does not report its size; copy it to local disk or S3 first")
    if is_remote(uri):
        version = next((str(info[key]) for key in _VERSION_KEYS if info.get(key)), "")
    else:
        version = _local_version(info["name"])
    return Identity(int(info["size"]), version.strip('"'))


def _local_version(path: str) -> str:
    """The modification time of a file that was listed."""
    try:
        return str(retrying("reading metadata", path, Path(path).stat).st_mtime_ns)
    except FileNotFoundError as error:
        raise StorageError(
            f"{path}: it is a link to a file that does not exist, or was deleted at this moment; restore or remove it"
        ) from error


def _seconds(time: Any) -> float:
    """Seconds since 1970 of a time in any of fsspec's forms: seconds, a datetime, or ISO 8601 text."""
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    return time.timestamp() if isinstance(time, datetime) else float(time)
