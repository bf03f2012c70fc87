"""Files from a real web server on loopback that throttles, forbids and cuts."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from samurai_batch import storage
from samurai_batch.errors import StorageError, VideoError
from samurai_batch.video import StagingCache, open_staged
from tests.storage.servers import free_port
from tests.storage.web_server import Answer, WebServer, web_server
from tests.video.movies import write_movie

pytestmark = pytest.mark.server

SIGNED = "?X-Amz-Credential=AKIAEXAMPLE%2F20260101&X-Amz-Signature=" + "5ec4e7" * 60


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as server:
        server.files["/clip.mp4"] = b"x" * 10_000
        yield server


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited between two tries."""
    waits: list[float] = []
    monkeypatch.setattr("samurai_batch.storage.retry.time.sleep", waits.append)
    return waits


def calls(uri: str, folder: Path) -> list[object]:
    return [
        lambda: storage.read_bytes(uri),
        lambda: storage.identity(uri),
        lambda: storage.exists(uri),
        lambda: storage.is_directory(uri),
        lambda: storage.copy_to_local(uri, folder / "copy"),
        lambda: StagingCache(folder, 10**6).stage(uri),
    ]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_temporary_statuses_are_retried(server: WebServer, tmp_path: Path, waits: list[float], status: int) -> None:
    for call in calls(f"{server.url}/clip.mp4", tmp_path):
        # Two look-ups of each kind: fsspec asks by HEAD, and by GET where that fails.
        server.answers["/clip.mp4"] = [Answer(status=status)] * 4
        call()  # type: ignore[operator]
    assert len(waits) >= 2 * 6


@pytest.mark.parametrize("status", [401, 403])
def test_a_forbidden_request_is_reported_and_not_retried(
    server: WebServer, tmp_path: Path, waits: list[float], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    server.always = dict.fromkeys(("HEAD", "GET"), Answer(status=status))
    for call in calls(f"{server.url}/clip.mp4{SIGNED}", tmp_path):
        with pytest.raises(StorageError, match=rf"HTTP {status}, forbidden; access is denied or .* expired") as caught:
            call()  # type: ignore[operator]
        assert "5ec4e7" not in str(caught.value)
        assert "AKIAEXAMPLE" not in str(caught.value)
    assert waits == []


@pytest.mark.parametrize("status", [404, 410])
def test_statuses_404_and_410_raise_file_not_found(server: WebServer, waits: list[float], status: int) -> None:
    uri = f"{server.url}/clip.mp4{SIGNED}"
    server.always = dict.fromkeys(("HEAD", "GET"), Answer(status=status))
    assert not storage.exists(uri)
    for call in (storage.read_bytes, storage.identity):
        with pytest.raises(FileNotFoundError, match=r"clip\.mp4\?\*\*\* does not exist$"):
            call(uri)
    assert waits == []


def test_other_refusals_are_not_taken_for_a_missing_file(server: WebServer, waits: list[float]) -> None:
    server.always = dict.fromkeys(("HEAD", "GET"), Answer(status=400))
    with pytest.raises(StorageError, match="HTTP 400, refused"):
        storage.identity(f"{server.url}/clip.mp4")
    assert waits == []


def test_the_retry_after_header_sets_the_wait(server: WebServer, waits: list[float]) -> None:
    server.answers["/clip.mp4"] = [Answer(status=429, headers={"Retry-After": "7"})]
    assert storage.read_bytes(f"{server.url}/clip.mp4") == b"x" * 10_000
    assert waits == [7.0]


def test_a_truncated_body_is_requested_again(server: WebServer, tmp_path: Path, waits: list[float]) -> None:
    uri = f"{server.url}/clip.mp4"
    server.always["HEAD"] = Answer()
    server.answers["/clip.mp4"] = [Answer(is_cut=True), Answer(is_cut=True)]
    assert storage.read_bytes(uri) == b"x" * 10_000
    size = storage.identity(uri)
    server.answers["/clip.mp4"] = [Answer(), Answer(), Answer(is_cut=True), Answer(is_cut=True)]
    assert StagingCache(tmp_path, 10**6).stage(uri).read_bytes() == b"x" * size.size_bytes
    assert len(waits) == 4


def test_an_unreachable_server_is_reported_as_no_connection(
    waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    uri = f"http://127.0.0.1:{free_port()}/clip.mp4{SIGNED}"
    with pytest.raises(StorageError, match=rf"failed {storage.NUM_ATTEMPTS} times, last error: no connection"):
        storage.identity(uri)
    with pytest.raises(StorageError, match="no connection"):
        storage.identity("https://no-such-host.invalid/clip.mp4")
    assert sum(waits) > 100
    assert "5ec4e7" not in caplog.text


def test_an_untrusted_certificate_is_reported_as_a_tls_failure(tmp_path: Path, waits: list[float]) -> None:
    with web_server(self_signed(tmp_path)) as server:
        uri = f"https://127.0.0.1:{server.server_address[1]}/clip.mp4"
        with pytest.raises(StorageError, match=r"no secure connection: .*certificate"):
            storage.identity(uri)
    with web_server() as plain, pytest.raises(StorageError, match="no secure connection"):
        storage.identity(f"https://127.0.0.1:{plain.server_address[1]}/clip.mp4")
    assert waits == []


def self_signed(folder: Path) -> tuple[str, str]:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    files[1].write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    return str(files[0]), str(files[1])


# -- signed addresses


@pytest.mark.parametrize("head", [403, 405, 501])
def test_a_url_signed_for_get_only_is_read(server: WebServer, tmp_path: Path, head: int) -> None:
    server.always["HEAD"] = Answer(status=head)
    uri = f"{server.url}/clip.mp4{SIGNED}"
    path = StagingCache(tmp_path, 10**6).stage(uri)
    assert path.read_bytes() == b"x" * 10_000
    assert path.name == "clip.mp4"


def test_a_video_at_a_signed_address_is_decoded_and_named_without_the_signature(
    server: WebServer, tmp_path: Path
) -> None:
    server.files["/movie.mp4"] = write_movie(tmp_path / "movie.mp4", num_frames=5).read_bytes()
    with open_staged(f"{server.url}/movie.mp4{SIGNED}", StagingCache(tmp_path / "cache", 10**6)) as source:
        assert source.info.num_frames == 5
        assert len(list(source.frames(range(5)))) == 5
    with pytest.raises(VideoError) as caught:
        open_staged(f"{server.url}/clip.mp4{SIGNED}", StagingCache(tmp_path / "cache", 10**6))
    assert "5ec4e7" not in str(caught.value)


def test_two_queries_are_two_files(server: WebServer, tmp_path: Path) -> None:
    cache = StagingCache(tmp_path, 10**6)
    assert cache.stage(f"{server.url}/clip.mp4?version=1") != cache.stage(f"{server.url}/clip.mp4?version=2")


# -- what a web server has no files for


def test_a_server_that_does_not_report_sizes_is_refused(server: WebServer) -> None:
    server.always = dict.fromkeys(("HEAD", "GET"), Answer(has_length=False))
    with pytest.raises(StorageError, match="does not report its size"):
        storage.identity(f"{server.url}/clip.mp4")


def test_a_web_page_is_no_video(server: WebServer, tmp_path: Path) -> None:
    server.files["/videos/"] = b"<html><a href='1.jpg'>1</a></html>"
    server.always = dict.fromkeys(("HEAD", "GET"), Answer(headers={"Content-Type": "text/html; charset=utf-8"}))
    with pytest.raises(StorageError, match=r"returns a web page.*folders cannot be read over HTTP"):
        StagingCache(tmp_path, 10**6).stage(f"{server.url}/videos/")


def test_a_playlist_is_no_video(server: WebServer, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="is a playlist, which is not supported"):
        open_staged(f"{server.url}/live.m3u8?token=1", StagingCache(tmp_path, 10**6))


def test_the_client_waits_as_long_as_a_large_file_takes(server: WebServer, caplog: pytest.LogCaptureFixture) -> None:
    from samurai_batch.storage.stores import locate

    with caplog.at_level(logging.DEBUG):
        timeout = locate(f"{server.url}/clip.mp4")[0].client_kwargs["timeout"]
    assert timeout.total is None
    assert timeout.sock_read == 60
