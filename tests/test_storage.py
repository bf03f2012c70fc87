import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from samurai_batch import storage
from samurai_batch.errors import StorageError

ODD_NAMES = ["a b", "100%25", "näme", "plus+plus", "x[1]", "q?", "star*", "comma,semi;", "hash#tag", "equals=1"]


SERVERS = [pytest.param(name, marks=pytest.mark.server) for name in ("s3", "gcs", "azure")]


@pytest.fixture(params=["local", "file", "memory", *SERVERS])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder that does not exist yet, on each kind of storage."""
    match request.param:
        case "local":
            return str(tmp_path / "root")
        case "file":
            return f"file://{tmp_path}/root"
        case "memory":
            return f"memory://{tmp_path.name}"
        case _:
            return str(request.getfixturevalue(f"{request.param}_uri"))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited."""
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    return waits


# -- the contract of every backend


def test_what_is_written_can_be_read_and_rewritten(root: str) -> None:
    uri = storage.join(root, "deep", "down", "file.bin")
    for data in (b"first", b"", b"third" * 100_000):
        storage.write_bytes(uri, data)
        assert storage.read_bytes(uri) == data


def test_a_missing_file_raises_file_not_found(root: str) -> None:
    uri = storage.join(root, "nothing")
    assert not storage.exists(uri)
    assert not storage.is_directory(uri)
    assert storage.list_names(uri) == []
    storage.delete(uri)
    for call in (storage.read_bytes, storage.identity):
        with pytest.raises(FileNotFoundError, match="nothing does not exist"):
            call(uri)
    with pytest.raises(FileNotFoundError):
        storage.copy_to_local(uri, Path("never-written"))


def test_a_listing_names_files_and_folders_once_and_in_order(root: str) -> None:
    for name in ("b.txt", "a/1", "a/2", "c/deep/3", ".hidden", "_private"):
        storage.write_bytes(storage.join(root, name), b"x")
    assert storage.list_names(root) == [".hidden", "_private", "a", "b.txt", "c"]
    assert storage.list_names(root + "/") == storage.list_names(root)
    assert storage.list_names(storage.join(root, "b.txt")) == []
    assert storage.list_children(root) == storage.Children([".hidden", "_private", "b.txt"], ["a", "c"])
    assert storage.list_children(root + "/") == storage.list_children(root)
    for name in ("b.txt", "nothing"):
        assert storage.list_children(storage.join(root, name)) == storage.Children([], [])
    assert storage.is_directory(root)
    assert not storage.is_directory(storage.join(root, "b.txt"))


def test_deleting_a_folder_deletes_everything_in_it_and_nothing_else(root: str) -> None:
    for name in ("run/1", "run/deep/2", "run2/3", "ru"):
        storage.write_bytes(storage.join(root, name), b"x")
    storage.delete(storage.join(root, "run"))
    assert storage.list_names(root) == ["ru", "run2"]
    storage.delete(storage.join(root, "ru"))
    assert storage.list_names(root) == ["run2"]


def test_deleting_takes_brackets_and_stars_literally(root: str) -> None:
    for name in ("x[1]/a", "x1/a", "*/a"):
        storage.write_bytes(storage.join(root, name), b"x")
    storage.delete(storage.join(root, "x[1]"))
    storage.delete(storage.join(root, "*"))
    assert storage.list_names(root) == ["x1"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_with_special_characters_work_plain_and_quoted(root: str, name: str) -> None:
    # adlfs takes a last "?" of a folder's path for the beginning of a version; quoted ids, all that we write, are fine.
    as_it_is = [] if root.startswith("az://") and "?" in name else [name]
    for part in (*as_it_is, storage.quote_id(name)):
        uri = storage.join(root, part, part)
        storage.write_bytes(uri, part.encode())
        assert storage.read_bytes(uri) == part.encode()
        assert storage.list_names(storage.join(root, part)) == [part]
    assert storage.list_names(root) == sorted({*as_it_is, storage.quote_id(name)})


def test_the_identity_of_a_file_stays_until_it_is_rewritten(root: str) -> None:
    uri = storage.join(root, "file")
    storage.write_bytes(uri, b"one")
    before = storage.identity(uri)
    assert before.size_bytes == 3
    assert before == storage.identity(uri)
    _rewrite(uri, b"two", before)
    assert storage.identity(uri).size_bytes == 3


def test_the_identity_of_a_folder_changes_with_its_files(root: str) -> None:
    for name in ("1", "2"):
        storage.write_bytes(storage.join(root, "frames", name), b"abc")
    uri = storage.join(root, "frames")
    before = storage.identity(uri)
    assert before.size_bytes == 6
    assert before == storage.identity(uri + "/")
    _rewrite(storage.join(uri, "2"), b"xyz", storage.identity(storage.join(uri, "2")))
    after = storage.identity(uri)
    assert after != before
    storage.write_bytes(storage.join(uri, "deep", "3"), b"d")
    assert storage.identity(uri).size_bytes == 7


def _rewrite(uri: str, data: bytes, before: storage.Identity) -> None:
    """Write until the clock of the storage has moved on."""
    for _ in range(1000):
        storage.write_bytes(uri, data)
        if storage.identity(uri) != before:
            return
    raise AssertionError("a rewritten file keeps its identity")


def test_a_file_or_a_folder_can_be_copied_to_local_disk(root: str, tmp_path: Path) -> None:
    for name in ("a", "deep/b", "x[1]"):
        storage.write_bytes(storage.join(root, name), name.encode())
    storage.copy_to_local(storage.join(root, "deep", "b"), tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"deep/b"
    storage.copy_to_local(root, tmp_path / "all")
    copied = {str(path.relative_to(tmp_path / "all")) for path in (tmp_path / "all").rglob("*") if path.is_file()}
    assert copied == {"a", "deep/b", "x[1]"}


def test_pyarrow_reads_tables_where_they_are(root: str) -> None:
    table = pa.table({"a": [1, 2, 3]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    uri = storage.join(root, "table.parquet")
    storage.write_bytes(uri, sink.getvalue().to_pybytes())
    files, path = storage.arrow_filesystem(uri)
    assert pq.read_table(path, filesystem=files) == table


@pytest.mark.parametrize("name", ["page.html", "picture.JPG", "clip.mp4"])
def test_what_a_browser_opens_is_written_as_any_file(root: str, name: str) -> None:
    storage.write_bytes(storage.join(root, name), b"content")
    assert storage.read_bytes(storage.join(root, name)) == b"content"


def test_a_reader_never_sees_half_a_write(root: str) -> None:
    uri = storage.join(root, "file")
    contents = [bytes([value]) * 300_000 for value in (1, 2)]
    storage.write_bytes(uri, contents[0])
    is_done = threading.Event()

    def write() -> None:
        for content in itertools.islice(itertools.cycle(contents), 40):
            storage.write_bytes(uri, content)
        is_done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not is_done.is_set():
        assert storage.read_bytes(uri) in contents
        assert storage.list_names(root) == ["file"]
    writer.join()


# -- single backends


@pytest.mark.server
def test_what_another_process_writes_to_s3_is_seen_at_once(s3_uri: str, s3_endpoint: str) -> None:
    bucket, _, folder = s3_uri.removeprefix("s3://").partition("/")
    other = boto3.client("s3", endpoint_url=s3_endpoint)
    assert storage.list_names(s3_uri) == []
    other.put_object(Bucket=bucket, Key=f"{folder}/new", Body=b"1")
    assert storage.list_names(s3_uri) == ["new"]
    assert storage.exists(storage.join(s3_uri, "new"))
    before = storage.identity(storage.join(s3_uri, "new"))
    other.put_object(Bucket=bucket, Key=f"{folder}/new", Body=b"2")
    assert storage.read_bytes(storage.join(s3_uri, "new")) == b"2"
    assert storage.identity(storage.join(s3_uri, "new")) != before
    other.delete_object(Bucket=bucket, Key=f"{folder}/new")
    assert storage.list_names(s3_uri) == []
    assert not storage.exists(storage.join(s3_uri, "new"))


@pytest.mark.server
def test_a_bucket_that_does_not_exist_is_missing(s3_endpoint: str) -> None:
    assert s3_endpoint
    assert storage.list_names("s3://no-such-bucket/folder") == []
    with pytest.raises(FileNotFoundError):
        storage.read_bytes("s3://no-such-bucket/folder/file")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    uri = str(tmp_path / "file")
    storage.write_bytes(uri, b"old")

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(StorageError, match="no space left"):
        storage.write_bytes(uri, b"new")
    assert storage.read_bytes(uri) == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_temporary_files_are_not_listed(tmp_path: Path) -> None:
    (tmp_path / f"{storage.TEMPORARY_PREFIX}123").write_bytes(b"half")
    (tmp_path / "whole").write_bytes(b"12")
    assert storage.list_names(str(tmp_path)) == ["whole"]
    assert storage.identity(str(tmp_path)).size_bytes == 2


@pytest.mark.parametrize("uri", ["/", "file:///", "memory://", "s3://bucket", "s3://bucket/"])
def test_a_whole_bucket_or_disk_is_never_deleted(uri: str) -> None:
    with pytest.raises(StorageError, match="refusing"):
        storage.delete(uri)


# -- retries


def failing(error: Exception, times: int, then: Callable[..., bytes]) -> Callable[..., bytes]:
    calls = itertools.count()

    def call(*arguments: object, **options: object) -> bytes:
        if next(calls) < times:
            raise error
        return then(*arguments, **options)

    return call


def test_temporary_errors_are_retried_with_growing_waits(monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> None:
    storage.write_bytes("memory://retries/file", b"data")
    patched = failing(ConnectionResetError("reset"), storage.NUM_ATTEMPTS - 1, MemoryFileSystem.cat_file)
    monkeypatch.setattr(MemoryFileSystem, "cat_file", patched)
    assert storage.read_bytes("memory://retries/file") == b"data"
    assert len(waits) == storage.NUM_ATTEMPTS - 1
    assert all(0 < wait_s <= 25 for wait_s in waits)
    assert sum(waits) > 50


def test_an_error_that_stays_becomes_a_storage_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    patched = failing(ConnectionResetError("reset by peer"), 100, MemoryFileSystem.cat_file)
    monkeypatch.setattr(MemoryFileSystem, "cat_file", patched)
    with pytest.raises(StorageError, match=r"memory://retries/file: reading failed 10 times, .*reset by peer"):
        storage.read_bytes("memory://retries/file")
    assert len(waits) == storage.NUM_ATTEMPTS - 1


@pytest.mark.parametrize("error", [PermissionError("denied"), IsADirectoryError("folder")])
def test_permanent_errors_are_not_retried(
    monkeypatch: pytest.MonkeyPatch, waits: list[float], error: Exception
) -> None:
    monkeypatch.setattr(MemoryFileSystem, "cat_file", failing(error, 1, MemoryFileSystem.cat_file))
    with pytest.raises(StorageError, match="reading failed"):
        storage.read_bytes("memory://retries/file")
    assert waits == []


def test_bugs_are_not_taken_for_storage_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryFileSystem, "cat_file", failing(TypeError("bug"), 1, MemoryFileSystem.cat_file))
    with pytest.raises(TypeError, match="bug"):
        storage.read_bytes("memory://retries/file")


# -- names


@given(st.text(min_size=1, max_size=40))
def test_a_quoted_id_is_a_harmless_name_that_gives_the_id_back(identifier: str) -> None:
    name = storage.quote_id(identifier)
    assert storage.unquote_id(name) == identifier
    assert name.isascii()
    assert name[0] not in "._"
    assert not set(name) & set("/\\:=?*[]<>|\" '&#+,;")


@given(st.lists(st.text(min_size=1, max_size=10), min_size=2, max_size=2, unique=True))
def test_two_ids_never_share_a_name(identifiers: list[str]) -> None:
    first, second = map(storage.quote_id, identifiers)
    assert first != second


@pytest.mark.parametrize(
    ("uri", "joined"),
    [
        ("out", "out/a/b"),
        ("/out/", "/out/a/b"),
        ("s3://bucket", "s3://bucket/a/b"),
        ("memory://", "memory://a/b"),
        ("file:///", "file:///a/b"),
    ],
)
def test_parts_are_joined_by_one_slash(uri: str, joined: str) -> None:
    assert storage.join(uri, "a", "b") == joined


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("s3://key:secret@bucket/a", "s3://***@bucket/a"),
        ("https://host/video.mp4?X-Amz-Signature=abc&x=1", "https://host/video.mp4?***"),
        ("s3://bucket/a@b.mp4", "s3://bucket/a@b.mp4"),
        ("/data/what?.mp4", "/data/what?.mp4"),
    ],
)
def test_credentials_are_not_shown(uri: str, shown: str) -> None:
    assert storage.redact_uri(uri) == shown


@pytest.mark.parametrize(
    ("uri", "remote"), [("a/b", False), ("file:///a", False), ("s3://a", True), ("memory://a", True), ("c:a", False)]
)
def test_a_uri_is_remote_if_it_is_outside_this_machines_file_system(uri: str, remote: bool) -> None:
    assert storage.is_remote(uri) == remote
