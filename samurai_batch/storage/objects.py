"""Reading, writing, listing and deleting local files and objects of remote stores."""

import inspect
import os
import posixpath
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from samurai_batch.errors import StorageError
from samurai_batch.redaction import get_logger, redact_uri
from samurai_batch.storage import local
from samurai_batch.storage.failures import Kind
from samurai_batch.storage.identities import files_of
from samurai_batch.storage.retry import failure_of, retrying
from samurai_batch.storage.stores import check_writable, locate, missing_bucket
from samurai_batch.storage.uris import AZURE, GOOGLE, S3, is_remote, local_path, protocol_of

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

logger = get_logger(__name__)

NUM_PARALLEL_TRANSFERS = 16

_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".mp4": "video/mp4",
}


@dataclass(frozen=True)
class Children:
    """Sorted names of the files and folders directly in a folder."""

    files: list[str]
    folders: list[str]


def read_bytes(uri: str) -> bytes:
    """The content of a file. Raises FileNotFoundError if it does not exist."""
    files, path = locate(uri)
    return cast(bytes, retrying("reading", uri, lambda: files.cat_file(path)))


def write_bytes(uri: str, data: bytes) -> None:
    """Write a file atomically, and create its folders. What a browser opens gets its media type in a bucket."""
    if is_remote(uri):
        check_writable(uri)
        files, path = locate(uri)
        with _missing_bucket_named(uri):
            retrying("writing", uri, lambda: files.pipe_file(path, data, **_media_type(uri)))
    else:
        retrying("writing", uri, lambda: local.replace_file(local_path(uri), data))


def create_bytes(uri: str, data: bytes) -> bool:
    """Write a file unless it exists; False if one exists with other bytes.

    Of several processes that try at once exactly one succeeds on local disks and on stores with conditional writes: S3
    and most compatible stores, Google, Azure, and others for which fsspec supports them. On other stores two may
    succeed at the same moment; a warning is logged once.
    """
    if not is_remote(uri):
        return retrying("creating", uri, lambda: local.create_file(local_path(uri), data))
    check_writable(uri)
    files, path = locate(uri)
    condition = _condition_of(files)
    with _missing_bucket_named(uri):
        if condition is not None:
            try:
                return retrying("creating", uri, lambda: _create(files, path, data, condition))
            except StorageError as error:
                failure = failure_of(error)
                if failure is None or failure.kind not in (Kind.UNSUPPORTED, Kind.REFUSED):
                    raise
        is_ours = retrying("creating", uri, lambda: _write_if_missing(files, path, data))
    _warn_of_unconditional_writes(f"{protocol_of(uri)}://")
    return is_ours


def has_conditional_writes(uri: str) -> bool:
    """Whether the store itself refuses to create the file at ``uri`` again; the file must exist."""
    if not is_remote(uri):
        return True
    files, path = locate(uri)
    condition = _condition_of(files)
    if condition is None:
        return False
    try:
        return not retrying("creating", uri, lambda: _create(files, path, b"", condition))
    except StorageError as error:
        failure = failure_of(error)
        if failure is None or failure.kind not in (Kind.UNSUPPORTED, Kind.REFUSED):
            raise
        return False


def exists(uri: str) -> bool:
    """Whether a file or folder exists."""
    return _type_of(uri) is not None


def is_directory(uri: str) -> bool:
    """Whether a folder exists (on an object store: any object below this name)."""
    return _type_of(uri) == "directory"


def list_names(uri: str) -> list[str]:
    """Sorted names of the files and folders directly in a folder; [] if it does not exist or is a file."""
    children = list_children(uri)
    return sorted(children.files + children.folders)


def list_children(uri: str) -> Children:
    """As `list_names`, files and folders apart; one request. Temporary files of unfinished writes are left out."""
    files, folder = locate(uri)

    def list_them() -> list[tuple[str, bool]]:
        if not is_remote(uri):
            if not Path(folder).is_dir():
                return []
            with os.scandir(folder) as entries:  # many times as fast as fsspec, which reads each size
                return [(entry.name, entry.is_dir()) for entry in entries]
        pairs = [(posixpath.split(info["name"].rstrip("/")), info["type"]) for info in files.ls(folder, detail=True)]
        return [
            (name, kind == "directory") for (parent, name), kind in pairs if parent.rstrip("/") == folder.rstrip("/")
        ]

    try:
        entries = {entry for entry in retrying("listing", uri, list_them) if entry[0] and local.is_finished(entry[0])}
    except FileNotFoundError:
        return Children([], [])
    return Children(
        files=sorted(name for name, is_folder in entries if not is_folder),
        folders=sorted(name for name, is_folder in entries if is_folder),
    )


def delete(uri: str) -> None:
    """Delete a file, or a folder with everything in it; does nothing if it does not exist."""
    files, path = locate(uri)
    if not posixpath.dirname(path.rstrip("/")):
        raise StorageError(f"{redact_uri(uri)}: refusing to delete a whole bucket or disk; name a folder in it")
    try:
        if is_remote(uri):
            # fsspec's recursive rm expands "[", "*" and "?" in the path, which could delete other files.
            names = retrying("listing", uri, lambda: files.find(path))
            _in_parallel(lambda name: _delete_one(files, name, uri), names)
        else:
            retrying("deleting", uri, lambda: local.remove(Path(path)))
    except FileNotFoundError:
        return


def copy_to_local(uri: str, path: Path) -> None:
    """Copy a file to ``path``, or the files of a folder (`files_of`) into it. Not atomic."""
    files, source = locate(uri)
    if not is_directory(uri):
        retrying("copying", uri, lambda: files.get_file(source, str(path)))
        return

    def copy_one(name: str) -> None:
        target = path / name.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        retrying("copying", uri, lambda: files.get_file(infos[name]["name"], str(target)))

    infos = files_of(uri)
    path.mkdir(parents=True, exist_ok=True)
    _in_parallel(copy_one, infos)


def arrow_filesystem(uri: str) -> "tuple[FileSystem, str]":
    """The pyarrow file system of ``uri``, and its path there. Use it inside `translated`."""
    import pyarrow.fs  # slow to import, and only readers of tables need it

    if not is_remote(uri):
        return pyarrow.fs.LocalFileSystem(), str(local_path(uri))
    from samurai_batch.storage.arrow_files import ExactReads

    files, path = locate(uri)
    return pyarrow.fs.PyFileSystem(ExactReads(files)), path


def _media_type(uri: str) -> dict[str, object]:
    """The option that gives an object the media type of its file name: a browser downloads pages without one."""
    media_type = _MEDIA_TYPES.get(posixpath.splitext(uri)[1].lower())
    if media_type is None:
        return {}
    protocol = protocol_of(uri)
    if protocol in S3:
        return {"ContentType": media_type}
    if protocol in GOOGLE:
        return {"content_type": media_type}
    return {"content_settings": {"content_type": media_type}} if protocol in AZURE else {}


def _type_of(uri: str) -> str | None:
    """Returns "file", "directory", or None if it does not exist. fsspec's own `exists` is False after any error."""
    files, path = locate(uri)
    try:
        return str(retrying("reading metadata", uri, lambda: files.info(path)["type"]))
    except FileNotFoundError:
        return None


@contextmanager
def _missing_bucket_named(uri: str) -> Iterator[None]:
    """A FileNotFoundError of a write means that the bucket does not exist."""
    try:
        yield
    except FileNotFoundError as error:
        raise missing_bucket(uri) from error


def _condition_of(files: Any) -> dict[str, object] | None:
    """The option that makes a write conditional; None if fsspec's client has none."""
    parameters = inspect.signature(getattr(files, "_pipe_file", files.pipe_file)).parameters
    if "mode" in parameters:
        return {"mode": "create"}
    return {"overwrite": False} if "overwrite" in parameters else None


def _create(files: Any, path: str, data: bytes, condition: dict[str, object]) -> bool:
    try:
        files.pipe_file(path, data, **condition)
    except FileExistsError:
        return bool(files.cat_file(path) == data)  # True if this process wrote it and the answer was lost
    return True


def _write_if_missing(files: Any, path: str, data: bytes) -> bool:
    try:
        return bool(files.cat_file(path) == data)
    except FileNotFoundError:
        files.pipe_file(path, data)
        return True


@cache
def _warn_of_unconditional_writes(store: str) -> None:
    """Logs once per process and store."""
    logger.warning(
        "%s has no conditional writes: two runs that start on the same output at the same moment may both begin; start "
        "one at a time",
        store,
    )


def _delete_one(files: Any, name: str, uri: str) -> None:
    try:
        retrying("deleting", uri, lambda: files.rm_file(name))
    except FileNotFoundError:
        return  # deleted by another process, or by a request whose answer was lost


def _in_parallel(action: Callable[[str], object], names: Iterable[str]) -> None:
    with ThreadPoolExecutor(NUM_PARALLEL_TRANSFERS) as pool:
        for future in [pool.submit(action, name) for name in names]:
            future.result()
