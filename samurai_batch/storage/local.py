"""Atomic writes of local files: a reader sees the old bytes or the new ones, and a power failure leaves one of them.

A file is written under a temporary name, synced to the disk, and then moved; the folder is synced after it. So what a
later write says of an earlier one, as a ledger does of a table, is true after a power failure too.

In an output folder (one that contains ``_ledger``) the temporary name is ``_tmp/<random>``: inside ``masks``, readers
that open every file would fail on what a killed writer left. Elsewhere it is ``.tmp-<random>`` in the same folder. A
run removes leftovers of both when it starts.
"""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO

from samurai_batch.errors import StoreError
from samurai_batch.storage.uris import is_remote, local_path

TEMPORARY_PREFIX = ".tmp-"
TEMPORARIES_FOLDER = "_tmp"

_LEDGER_FOLDER = "_ledger"
_MAX_DEPTH = 5  # of the deepest file in an output: _superseded/<run>/masks/<video>/<object>.parquet
_MAX_FOLDERS_TO_SEARCH = 10_000
_NO_SYNC_OF_FOLDERS = (errno.EINVAL, errno.EOPNOTSUPP)  # some network file systems
_NO_HARD_LINKS = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV, errno.EINVAL)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file atomically; an existing one is replaced. Raises StoreError for a path below a file."""
    _make_folder(path.parent)
    try:
        with _temporary(_temporary_path(path), data) as temporary:
            _move(temporary, path)
    except FileNotFoundError:
        raise _swept(path) from None
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with _temporary(_beside(path), data) as temporary:  # the folder is on another file system than the output
            _move(temporary, path)


def create_file(path: Path, data: bytes) -> bool:
    """Write a file unless it exists; False if one exists with other bytes.

    A hard link to a complete temporary file fails if the name is taken. On file systems without hard links the file is
    created with O_EXCL instead: still only one of several writers succeeds, but a reader may briefly see it empty, and
    a writer that is killed at this moment leaves it empty. Raises StoreError for a path below a file.
    """
    _make_folder(path.parent)
    temporary_path = _temporary_path(path)
    try:
        with _temporary(temporary_path, data) as temporary:
            _link_or_create(path, temporary, data)
            _sync_folder(path.parent)
    except FileExistsError:
        return path.read_bytes() == data
    except FileNotFoundError:
        raise _swept(path) from None
    return True


def remove(path: Path) -> None:
    """Delete a file, a link, or a folder with everything in it; what others delete meanwhile is fine."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    while path.exists():
        with suppress(FileNotFoundError):  # a file in it, which was listed a moment before; the others remain
            shutil.rmtree(path)


def sweep_temporaries(output: str) -> None:
    """Remove temporary files that killed writers left in an output folder; only for the holder of its lease.

    Earlier versions left them beside leases, and inside ``masks``, which is searched if it is small, or if there is no
    ``_tmp`` yet. What cannot be removed stays. Remote stores have no temporary files.
    """
    if is_remote(output):
        return
    root = local_path(output)
    temporaries, masks = root / TEMPORARIES_FOLDER, root / "masks"
    folders = [root / _LEDGER_FOLDER]
    if not temporaries.exists() or _num_entries(masks) <= _MAX_FOLDERS_TO_SEARCH:
        folders.append(masks)
    for path in (path for folder in folders for path in folder.glob(f"*/{TEMPORARY_PREFIX}*")):
        with suppress(OSError):  # those of another user, perhaps
            path.unlink()
    shutil.rmtree(temporaries, ignore_errors=True)


def is_finished(name: str) -> bool:
    """Whether a name is not that of a temporary file."""
    return not name.startswith(TEMPORARY_PREFIX)


def _make_folder(folder: Path) -> None:
    missing = list(takewhile(lambda one: not one.exists(), (folder, *folder.parents)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        file = next((one for one in (folder, *folder.parents) if one.is_file()), folder)
        raise StoreError(f"{file} is a file, and a folder is needed there; name another folder") from error
    for made in missing:
        _sync_folder(made.parent)


def _num_entries(folder: Path) -> int:
    try:
        with os.scandir(folder) as entries:
            return sum(1 for _ in entries)
    except OSError:
        return 0


def _beside(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}")


def _temporary_path(path: Path) -> Path:
    """A temporary path for ``path``, normally on the same file system."""
    for parent in path.parents[:_MAX_DEPTH]:
        output = parent.parent if parent.name == _LEDGER_FOLDER else parent
        if parent.name == _LEDGER_FOLDER or (parent / _LEDGER_FOLDER).is_dir():
            folder = output / TEMPORARIES_FOLDER
            folder.mkdir(exist_ok=True)
            return folder / uuid.uuid4().hex
    return _beside(path)


def _swept(path: Path) -> BlockingIOError:
    """The error of a write whose temporary file `sweep_temporaries` of another process removed; it is retried."""
    return BlockingIOError(errno.EAGAIN, "its temporary file was removed during the write", str(path))


@contextmanager
def _temporary(path: Path, data: bytes) -> Iterator[Path]:
    """A complete temporary file; removed afterwards unless it was moved."""
    try:
        with path.open("wb") as file:
            _write_through(file, data)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _write_through(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


def _move(temporary: Path, path: Path) -> None:
    temporary.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk, where the file system can and the folder may be read."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except (PermissionError, FileNotFoundError):  # the latter: another process removed it
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC_OF_FOLDERS:
            raise
    finally:
        os.close(descriptor)


def _link_or_create(path: Path, temporary: Path, data: bytes) -> None:
    """Give ``data`` the name ``path``. Raises FileExistsError if the name is taken."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        with path.open("xb") as file:
            try:
                _write_through(file, data)
            except BaseException:
                path.unlink(missing_ok=True)  # it is ours, and nobody else may take what is in it for a whole file
                raise
