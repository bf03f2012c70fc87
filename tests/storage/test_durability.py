"""What is on the disk when a write of a local file returns: a power failure may come after it."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from samurai_batch import storage
from samurai_batch.errors import StorageError


@pytest.fixture
def on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was synced and named, in order: the bytes of a file, the name of a folder, the new name of a file."""
    steps: list[tuple[str, str]] = []
    sync, replace, link = os.fsync, Path.replace, Path.hardlink_to

    def fsync(descriptor: int) -> None:
        inode = os.fstat(descriptor).st_ino
        path = next(path for path in (tmp_path, *tmp_path.rglob("*")) if path.stat().st_ino == inode)
        steps.append(("folder", path.name) if path.is_dir() else ("file", path.read_text()))
        sync(descriptor)

    def replacing(self: Path, target: Path) -> Path:
        steps.append(("name", target.name))
        return replace(self, target)

    def linking(self: Path, target: Path) -> None:
        steps.append(("name", self.name))
        link(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replacing)
    monkeypatch.setattr(Path, "hardlink_to", linking)
    return steps


@pytest.mark.parametrize("write", [storage.write_bytes, storage.create_bytes])
def test_bytes_are_on_the_disk_before_they_have_a_name_and_the_name_before_the_write_returns(
    write: Callable[[str, bytes], object], on_disk: list[tuple[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    write(str(tmp_path / "out" / "table"), b"rows")
    assert on_disk == [("file", "rows"), ("name", "table"), ("folder", "out")]


def test_new_folders_of_a_file_are_on_the_disk_when_its_write_returns(
    on_disk: list[tuple[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    storage.write_bytes(str(tmp_path / "out" / "video" / "object" / "table"), b"rows")
    folders = [name for kind, name in on_disk if kind == "folder"]
    assert set(folders) == {"out", "video", "object"}
    assert folders[-1] == "object"


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EOPNOTSUPP])
def test_a_file_system_that_cannot_sync_folders_takes_files_all_the_same(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_folders(monkeypatch, code)
    storage.write_bytes(str(tmp_path / "table"), b"rows")
    assert (tmp_path / "table").read_bytes() == b"rows"


def test_a_disk_that_fails_while_it_syncs_a_folder_fails_the_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_folders(monkeypatch, errno.EIO)
    with pytest.raises(StorageError, match="Input/output error"):
        storage.write_bytes(str(tmp_path / "table"), b"rows")


def refuse_folders(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Let the sync of a folder fail with an error number."""
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
