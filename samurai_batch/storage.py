"""Where bytes live: local paths, ``s3://`` and whatever else fsspec knows. Only this module touches fsspec.

A URI is a plain local path, ``file://`` followed by a path, or ``protocol://...``. Nothing in it is
percent-decoded, so the names made by `quote_id` stay as they are. S3 credentials and endpoint come from the
usual variables (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ...).

Writes are atomic: a reader sees the old bytes or the new ones. Listings are never cached, so what another
process wrote is seen. Errors that may pass are retried a bounded number of times; what remains is a
`StorageError`, and what is missing a `FileNotFoundError`.
"""

import hashlib
import inspect
import os
import posixpath
import random
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from samurai_batch.errors import StorageError
from samurai_batch.redaction import get_logger, redact_error, redact_uri

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

logger = get_logger(__name__)

T = TypeVar("T")

NUM_ATTEMPTS = 4
FIRST_WAIT_S = 0.25
NUM_TRANSFERS_AT_ONCE = 16
TEMPORARY_PREFIX = ".tmp-"

_LOCAL_PROTOCOLS = ("file://", "local://")
_PERMANENT = (PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)
_VERSION_KEYS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "mtime", "updated", "created")


@dataclass(frozen=True)
class Children:
    """Names of what is directly below a folder, each sorted."""

    files: list[str]
    folders: list[str]


@dataclass(frozen=True)
class Identity:
    """What tells one state of a file or folder from another; the version changes whenever it is rewritten."""

    size_bytes: int
    version: str


def join(uri: str, *parts: str) -> str:
    """``uri`` extended by relative parts, with one slash between each."""
    assert not any(part.startswith("/") for part in parts), parts
    return posixpath.join(uri, *parts)


def quote_id(identifier: str) -> str:
    """An id as one harmless file name: URL-quoted, and never starting with ``.`` or ``_``."""
    assert identifier, "an id is never empty"
    quoted = urllib.parse.quote(identifier, safe="")
    return f"%{ord(quoted[0]):02X}{quoted[1:]}" if quoted[0] in "._" else quoted


def unquote_id(name: str) -> str:
    """The id that `quote_id` made this name of."""
    return urllib.parse.unquote(name)


def is_remote(uri: str) -> bool:
    """Whether the bytes live outside this machine's file system (``memory://`` counts as outside)."""
    return "://" in uri and not uri.startswith(_LOCAL_PROTOCOLS)


def redact(uri: str) -> str:
    """``uri`` without user, password and query, fit for logs and messages."""
    return redact_uri(uri)


def local_path(uri: str) -> Path:
    """The path of a local URI."""
    assert not is_remote(uri), uri
    for protocol in _LOCAL_PROTOCOLS:
        uri = uri.removeprefix(protocol)
    return Path(uri).expanduser().absolute()


def read_bytes(uri: str) -> bytes:
    """The whole file. Raises FileNotFoundError if it is missing."""
    files, path = _locate(uri)
    return cast(bytes, _retrying("reading", uri, lambda: files.cat_file(path)))


def write_bytes(uri: str, data: bytes) -> None:
    """Put the whole file in place at once, and make the folders above it."""
    if is_remote(uri):
        files, path = _locate(uri)
        _retrying("writing", uri, lambda: files.pipe_file(path, data))
    else:
        _retrying("writing", uri, lambda: _replace_local(local_path(uri), data))


def create_bytes(uri: str, data: bytes) -> bool:
    """Put the file in place if there is none; False if one stands there, whose bytes are others.

    Of several processes that try at once exactly one succeeds on local disks, and on object stores with a conditional
    put (S3, Google, MinIO, and what is told by ``mode="create"`` in fsspec). Elsewhere two may within one moment.
    """
    if not is_remote(uri):
        return _retrying("creating", uri, lambda: _create_local(local_path(uri), data))
    files, path = _locate(uri)

    def create() -> bool:
        if not _can_create(files) and files.exists(path):
            return bool(files.cat_file(path) == data)
        try:
            files.pipe_file(path, data, **({"mode": "create"} if _can_create(files) else {}))
        except FileExistsError:
            return bool(files.cat_file(path) == data)  # ours, if an answer was lost on the way
        return True

    return _retrying("creating", uri, create)


def exists(uri: str) -> bool:
    """Whether there is a file or folder."""
    files, path = _locate(uri)
    return bool(_retrying("looking up", uri, lambda: files.exists(path)))


def is_directory(uri: str) -> bool:
    """Whether there is a folder (on an object store: any object below this name)."""
    files, path = _locate(uri)
    return bool(_retrying("looking up", uri, lambda: files.isdir(path)))


def list_names(uri: str) -> list[str]:
    """The finished files and the folders directly below a folder, sorted; [] if it is missing or a file."""
    files, path = _locate(uri)
    try:
        children = _retrying("listing", uri, lambda: files.ls(path, detail=False))
    except FileNotFoundError:
        return []
    folder = path.rstrip("/")
    pairs = [posixpath.split(child.rstrip("/")) for child in children]
    return sorted(name for parent, name in pairs if parent.rstrip("/") == folder and _is_finished(name))


def list_children(uri: str) -> Children:
    """The same by kind, in one request; both empty if it is missing or a file."""
    files, folder = _locate(uri)

    def list_them() -> list[tuple[str, bool]]:
        if not is_remote(uri):
            if not Path(folder).is_dir():
                return []
            with os.scandir(folder) as entries:  # many times as fast as fsspec, which asks for the size of each
                return [(entry.name, entry.is_dir()) for entry in entries]
        pairs = [(posixpath.split(info["name"].rstrip("/")), info["type"]) for info in files.ls(folder, detail=True)]
        inside = folder.rstrip("/")
        return [(name, kind == "directory") for (parent, name), kind in pairs if parent.rstrip("/") == inside]

    try:
        found = [(name, is_folder) for name, is_folder in _retrying("listing", uri, list_them) if _is_finished(name)]
    except FileNotFoundError:
        return Children([], [])
    files_found, folders_found = (
        sorted(name for name, is_one in found if is_one == wanted) for wanted in (False, True)
    )
    return Children(files_found, folders_found)


def delete(uri: str) -> None:
    """Remove a file, or a folder and all below it; what is missing is fine."""
    files, path = _locate(uri)
    if not posixpath.dirname(path.rstrip("/")):
        raise StorageError(f"{redact(uri)}: refusing to delete a whole bucket or disk; name a folder in it")
    try:
        if is_remote(uri):
            # fsspec's own recursive rm expands "[", "*" and "?" in the path, which could remove a neighbour.
            names = _retrying("listing", uri, lambda: files.find(path))
            _in_parallel(lambda name: _retrying("deleting", uri, lambda: files.rm_file(name)), names)
        else:
            _retrying("deleting", uri, lambda: files.rm(path, recursive=True))
    except FileNotFoundError:
        return


def identity(uri: str) -> Identity:
    """Size and version of a file; of a folder, their sum and a hash over the listing.

    Raises FileNotFoundError if it is missing, and StorageError if the storage does not tell sizes.
    """
    files, path = _locate(uri)
    info = _retrying("looking up", uri, lambda: files.info(path))
    if info["type"] != "directory":
        return _identity_of(uri, info)
    listing = _retrying("listing", uri, lambda: files.find(path, detail=True))
    entries = {
        name.removeprefix(path): _identity_of(uri, info)
        for name, info in sorted(listing.items())
        if _is_finished(posixpath.basename(name))
    }
    text = "\n".join(f"{name}\t{entry.size_bytes}\t{entry.version}" for name, entry in entries.items())
    size_bytes = sum(entry.size_bytes for entry in entries.values())
    return Identity(size_bytes, hashlib.sha256(text.encode()).hexdigest())


def modified_s(uri: str) -> float | None:
    """When a file was last written, or the newest file of a folder, in seconds since 1970; None if storage is silent.

    Raises FileNotFoundError if it is missing.
    """
    files, path = _locate(uri)
    info = _retrying("looking up", uri, lambda: files.info(path))
    entries = [info]
    if info["type"] == "directory":
        entries = list(_retrying("listing", uri, lambda: files.find(path, detail=True)).values())
    moments = [entry.get("LastModified") or entry.get("mtime") or entry.get("updated") for entry in entries]
    return max((_seconds(moment) for moment in moments if moment), default=None)


def copy_to_local(uri: str, path: Path) -> None:
    """Copy a file to ``path``, or all of a folder below it. Not atomic: an interrupted copy leaves a part."""
    files, source = _locate(uri)
    if not is_directory(uri):
        _retrying("copying", uri, lambda: files.get_file(source, str(path)))
        return

    def copy_one(name: str) -> None:
        target = path / posixpath.relpath(name, source)
        target.parent.mkdir(parents=True, exist_ok=True)
        _retrying("copying", uri, lambda: files.get_file(name, str(target)))

    path.mkdir(parents=True, exist_ok=True)
    _in_parallel(copy_one, _retrying("listing", uri, lambda: files.find(source)))


def open_input(uri: str) -> BinaryIO:
    """A seekable binary file, for pyarrow and pandas. Raises FileNotFoundError if it is missing."""
    files, path = _locate(uri)
    return cast(BinaryIO, _retrying("opening", uri, lambda: files.open(path, "rb")))


def arrow_filesystem(uri: str) -> "tuple[FileSystem, str]":
    """The pyarrow file system of ``uri``, and its path there."""
    import pyarrow.fs  # here, because only readers of tables need it

    if not is_remote(uri):
        return pyarrow.fs.LocalFileSystem(), str(local_path(uri))
    files, path = _locate(uri)
    return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(files)), path


def _locate(uri: str) -> tuple[Any, str]:
    """The fsspec file system of ``uri``, and its path there."""
    if not is_remote(uri):
        return LocalFileSystem(), str(local_path(uri))
    options: dict[str, object] = {"use_listings_cache": False}
    endpoint_url = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint_url and uri.startswith(("s3://", "s3a://")):
        # botocore reads it as well, but fsspec would go on using the client it made for another endpoint.
        options["endpoint_url"] = endpoint_url
    try:
        files, path = fsspec.core.url_to_fs(uri, **options)
    except (ImportError, ValueError) as error:
        raise StorageError(f"{redact(uri)}: this kind of URI cannot be used: {error}") from error
    return files, path


@contextmanager
def _written_beside(path: Path, data: bytes) -> Iterator[Path]:
    """A finished file of another name in the same folder; it goes afterwards, unless it was moved."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(data)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _replace_local(path: Path, data: bytes) -> None:
    with _written_beside(path, data) as temporary:
        temporary.replace(path)


def _create_local(path: Path, data: bytes) -> bool:
    """A hard link to a finished file takes a name only if it is free."""
    with _written_beside(path, data) as temporary:
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return path.read_bytes() == data
    return True


def _can_create(files: Any) -> bool:
    """Whether a file system knows of conditional puts; an old one would take the word for an option of its client."""
    return "mode" in inspect.signature(getattr(files, "_pipe_file", files.pipe_file)).parameters


def _is_finished(name: str) -> bool:
    return not name.startswith(TEMPORARY_PREFIX)


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


def _in_parallel(action: Callable[[str], object], names: Iterable[str]) -> None:
    with ThreadPoolExecutor(NUM_TRANSFERS_AT_ONCE) as pool:
        for future in [pool.submit(action, name) for name in names]:
            future.result()


def _retrying(what: str, uri: str, action: Callable[[], T]) -> T:
    """What ``action`` returns, tried up to NUM_ATTEMPTS times with a doubling, jittered wait between."""
    for attempt in range(1, NUM_ATTEMPTS + 1):
        try:
            return action()
        except FileNotFoundError as error:
            redact_error(error, uri)
            raise FileNotFoundError(f"{redact(uri)} does not exist") from error
        except Exception as error:
            redact_error(error, uri)
            if not _is_storage_error(error):
                raise
            if _is_permanent(error):
                raise StorageError(f"{redact(uri)}: {what} failed: {error}; check the path and your rights") from error
            if attempt == NUM_ATTEMPTS:
                raise StorageError(
                    f"{redact(uri)}: {what} failed {attempt} times, at last with: {error}; check storage and network"
                ) from error
            wait_s = FIRST_WAIT_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311
            logger.warning("%s: %s failed (%s), trying again in %.2f s", redact(uri), what, error, wait_s)
            time.sleep(wait_s)
    raise AssertionError("the last attempt returns or raises")


def _is_storage_error(error: Exception) -> bool:
    """Whether it comes from storage. Clients of object stores raise their own classes beside OSError."""
    client = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError) or client in {"botocore", "aiobotocore", "aiohttp"}


def _is_permanent(error: Exception) -> bool:
    names = {"NoCredentialsError", "PartialCredentialsError", "ParamValidationError"}
    return isinstance(error, _PERMANENT) or type(error).__name__ in names
