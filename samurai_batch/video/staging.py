"""Local copies of remote videos: each is copied once per machine; the least recently used are removed at a limit."""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from samurai_batch import storage
from samurai_batch.errors import StorageError
from samurai_batch.redaction import get_logger

logger = get_logger(__name__)

_LOCK_SUFFIX = ".lock"
_PARTIAL_SUFFIX = ".partial"
_MAX_STEM_BYTES = 150
_MAX_SUFFIX_BYTES = 20


class StagingCache:
    """A folder of copies, shared by all processes of one machine.

    A copy belongs to one version of its original (by `storage.identity`); a rewritten original is copied again. A copy
    is in use from `stage` to `release`, or until its process dies. Copies in use are never removed, so together they
    may exceed ``limit_bytes``.

    On disk, ``<key>/<name>`` is a complete copy and ``<key>.partial`` an unfinished one. ``<key>.lock`` is locked
    shared by users of the copy and exclusively by a process that makes or removes it. It holds the size in bytes; its
    modification time is that of the last use.
    """

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self._root = root
        self._limit_bytes = limit_bytes
        self._held: dict[str, list[int]] = {}

    def stage(self, uri: str) -> Path:
        """The path of a local copy, in use until `release`; for a local URI its own path.

        Raises FileNotFoundError if there is no such file or folder, and StorageError if it cannot be copied.
        """
        if not storage.is_remote(uri):
            return storage.local_path(uri)
        identity = storage.identity(uri)
        with self._disk_errors_named():
            return self._stage(uri, identity)

    def _stage(self, uri: str, identity: storage.Identity) -> Path:
        self._root.mkdir(parents=True, exist_ok=True)
        source = storage.without_signature(uri)
        key = hashlib.sha256(f"{source}\n{identity.size_bytes}\n{identity.version}".encode()).hexdigest()[:32]
        copy = self._root / key / _name_of_copy(uri)
        while True:
            lock = _lock(self._lock_path(key), fcntl.LOCK_SH)
            if copy.exists():
                os.utime(lock, ns=(time.time_ns(),) * 2)  # finer than the file system's timestamps
                self._held.setdefault(uri, []).append(lock)
                return copy
            os.close(lock)
            self._fetch(uri, key, copy.name, identity.size_bytes)

    def release(self, uri: str) -> None:
        """End the use of a copy that one call of `stage` began."""
        if locks := self._held.get(uri):
            os.close(locks.pop())

    def close(self) -> None:
        """Release all copies."""
        for locks in self._held.values():
            while locks:
                os.close(locks.pop())

    def _lock_path(self, key: str) -> Path:
        return self._root / f"{key}{_LOCK_SUFFIX}"

    def _fetch(self, uri: str, key: str, name: str, size_bytes: int) -> None:
        """Make the copy, unless another process made it while this one waited for the lock."""
        with _locked(self._lock_path(key), fcntl.LOCK_EX) as lock:
            whole, partial = self._root / key, self._root / f"{key}{_PARTIAL_SUFFIX}"
            if (whole / name).exists():
                return
            self._reserve(lock, size_bytes)
            shutil.rmtree(whole, ignore_errors=True)  # an earlier version named copies differently
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            try:
                storage.copy_to_local(uri, partial / name)
                if (copied_bytes := _size_bytes(partial)) != size_bytes:
                    raise StorageError(
                        f"{storage.redact_uri(uri)}: {copied_bytes} bytes were copied, {size_bytes} expected; the file "
                        "was rewritten during the copy, run again"
                    )
                partial.replace(whole)
            finally:
                shutil.rmtree(partial, ignore_errors=True)

    @contextmanager
    def _disk_errors_named(self) -> Iterator[None]:
        """Errors of this machine's disk name the cache folder, not the video."""
        try:
            yield
        except StorageError as error:
            failure = storage.failure_of(error)
            if failure is None or failure.kind is not storage.Kind.NO_SPACE:
                raise
            raise StorageError(self._unusable("no space is left")) from error
        except OSError as error:
            if isinstance(error, FileNotFoundError) and error.errno is None:
                raise  # the original does not exist
            raise StorageError(self._unusable(error.strerror or str(error))) from error

    def _unusable(self, why: str) -> str:
        return (
            f"{self._root}: the folder for copies of remote videos cannot be written: {why}; free space there, lower "
            "cache_limit_gb, or set cache_dir to another folder"
        )

    def _reserve(self, lock: int, size_bytes: int) -> None:
        """Record the size of the copy to be made, and remove old copies to make room for it."""
        with _locked(self._root / "all.lock", fcntl.LOCK_EX):
            os.truncate(lock, 0)
            os.pwrite(lock, str(size_bytes).encode(), 0)
            entries = [path for path in self._root.glob(f"*{_LOCK_SUFFIX}") if path.name != "all.lock"]
            total_bytes = sum(_reserved_bytes(path) for path in entries)
            for path in sorted(entries, key=lambda path: path.stat().st_mtime_ns):
                if total_bytes <= self._limit_bytes:
                    return
                total_bytes -= self._remove(path)
            if total_bytes > self._limit_bytes:
                logger.warning(
                    "copies of remote videos in use take %d bytes, more than cache_limit_gb allows (%d bytes)",
                    total_bytes,
                    self._limit_bytes,
                )

    def _remove(self, lock_path: Path) -> int:
        """Remove a complete or partial copy unless it is in use; returns the bytes freed."""
        try:
            lock = _lock(lock_path, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        try:
            size_bytes = _reserved_bytes(lock_path)
            key = lock_path.name.removesuffix(_LOCK_SUFFIX)
            shutil.rmtree(self._root / key, ignore_errors=True)
            shutil.rmtree(self._root / f"{key}{_PARTIAL_SUFFIX}", ignore_errors=True)
            lock_path.unlink()
            return size_bytes
        finally:
            os.close(lock)


def _name_of_copy(uri: str) -> str:
    """The file name of a copy: that of the original with its suffix, shortened to what every file system takes."""
    name = storage.file_name(uri)
    stem, suffix = os.path.splitext(name)  # noqa: PTH122
    if len(os.fsencode(suffix)) > _MAX_SUFFIX_BYTES:
        stem, suffix = name, ""
    stem = os.fsdecode(os.fsencode(stem)[:_MAX_STEM_BYTES])
    return stem + suffix if stem not in ("", ".", "..") else f"video{suffix}"


def _lock(path: Path, operation: int) -> int:
    """Open and lock the file at ``path``; closing the returned descriptor unlocks it.

    Raises BlockingIOError with LOCK_NB if another process holds the lock.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, operation)
            if _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the file was removed while this process waited for the lock


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _locked(path: Path, operation: int) -> Iterator[int]:
    lock = _lock(path, operation)
    try:
        yield lock
    finally:
        os.close(lock)


def _reserved_bytes(lock_path: Path) -> int:
    return int(lock_path.read_bytes() or b"0")


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
