"""What errors of stores mean: each client against a server that answers with it, and classes as they come."""

import asyncio
import errno
import logging
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime

import aiohttp
import azure.core.exceptions
import botocore.exceptions
import google.auth.exceptions
import pytest

from samurai_batch import storage
from samurai_batch.errors import StorageError, StoreError
from samurai_batch.storage.failures import Kind, read_failure
from samurai_batch.storage.stores import locate
from tests.storage.servers import azure_connection, free_port
from tests.storage.web_server import Answer, WebServer, web_server

URIS = ["gs://bucket/folder/file", "az://bucket/folder/file", "s3://bucket/folder/file"]
METHODS = ("HEAD", "GET", "PUT", "POST", "DELETE")


@pytest.fixture
def in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither we nor the clients wait between two tries."""
    sleep = asyncio.sleep

    async def sleep_not(seconds: float, *arguments: object) -> None:
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", sleep_not)
    monkeypatch.setattr("samurai_batch.storage.retry.time.sleep", lambda seconds: None)


def lead_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_REQUEST_CHECKSUM_CALCULATION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "STORAGE_EMULATOR_HOST": url,
        "AZURE_STORAGE_CONNECTION_STRING": azure_connection(f"{url}/devstoreaccount1"),
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, in_no_time: None) -> Iterator[WebServer]:
    """What all three kinds of store are led to."""
    with web_server() as server:
        lead_to(server.url, monkeypatch)
        yield server


def answer_all(server: WebServer, status: int, body: bytes = b"", **headers: str) -> None:
    server.always = {name: Answer(status=status, body=body, headers=headers) for name in METHODS}


CALLS: list[Callable[[str], object]] = [
    storage.read_bytes,
    lambda uri: storage.write_bytes(uri, b"x"),
    lambda uri: storage.create_bytes(uri, b"x"),
    storage.exists,
    storage.is_directory,
    storage.list_names,
    storage.identity,
    storage.delete,
]


@pytest.mark.server
@pytest.mark.parametrize("uri", URIS)
@pytest.mark.parametrize(("status", "words"), [(401, "forbidden"), (403, "forbidden"), (400, "refused")])
def test_a_forbidden_or_refused_request_is_reported_in_one_sentence_without_a_retry(
    server: WebServer, uri: str, status: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer_all(server, status)
    for call in CALLS:
        with pytest.raises(StorageError, match=words) as caught:
            call(uri)
        assert "\n" not in str(caught.value)
        assert str(caught.value).count(f"{status}") <= 1
    assert "retrying" not in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.server
@pytest.mark.parametrize("uri", URIS)
@pytest.mark.parametrize(("status", "words"), [(503, "busy"), (500, "the store failed"), (429, "busy")])
def test_every_client_retries_while_a_store_is_busy_or_failing(
    server: WebServer, uri: str, status: int, words: str
) -> None:
    answer_all(server, status)
    for call in CALLS[:3]:
        with pytest.raises(StorageError, match=rf"failed {storage.NUM_ATTEMPTS} times, last error: .*{words}"):
            call(uri)


@pytest.mark.server
@pytest.mark.parametrize("uri", URIS)
def test_an_unreachable_store_is_reported_as_no_connection(
    uri: str, monkeypatch: pytest.MonkeyPatch, in_no_time: None
) -> None:
    lead_to(f"http://127.0.0.1:{free_port()}", monkeypatch)
    with pytest.raises(StorageError, match=rf"failed {storage.NUM_ATTEMPTS} times, last error: no connection"):
        storage.read_bytes(uri)


EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"


@pytest.mark.server
def test_expired_credentials_are_reported_as_expired(server: WebServer) -> None:
    answer_all(server, 400, EXPIRED, **{"Content-Type": "application/xml"})
    with pytest.raises(StorageError, match=r"ExpiredToken, the credentials or the signature have expired.*AWS_SESSION"):
        storage.list_names(URIS[2])
    with pytest.raises(StorageError, match="temporary credentials that have expired"):  # HEAD: there is no body
        storage.read_bytes(URIS[2])
    answer_all(server, 403, b'{"error": {"code": 403, "message": "Token expired or revoked"}}')
    with pytest.raises(StorageError, match=r"have expired.*gcloud auth application-default login"):
        storage.read_bytes(URIS[0])


@pytest.mark.server
def test_a_store_that_rejects_checksums_is_reported_with_the_setting_that_disables_them(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_all(server, 400)
    with pytest.raises(StorageError, match="AWS_REQUEST_CHECKSUM_CALCULATION=when_required"):
        storage.write_bytes(URIS[2], b"x")
    with pytest.raises(StorageError) as caught:
        storage.read_bytes(URIS[2])
    assert "CHECKSUM" not in str(caught.value)
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    with pytest.raises(StorageError) as caught:
        storage.write_bytes(URIS[2], b"x")
    assert "CHECKSUM" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("RequestTimeTooSkewed", "the clock of this machine is wrong.*; set it, with NTP"),
        ("InvalidObjectState", "it is archived.*; restore it to a storage class that can be read at once"),
    ],
)
def test_what_no_credentials_would_mend_is_not_reported_as_forbidden(code: str, words: str) -> None:
    with pytest.raises(StorageError, match=words) as caught, storage.translated("reading", "s3://bucket/a.mp4"):
        raise client_error(code, 403)
    assert "forbidden" not in str(caught.value)


def test_the_name_of_a_bucket_that_cannot_be_one_is_reported_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    lead_to("http://127.0.0.1:9", monkeypatch)
    with pytest.raises(StorageError, match=r'Parameter validation failed: Invalid bucket name "Bad_Bucket!"'):
        storage.read_bytes("s3://Bad_Bucket!/x")


def test_a_port_that_is_none_is_not_reported_as_a_missing_file() -> None:
    for call in (storage.read_bytes, storage.identity):
        with pytest.raises(StorageError, match="refused: Port out of range"):
            call("http://127.0.0.1:99999/a.mp4")


def test_the_message_for_missing_credentials_names_those_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    lead_to("http://127.0.0.1:9/nothing", monkeypatch)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_CONNECTION_STRING"):
        monkeypatch.delenv(name)
    with pytest.raises(StorageError, match=r"there are no credentials.*FSSPEC_S3_ANON=true"):
        storage.read_bytes("s3://bucket-without-credentials/file")
    with pytest.raises(StoreError, match=r"there are no credentials.*AZURE_STORAGE_ACCOUNT_NAME.*AZURE_STORAGE_ANON"):
        storage.read_bytes("az://bucket/file")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "nonsense")
    with pytest.raises(StoreError, match=r"Connection string is either blank or malformed"):
        storage.read_bytes("az://bucket/file")


# -- classes


def wrapped(outer: BaseException, inner: BaseException) -> BaseException:
    outer.__cause__ = inner
    return outer


def hidden(outer: BaseException, inner: BaseException) -> BaseException:
    outer.__context__ = inner
    return outer


def client_error(code: str, status: int, **headers: str) -> BaseException:
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": headers}
    response = {"Error": {"Code": code, "Message": "text"}, "ResponseMetadata": metadata}
    error: BaseException = botocore.exceptions.ClientError(response, "PutObject")
    return error


def azure_error(code: str, status: int) -> BaseException:
    error: BaseException = azure.core.exceptions.HttpResponseError(code)
    error.error_code, error.status_code = code, status  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError("x"), Kind.MISSING),
        (wrapped(FileNotFoundError("x"), ConnectionRefusedError("no")), Kind.CONNECTION),
        (wrapped(FileNotFoundError("x"), aiohttp.ServerDisconnectedError()), Kind.CONNECTION),
        (hidden(RuntimeError("upload"), TimeoutError()), Kind.CONNECTION),
        (RuntimeError("removing", "x", ConnectionResetError()), Kind.CONNECTION),
        (aiohttp.ClientPayloadError("cut"), Kind.CONNECTION),
        (ssl.SSLCertVerificationError("self-signed"), Kind.TLS),
        (wrapped(FileNotFoundError("x"), ssl.SSLError("wrong version")), Kind.TLS),
        (ssl.SSLEOFError("ended"), Kind.CONNECTION),
        (botocore.exceptions.EndpointConnectionError(endpoint_url="http://x"), Kind.CONNECTION),
        (botocore.exceptions.NoCredentialsError(), Kind.NO_CREDENTIALS),
        (botocore.exceptions.UnauthorizedSSOTokenError(), Kind.EXPIRED),
        (google.auth.exceptions.RefreshError("invalid_grant"), Kind.EXPIRED),
        (google.auth.exceptions.DefaultCredentialsError("none"), Kind.NO_CREDENTIALS),
        (google.auth.exceptions.TransportError("down"), Kind.CONNECTION),
        (client_error("SlowDown", 503), Kind.THROTTLED),
        (client_error("InternalError", 500), Kind.SERVER),
        (client_error("RequestTimeout", 400), Kind.CONNECTION),
        (client_error("NoSuchBucket", 404), Kind.MISSING),
        (client_error("AccessDenied", 403), Kind.FORBIDDEN),
        (client_error("ConditionalRequestConflict", 409), Kind.TEMPORARY),
        (client_error("PreconditionFailed", 412), Kind.EXISTS),
        (client_error("NotImplemented", 501), Kind.UNSUPPORTED),
        (client_error("RequestTimeTooSkewed", 403), Kind.CLOCK),
        (client_error("403", 403, date="Mon, 05 Jan 2015 10:00:00 GMT"), Kind.CLOCK),  # HEAD: there is no text
        (client_error("403", 403, date="no date"), Kind.FORBIDDEN),
        (google.auth.exceptions.RefreshError("invalid_grant: Check your iat and exp values in the JWT"), Kind.CLOCK),
        (OSError("Forbidden: b/x\nUser Rate Limit Exceeded"), Kind.THROTTLED),
        (client_error("InvalidObjectState", 403), Kind.ARCHIVED),
        (azure_error("BlobArchived", 409), Kind.ARCHIVED),
        (azure_error("BlobImmutableDueToPolicy", 409), Kind.FORBIDDEN),
        (azure_error("ServerBusy", 503), Kind.THROTTLED),
        (OSError(errno.EFBIG, "too large"), Kind.NO_SPACE),
        (OSError(errno.EILSEQ, "no such character"), Kind.REFUSED),
        (PermissionError(errno.EACCES, "denied", "/data/expired/x"), Kind.FORBIDDEN),
        (wrapped(OSError(errno.EINVAL, "x"), client_error("InvalidArgument", 400)), Kind.REFUSED),
        (OSError("Forbidden: b/x\nno access"), Kind.FORBIDDEN),
        (OSError(errno.ENOSPC, "full"), Kind.NO_SPACE),
        (OSError(errno.EROFS, "read-only"), Kind.READ_ONLY),
        (OSError(errno.ENAMETOOLONG, "long"), Kind.NAME_TOO_LONG),
        (OSError(errno.EIO, "broken"), Kind.TEMPORARY),
        (PermissionError("denied"), Kind.FORBIDDEN),
        (NotImplementedError(), Kind.UNSUPPORTED),
        (ValueError("Bad Request: b/x"), Kind.OTHER),
        (KeyError("Content-Length"), Kind.OTHER),
        (wrapped(TypeError("int() of None"), client_error("InternalError", 500)), Kind.SERVER),
    ],
)
def test_an_error_is_classified_by_its_whole_chain_of_causes(error: BaseException, kind: Kind) -> None:
    failure = read_failure(error)
    assert failure is not None
    assert failure.kind is kind


def test_a_refusal_by_a_store_whose_clock_agrees_is_one_of_permissions() -> None:
    failure = read_failure(client_error("AccessDenied", 403, date=format_datetime(datetime.now(UTC))))
    assert failure is not None
    assert failure.kind is Kind.FORBIDDEN


@pytest.mark.parametrize(
    "error",
    [
        TypeError("bug"),
        AttributeError("bug"),
        AssertionError("bug"),
        MemoryError(),
        UnicodeEncodeError("ascii", "é", 0, 1, ""),
    ],
)
def test_a_probable_bug_is_no_failure_of_a_store(error: BaseException) -> None:
    assert read_failure(error) is None


def test_an_exception_that_was_already_being_handled_is_ignored() -> None:
    """An error raised while another is handled carries that as its context, though it has nothing to do with it."""
    from fsspec.implementations.memory import MemoryFileSystem

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryFileSystem, "cat_file", lambda *_: (_ for _ in ()).throw(ValueError("not this one")))
        try:
            raise FileNotFoundError("something else")
        except FileNotFoundError:
            with pytest.raises(StorageError, match="not this one"):
                storage.read_bytes("memory://x/y")


def test_the_loggers_of_clients_are_quiet_about_failures_that_we_report(monkeypatch: pytest.MonkeyPatch) -> None:
    lead_to("http://127.0.0.1:9", monkeypatch)
    locate("gs://bucket/x")
    assert logging.getLogger("gcsfs").level == logging.CRITICAL
