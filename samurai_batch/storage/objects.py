"""Reading, writing and listing, of local files and of a store's objects alike."""

import inspect
import os
import posixpath
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from samurai_batch.errors import StorageError
from samurai_batch.redaction import get_logger
from samurai_batch.storage import local
from samurai_batch.storage.failures import Kind
from samurai_batch.storage.identities import files_of
from samurai_batch.storage.retry import failure_of, retrying
from samurai_batch.storage.stores import check_writable, locate, missing_bucket
from samurai_batch.storage.uris import is_remote, local_path, protocol_of, redact

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

logger = get_logger(__name__)

NUM_TRANSFERS_AT_ONCE = 16


@dataclass(frozen=True)
class Children:
    """Names of what is directly below a folder, each sorted."""

    files: list[str]
    folders: list[str]


def read_bytes(uri: str) -> bytes:
    """The whole file. Raises FileNotFoundError if it is missing."""
    files, path = locate(uri)
    return cast(bytes, retrying("reading", uri, lambda: files.cat_file(path)))


def write_bytes(uri: str, data: bytes) -> None:
    """Put the whole file in place at once, and make the folders above it."""
    if is_remote(uri):
        check_writable(uri)
        files, path = locate(uri)
        with _into_a_bucket(uri):
            retrying("writing", uri, lambda: files.pipe_file(path, data))
    else:
        retrying("writing", uri, lambda: local.replace_file(local_path(uri), data))


def create_bytes(uri: str, data: bytes) -> bool:
    """Put the file in place if there is none; False if one stands there, whose bytes are others.

    Of several processes that try at once exactly one succeeds on local disks, and on stores with a conditional put: S3
    and most of its kind, Google, Azure, and where fsspec knows of one. Elsewhere, with one warning, two may within one
    moment.
    """
    if not is_remote(uri):
        return retrying("creating", uri, lambda: local.create_file(local_path(uri), data))
    check_writable(uri)
    files, path = locate(uri)
    condition = _condition_of(files)
    with _into_a_bucket(uri):
        if condition is not None:
            try:
                return retrying("creating", uri, lambda: _create(files, path, data, condition))
            except StorageError as error:
                failure = failure_of(error)
                if failure is None or failure.kind not in (Kind.UNSUPPORTED, Kind.REFUSED):
                    raise
        is_ours = retrying("creating", uri, lambda: _look_then_put(files, path, data))
    _warn_of_no_condition(f"{protocol_of(uri)}://")
    return is_ours


def exists(uri: str) -> bool:
    """Whether there is a file or folder."""
    return _type_of(uri) is not None


def is_directory(uri: str) -> bool:
    """Whether there is a folder (on an object store: any object below this name)."""
    return _type_of(uri) == "directory"


def list_names(uri: str) -> list[str]:
    """The finished files and the folders directly below a folder, sorted; [] if it is missing or a file."""
    below = list_children(uri)
    return sorted(below.files + below.folders)


def list_children(uri: str) -> Children:
    """The same by kind, in one request; both empty if it is missing or a file."""
    files, folder = locate(uri)

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
        found = retrying("listing", uri, list_them)
    except FileNotFoundError:
        return Children([], [])
    finished = {(name, is_folder) for name, is_folder in found if name and local.is_finished(name)}
    files_found, folders_found = (
        sorted(name for name, is_one in finished if is_one == wanted) for wanted in (False, True)
    )
    return Children(files_found, folders_found)


def delete(uri: str) -> None:
    """Remove a file, or a folder and all below it; what is missing is fine."""
    files, path = locate(uri)
    if not posixpath.dirname(path.rstrip("/")):
        raise StorageError(f"{redact(uri)}: refusing to delete a whole bucket or disk; name a folder in it")
    try:
        if is_remote(uri):
            # fsspec's own recursive rm expands "[", "*" and "?" in the path, which could remove a neighbour.
            names = retrying("listing", uri, lambda: files.find(path))
            _in_parallel(lambda name: _delete_one(files, name, uri), names)
        else:
            retrying("deleting", uri, lambda: files.rm(path, recursive=True))
    except FileNotFoundError:
        return


def copy_to_local(uri: str, path: Path) -> None:
    """Copy a file to ``path``, or the files of a folder (`files_of`) below it. Not atomic: it may leave a part."""
    files, source = locate(uri)
    if not is_directory(uri):
        retrying("copying", uri, lambda: files.get_file(source, str(path)))
        return

    def copy_one(name: str) -> None:
        target = path / name.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        retrying("copying", uri, lambda: files.get_file(found[name]["name"], str(target)))

    found = files_of(uri)
    path.mkdir(parents=True, exist_ok=True)
    _in_parallel(copy_one, found)


def open_input(uri: str) -> BinaryIO:
    """A seekable binary file, for pyarrow and pandas. Raises FileNotFoundError if it is missing."""
    files, path = locate(uri)
    return cast(BinaryIO, retrying("opening", uri, lambda: files.open(path, "rb")))


def arrow_filesystem(uri: str) -> "tuple[FileSystem, str]":
    """The pyarrow file system of ``uri``, and its path there. What it raises is to be `translated`."""
    import pyarrow.fs  # here, because only readers of tables need it

    if not is_remote(uri):
        return pyarrow.fs.LocalFileSystem(), str(local_path(uri))
    files, path = locate(uri)
    return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(files)), path


def _type_of(uri: str) -> str | None:
    """Whether it is a "file" or a "directory"; None if neither. fsspec's own look-ups take any failure for that."""
    files, path = locate(uri)
    try:
        return str(retrying("looking up", uri, lambda: files.info(path)["type"]))
    except FileNotFoundError:
        return None


@contextmanager
def _into_a_bucket(uri: str) -> Iterator[None]:
    """Nothing but its bucket can be missing for a write to a store."""
    try:
        yield
    except FileNotFoundError as error:
        raise missing_bucket(uri) from error


def _condition_of(files: Any) -> dict[str, object] | None:
    """What makes a put conditional; None where fsspec's client knows no way to."""
    parameters = inspect.signature(getattr(files, "_pipe_file", files.pipe_file)).parameters
    if "mode" in parameters:
        return {"mode": "create"}
    return {"overwrite": False} if "overwrite" in parameters else None


def _create(files: Any, path: str, data: bytes, condition: dict[str, object]) -> bool:
    try:
        files.pipe_file(path, data, **condition)
    except FileExistsError:
        return bool(files.cat_file(path) == data)  # ours, if an answer was lost on the way
    return True


def _look_then_put(files: Any, path: str, data: bytes) -> bool:
    try:
        return bool(files.cat_file(path) == data)
    except FileNotFoundError:
        files.pipe_file(path, data)
        return True


@cache
def _warn_of_no_condition(store: str) -> None:
    """Once in a process."""
    logger.warning(
        "%s knows no conditional writes here: two runs that start on one output within one moment may not see each "
        "other; start one at a time",
        store,
    )


def _delete_one(files: Any, name: str, uri: str) -> None:
    try:
        retrying("deleting", uri, lambda: files.rm_file(name))
    except FileNotFoundError:
        return  # by another process, or by a request whose answer was lost


def _in_parallel(action: Callable[[str], object], names: Iterable[str]) -> None:
    with ThreadPoolExecutor(NUM_TRANSFERS_AT_ONCE) as pool:
        for future in [pool.submit(action, name) for name in names]:
            future.result()
