"""What tells one state of a file or folder from another, and when it was written."""

import hashlib
import os
import posixpath
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from samurai_batch.errors import StorageError
from samurai_batch.storage.local import is_finished
from samurai_batch.storage.retry import retrying
from samurai_batch.storage.stores import locate
from samurai_batch.storage.uris import is_remote, protocol_of, redact

FRAME_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
"""Of the pictures that make a folder a video: those that its reader takes for frames."""

_VERSION_KEYS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "mtime", "updated", "created")
_MOMENT_KEYS = ("LastModified", "last_modified", "mtime", "updated")


@dataclass(frozen=True)
class Identity:
    """What tells one state of a file or folder from another; the version changes whenever it is rewritten."""

    size_bytes: int
    version: str


def identity(uri: str) -> Identity:
    """Size and version of a file; of a folder, their sum and a hash over the listing of `files_of`.

    Raises FileNotFoundError if it is missing, and StorageError if the storage does not tell sizes.
    """
    files, path = locate(uri)
    info = retrying("looking up", uri, lambda: files.info(path))
    _check_is_no_page(uri, info)
    if info["type"] != "directory":
        return _identity_of(uri, info)
    entries = {name: _identity_of(uri, info) for name, info in sorted(files_of(uri).items())}
    text = "\n".join(f"{name}\t{entry.size_bytes}\t{entry.version}" for name, entry in entries.items())
    size_bytes = sum(entry.size_bytes for entry in entries.values())
    return Identity(size_bytes, hashlib.sha256(text.encode()).hexdigest())


def modified_s(uri: str) -> float | None:
    """When a file was last written, or the newest of `files_of`, in seconds since 1970; None if storage is silent.

    Raises FileNotFoundError if it is missing.
    """
    files, path = locate(uri)
    info = retrying("looking up", uri, lambda: files.info(path))
    entries = list(files_of(uri).values()) if info["type"] == "directory" else [info]
    moments = [next((entry[key] for key in _MOMENT_KEYS if entry.get(key)), None) for entry in entries]
    return max((_seconds(moment) for moment in moments if moment), default=None)


def files_of(uri: str) -> dict[str, Any]:
    """The files of a folder, as fsspec tells of each, by ``/`` and their path in it.

    If pictures lie in it, it is the frames of a video: then these alone, for what else lies there or below does not
    count. Otherwise all files at any depth.
    """
    files, path = locate(uri)
    listing = retrying("listing", uri, lambda: files.ls(path, detail=True))
    frames = {info["name"]: info for info in listing if info["type"] != "directory" and _is_frame(info["name"])}
    found = frames or retrying("listing", uri, lambda: files.find(path, detail=True))
    inside = path.rstrip("/")
    return {name.removeprefix(inside): info for name, info in found.items() if is_finished(posixpath.basename(name))}


def _is_frame(path: str) -> bool:
    name = posixpath.basename(path)
    return os.path.splitext(name)[1].lower() in FRAME_SUFFIXES and not name.startswith(".")  # noqa: PTH122


def _check_is_no_page(uri: str, info: dict[str, Any]) -> None:
    """A web server answers the address of a folder, or of a login, with a page."""
    if protocol_of(uri) in ("http", "https") and info.get("mimetype") == "text/html":
        raise StorageError(
            f"{redact(uri)}: the web server answers with a page, not with a file; name the file itself (folders "
            "cannot be read over HTTP)"
        )


def _identity_of(uri: str, info: dict[str, Any]) -> Identity:
    if info.get("size") is None:
        raise StorageError(f"{redact(uri)}: its storage does not tell sizes; copy it to local disk or S3 first")
    if is_remote(uri):
        version = next((str(info[key]) for key in _VERSION_KEYS if info.get(key)), "")
    else:
        version = str(Path(info["name"]).stat().st_mtime_ns)
    return Identity(int(info["size"]), version.strip('"'))


def _seconds(moment: Any) -> float:
    """A moment as one of fsspec's file systems tells it: seconds, a datetime, or text in ISO 8601."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)
