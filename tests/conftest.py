"""What tests of every package share: a real S3 server on loopback, and a bucket of one's own in it."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import hypothesis
import pytest

S3_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}

# No time decides a test: on a busy machine any example may take long.
hypothesis.settings.register_profile(
    "no deadline", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("no deadline")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_until_it_answers(url: str, server: subprocess.Popen[bytes], limit_s: float = 300.0) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        assert server.poll() is None, "moto_server ended at once; its log stands beside it"
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.1)
    raise TimeoutError(f"moto_server did not answer on {url} within {limit_s} s")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch computes with one thread: what is small is slower with more."""
    import torch  # not for tests that do without

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a moto server process; the environment leads this process, and those it starts, to it."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
    with (
        (tmp_path_factory.mktemp("moto") / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        try:
            _wait_until_it_answers(url, server)
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                patch.delenv(name)
            for name, value in {**S3_VARIABLES, "AWS_ENDPOINT_URL": url}.items():
                patch.setenv(name, value)
            yield url
        finally:
            server.kill()


@pytest.fixture(scope="session")
def make_bucket(s3_endpoint: str) -> Callable[[], str]:
    """Makes a new, empty bucket and returns its ``s3://`` URI. Tests that use it are marked ``server``."""
    client = boto3.client("s3", endpoint_url=s3_endpoint)

    def make() -> str:
        name = f"bucket-{uuid.uuid4().hex}"
        client.create_bucket(Bucket=name)
        return f"s3://{name}"

    return make


@pytest.fixture
def s3_uri(make_bucket: Callable[[], str]) -> str:
    """A folder in a bucket of this test's own."""
    return make_bucket() + "/folder"
