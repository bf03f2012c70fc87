"""Files of this machine: put in place at once, so that a reader sees the old bytes or the new ones.

A file is written under another name and moved. Inside an output folder (one that holds ``_ledger``) that other name is
``_tmp/<random>``, outside ``masks``, where a reader that takes every file for a table would stumble over what a killed
writer has left; elsewhere it is ``.tmp-<random>`` beside the file. A run removes what is left of both when it begins.
"""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from samurai_batch.storage.uris import is_remote, local_path

TEMPORARY_PREFIX = ".tmp-"
TEMPORARIES_FOLDER = "_tmp"

_LEDGER_FOLDER = "_ledger"
_MAX_DEPTH = 5  # of a file in an output: _superseded/<run>/masks/<video>/<object>.parquet
_MAX_FOLDERS_TO_SEARCH = 10_000
_NO_HARD_LINKS = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV, errno.EINVAL)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file, or rewrite it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _temporary(_temporary_path(path), data) as temporary:
            temporary.replace(path)
    except OSError as error:
        if error.errno == errno.ENOENT:  # somebody tidied while we wrote
            raise BlockingIOError(errno.EAGAIN, "its temporary file was removed meanwhile", str(path)) from None
        if error.errno != errno.EXDEV:
            raise
        with _temporary(_beside(path), data) as temporary:  # a folder of the output is a file system of its own
            temporary.replace(path)


def create_file(path: Path, data: bytes) -> bool:
    """Write a file if there is none; False if one stands there, whose bytes are others.

    A hard link to a finished file takes a name only if it is free. Where there are no hard links the file itself is
    created exclusively: of several writers still only one succeeds, but a reader may see it empty for a moment.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _temporary(_beside(path), data) as temporary:
            _take_name(path, temporary, data)
    except FileExistsError:
        return path.read_bytes() == data
    return True


def sweep_temporaries(output: str) -> None:
    """Remove what killed writers left in an output folder, for who alone may write there. Remote stores have none.

    Earlier versions left it inside ``masks``, which is looked through while no ``_tmp`` tells of this version, or if it
    is small.
    """
    if is_remote(output):
        return
    root = local_path(output)
    temporaries, masks = root / TEMPORARIES_FOLDER, root / "masks"
    if not temporaries.exists() or _num_entries(masks) <= _MAX_FOLDERS_TO_SEARCH:
        for path in masks.glob(f"*/{TEMPORARY_PREFIX}*"):
            path.unlink(missing_ok=True)
    shutil.rmtree(temporaries, ignore_errors=True)


def is_finished(name: str) -> bool:
    """Whether a file of this name is no temporary one."""
    return not name.startswith(TEMPORARY_PREFIX)


def _num_entries(folder: Path) -> int:
    try:
        with os.scandir(folder) as entries:
            return sum(1 for _ in entries)
    except OSError:
        return 0


def _beside(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}")


def _temporary_path(path: Path) -> Path:
    """Where a file is written before it is moved to ``path``, on the same file system."""
    for parent in path.parents[:_MAX_DEPTH]:
        output = parent.parent if parent.name == _LEDGER_FOLDER else parent
        if parent.name == _LEDGER_FOLDER or (parent / _LEDGER_FOLDER).is_dir():
            folder = output / TEMPORARIES_FOLDER
            folder.mkdir(exist_ok=True)
            return folder / uuid.uuid4().hex
    return _beside(path)


@contextmanager
def _temporary(path: Path, data: bytes) -> Iterator[Path]:
    """A finished file; it goes afterwards, unless it was moved."""
    try:
        path.write_bytes(data)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _take_name(path: Path, finished: Path, data: bytes) -> None:
    """Raises FileExistsError if the name is taken."""
    try:
        path.hardlink_to(finished)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        with path.open("xb") as file:
            file.write(data)
