import errno
import hashlib
import logging
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from samurai_batch import storage
from samurai_batch.errors import StorageError, VideoError
from samurai_batch.video import StagingCache, open_staged, staging
from tests.video.movies import reference, write_movie

KILOBYTE = 1000


@pytest.fixture
def remote() -> str:
    """A remote folder of this test's own."""
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URIs copied so far."""
    copies: list[str] = []
    copy_to_local = storage.copy_to_local

    def noted_copy(uri: str, path: Path) -> None:
        copies.append(uri)
        copy_to_local(uri, path)

    monkeypatch.setattr(storage, "copy_to_local", noted_copy)
    return copies


def put(remote: str, name: str, size_bytes: int = KILOBYTE) -> str:
    uri = storage.join(remote, name)
    storage.write_bytes(uri, name[:1].encode() * size_bytes)
    return uri


def staged_names(root: Path) -> set[str]:
    """Names of the whole copies in a cache."""
    return {path.name for folder in root.iterdir() if folder.is_dir() for path in folder.iterdir()}


def test_local_files_are_used_where_they_are(tmp_path: Path) -> None:
    cache = StagingCache(tmp_path / "cache", 1)
    assert cache.stage(str(tmp_path / "a.mp4")) == tmp_path / "a.mp4"
    assert cache.stage(f"file://{tmp_path}/a.mp4") == tmp_path / "a.mp4"
    assert not (tmp_path / "cache").exists()


def test_a_remote_file_is_copied_once_and_keeps_its_name(tmp_path: Path, remote: str, copies: list[str]) -> None:
    uri = put(remote, "a.mp4")
    for cache in (StagingCache(tmp_path, KILOBYTE), StagingCache(tmp_path, KILOBYTE)):
        for _ in range(2):
            path = cache.stage(uri)
            assert path.name == "a.mp4"
            assert path.read_bytes() == b"a" * KILOBYTE
    assert copies == [uri]


def test_a_folder_of_frames_is_copied_whole(tmp_path: Path, remote: str) -> None:
    for number in range(3):
        put(remote, f"video/{number}.png")
    path = StagingCache(tmp_path, 10 * KILOBYTE).stage(storage.join(remote, "video"))
    assert sorted(child.name for child in path.iterdir()) == ["0.png", "1.png", "2.png"]


def test_a_rewritten_original_is_copied_again(tmp_path: Path, remote: str) -> None:
    cache = StagingCache(tmp_path, 10 * KILOBYTE)
    uri = put(remote, "a.mp4")
    old = cache.stage(uri)
    storage.write_bytes(uri, b"new")
    assert cache.stage(uri).read_bytes() == b"new"
    assert old.read_bytes() == b"a" * KILOBYTE


def test_the_least_recently_used_copy_is_removed_at_the_limit(tmp_path: Path, remote: str) -> None:
    cache = StagingCache(tmp_path, 2 * KILOBYTE)
    a, b, c = (put(remote, name) for name in ("a", "b", "c"))
    for uri in (a, b, a):
        cache.stage(uri)
        cache.release(uri)
    cache.stage(c)
    assert staged_names(tmp_path) == {"a", "c"}


def test_copies_in_use_stay_even_beyond_the_limit(
    tmp_path: Path, remote: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = StagingCache(tmp_path, KILOBYTE)
    a, b, c = (put(remote, name) for name in ("a", "b", "c"))
    cache.stage(a)
    with caplog.at_level(logging.WARNING):
        cache.stage(b)
    assert "in use take 2000 bytes, more than cache_limit_gb allows (1000" in caplog.text
    assert staged_names(tmp_path) == {"a", "b"}
    cache.release(a)
    StagingCache(tmp_path, KILOBYTE).stage(c)
    assert staged_names(tmp_path) == {"b", "c"}


def test_a_copy_staged_twice_is_in_use_until_released_twice(tmp_path: Path, remote: str) -> None:
    cache = StagingCache(tmp_path, KILOBYTE)
    a, b, c = (put(remote, name) for name in ("a", "b", "c"))
    for _ in range(2):
        cache.stage(a)
    cache.release(a)
    cache.stage(b)
    cache.release(b)
    assert "a" in staged_names(tmp_path)
    cache.close()
    cache.stage(c)
    assert staged_names(tmp_path) == {"c"}


def test_a_copy_that_fails_is_never_seen_and_can_be_made_later(
    tmp_path: Path, remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = put(remote, "a.mp4")
    cache = StagingCache(tmp_path, 10 * KILOBYTE)

    def half_a_copy(_: str, path: Path) -> None:
        path.write_bytes(b"a")
        raise StorageError("the line is dead")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "copy_to_local", half_a_copy)
        with pytest.raises(StorageError, match="the line is dead"):
            cache.stage(uri)
    assert staged_names(tmp_path) == set()
    assert cache.stage(uri).read_bytes() == b"a" * KILOBYTE


def test_a_copy_of_another_size_than_announced_is_refused(
    tmp_path: Path, remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = put(remote, "a.mp4")
    monkeypatch.setattr(storage, "copy_to_local", lambda _, path: path.write_bytes(b"short"))
    with pytest.raises(StorageError, match="5 bytes were copied, 1000 expected"):
        StagingCache(tmp_path, 10 * KILOBYTE).stage(uri)


def test_a_missing_file_raises_file_not_found(tmp_path: Path, remote: str) -> None:
    with pytest.raises(FileNotFoundError):
        StagingCache(tmp_path, KILOBYTE).stage(storage.join(remote, "nothing"))


def test_many_users_share_one_copy_while_others_remove_copies(tmp_path: Path, remote: str) -> None:
    uris = [put(remote, name) for name in "abcde"]

    def use(turn: int) -> None:
        cache = StagingCache(tmp_path, 2 * KILOBYTE)
        uri = uris[turn % len(uris)]
        path = cache.stage(uri)
        assert path.read_bytes() == uri[-1].encode() * KILOBYTE
        cache.release(uri)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(use, range(200)))
    StagingCache(tmp_path, 2 * KILOBYTE).stage(put(remote, "f"))
    assert len(staged_names(tmp_path)) <= 2
    assert not list(tmp_path.glob("*.partial"))
    assert len(list(tmp_path.glob("*.lock"))) <= 3  # two copies and the cache itself


HOLD = """
import sys, time
from pathlib import Path
from samurai_batch import storage
from samurai_batch.video import StagingCache
storage.write_bytes("memory://other/a", b"a" * 1000)
StagingCache(Path(sys.argv[1]), 1000).stage("memory://other/a")
print("staged", flush=True)
time.sleep(60)
"""


def test_a_killed_process_releases_its_copies(tmp_path: Path, remote: str) -> None:
    uri = put(remote, "b")
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == b"staged\n"
            cache = StagingCache(tmp_path, KILOBYTE)
            cache.stage(uri)
            assert staged_names(tmp_path) == {"a", "b"}
        finally:
            holder.send_signal(signal.SIGKILL)
    cache.stage(put(remote, "c"))
    assert staged_names(tmp_path) == {"b", "c"}


# -- videos through the cache


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    return write_movie(tmp_path / "movie.mp4", num_frames=5)


def test_a_staged_video_is_in_use_until_it_is_closed(tmp_path: Path, remote: str, movie: Path) -> None:
    uri = storage.join(remote, "movie.mp4")
    storage.write_bytes(uri, movie.read_bytes())
    cache = StagingCache(tmp_path / "cache", 1)
    with open_staged(uri, cache) as source:
        cache.stage(put(remote, "other"))
        assert "movie.mp4" in staged_names(tmp_path / "cache")
        for frame, (_, pixels) in zip(source.frames(range(5)), reference(movie), strict=True):
            np.testing.assert_array_equal(frame.pixels, pixels)
    cache.close()
    cache.stage(put(remote, "third"))
    assert "movie.mp4" not in staged_names(tmp_path / "cache")


def test_errors_name_the_original_and_release_the_copy(tmp_path: Path, remote: str) -> None:
    cache = StagingCache(tmp_path, KILOBYTE)
    uri = put(remote, "junk.mp4")
    with pytest.raises(VideoError, match=f"^{uri}: not a readable video"):
        open_staged(uri, cache)
    cache.stage(put(remote, "other"))
    assert staged_names(tmp_path) == {"other"}
    with pytest.raises(VideoError, match=r"nothing\.mp4 does not exist"):
        open_staged(storage.join(remote, "nothing.mp4"), cache)


@pytest.mark.server
def test_a_video_on_s3_is_staged_by_several_processes_at_once(
    tmp_path: Path, make_bucket: Callable[[], str], movie: Path
) -> None:
    uri = make_bucket() + "/videos/movie.mp4"
    storage.write_bytes(uri, movie.read_bytes())
    code = (
        "import sys; from pathlib import Path; from samurai_batch.video import StagingCache, open_staged;"
        "print(open_staged(sys.argv[1], StagingCache(Path(sys.argv[2]), 10**6)).info.num_frames)"
    )
    command = [sys.executable, "-c", code, uri, str(tmp_path / "cache")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate()[0] for process in processes] == [b"5\n"] * 2
    assert staged_names(tmp_path / "cache") == {"movie.mp4"}


# -- what names and disks refuse


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://host/a/clip.mp4?X-Amz-Signature=" + "0" * 400, "clip.mp4"),
        ("https://host/clip.mp4?file=/../../x.mov#t=1", "clip.mp4"),
        ("s3://bucket/what?.mp4", "what?.mp4"),
        ("https://host/" + "n" * 300 + ".mp4", "n" * 150 + ".mp4"),
        ("https://host/" + "ü" * 200 + ".MP4", None),
        ("https://host/?id=7", "host"),
        ("s3://bucket/..", "video"),
        ("s3://bucket/frames/", "frames"),
        ("s3://bucket/a." + "b" * 300, None),
    ],
)
def test_a_copy_has_a_short_name_with_the_suffix_of_its_original(address: str, name: str | None) -> None:
    copy = staging._name_of_copy(address)
    assert name is None or copy == name
    assert 0 < len(os.fsencode(copy)) <= 255
    assert "/" not in copy
    if address.lower().endswith(".mp4"):
        assert copy.lower().endswith(".mp4")


def test_a_full_cache_disk_names_the_cache_and_not_the_video(
    tmp_path: Path, remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = put(remote, "a.mp4")
    full = OSError(errno.ENOSPC, "No space left on device")

    def no_space(*_: object) -> None:
        raise full

    message = rf"^{tmp_path}: the folder for copies of remote videos cannot be written: no space is left.*cache_dir"
    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "get_file", no_space)
        with pytest.raises(StorageError, match=message):
            StagingCache(tmp_path, 10 * KILOBYTE).stage(uri)
    with monkeypatch.context() as patch:
        patch.setattr(os, "truncate", no_space)
        with pytest.raises(StorageError, match=rf"^{tmp_path}: .*No space left on device.*cache_dir"):
            StagingCache(tmp_path, 10 * KILOBYTE).stage(uri)
    assert StagingCache(tmp_path, 10 * KILOBYTE).stage(uri).exists()


def test_a_cache_folder_that_cannot_be_made_is_named(tmp_path: Path, remote: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=rf"^{tmp_path}/file/cache: the folder for copies of remote videos"):
        StagingCache(tmp_path / "file" / "cache", KILOBYTE).stage(put(remote, "a.mp4"))


def test_a_copy_that_an_earlier_version_named_differently_is_made_again(
    tmp_path: Path, remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = put(remote, "a.mp4")
    with monkeypatch.context() as patch:
        patch.setattr(staging, "_name_of_copy", lambda uri: "a.mp4?signature=old")
        earlier = StagingCache(tmp_path, 10 * KILOBYTE)
        earlier.stage(uri)
        earlier.close()
    assert StagingCache(tmp_path, 10 * KILOBYTE).stage(uri).read_bytes() == b"a" * KILOBYTE
    assert staged_names(tmp_path) == {"a.mp4"}


# -- folders of frames


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_the_identity_of_a_folder_of_frames_depends_on_its_pictures_only(
    kind: str, tmp_path: Path, remote: str
) -> None:
    folder = str(tmp_path / "frames") if kind == "local" else f"{remote}/frames"
    for name in ("1.jpg", "2.JPG", "3.png"):
        storage.write_bytes(f"{folder}/{name}", name.encode())
    before = storage.identity(folder)
    assert before.size_bytes == 5 * 3
    for name in (".DS_Store", "Thumbs.db", "._1.jpg", "notes.txt", "out/masks/1.png", "out/_ledger/runs/x.json"):
        storage.write_bytes(f"{folder}/{name}", b"something else")
    assert storage.identity(folder) == before
    storage.copy_to_local(folder, tmp_path / "copy")
    assert sorted(path.name for path in (tmp_path / "copy").rglob("*")) == ["1.jpg", "2.JPG", "3.png"]
    storage.write_bytes(f"{folder}/4.png", b"4.png")
    assert storage.identity(folder) != before


def test_the_identity_of_a_folder_of_pictures_is_stable_across_versions(tmp_path: Path) -> None:
    """Fingerprints of outputs that stand are made of it."""
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / name).write_bytes(b"abc")
        os.utime(tmp_path / name, ns=(0, 1_700_000_000_000_000_000))
    text = "/1.jpg\t3\t1700000000000000000\n/2.jpg\t3\t1700000000000000000"
    assert storage.identity(str(tmp_path)) == storage.Identity(6, hashlib.sha256(text.encode()).hexdigest())
