"""What somebody is told who gives an address where no job API answers as it should. The servers are real ones."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from samurai_batch.errors import ConfigError
from samurai_batch.operations.job_api import JobApi
from tests.cluster.ports import free_ports

VERSION = b'{"version": "4", "ray_version": "2.60.0", "ray_commit": "x", "session_name": "s"}'


@contextmanager
def server(**answers: tuple[int, bytes]) -> Iterator[str]:
    """Answers GET and POST by the last part of the path; everything else by ``other``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path.strip("/").rpartition("/")[2], answers["other"])
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_GET  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((401, b"Unauthorized: Missing authentication token"), "accepts jobs only with its token"),
        ((403, b"Forbidden: Invalid authentication token"), "accepts jobs only with its token"),
        ((502, b"<html><h1>502 Bad Gateway</h1></html>"), "a proxy answers there, but it does not reach a Ray cluster"),
        ((200, b"<html>It works!</html>"), "no Ray job API answers there"),
        ((200, b"{}"), "no Ray job API answers there"),
        ((404, b""), "no Ray job API answers there"),
    ],
)
def test_what_is_no_job_api_is_one_line(answer: tuple[int, bytes], expected: str) -> None:
    with server(other=answer) as address, pytest.raises(ConfigError, match=expected) as raised:
        JobApi(f"http://{address}")
    assert "\n" not in str(raised.value)
    assert "<" not in str(raised.value)


@pytest.mark.parametrize("slash", ["", "/"])
def test_an_address_without_http_is_one_of_http(slash: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:1")  # somebody else's: Ray itself would ask there
    with server(version=(200, VERSION), other=(500, b"Traceback: something")) as address:
        api = JobApi(address + slash)
        with pytest.raises(ConnectionError, match="status code 500"):
            api.state("job")
        with pytest.raises(ConnectionError):
            api.log("job")


def test_a_cluster_that_does_not_take_a_job_says_why_in_one_line(tmp_path: Path) -> None:
    with server(version=(200, VERSION), other=(502, b"<html>Bad Gateway</html>")) as address:
        api = JobApi(address)
        with pytest.raises(ConfigError, match="a proxy answers there"):
            api.submit("true", tmp_path, None, {})


@pytest.mark.parametrize("address", ["ray://head:10001", "s3://bucket"])
def test_another_kind_of_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="give the dashboard's address"):
        JobApi(address)


@pytest.mark.parametrize("scheme", ["", "http://", "https://"])
def test_an_unreachable_address_is_reported_in_one_line(scheme: str) -> None:
    with pytest.raises(ConfigError, match="no Ray job API answers there"):
        JobApi(f"{scheme}127.0.0.1:{free_ports(1)}")
