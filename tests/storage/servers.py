"""Servers of object stores on loopback, each a separate process: moto (S3), Azurite, and a GCS emulator."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The documented key of every Azurite, which is no secret."""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running(command: Sequence[str], url: str, log: Path) -> Iterator[str]:
    """Start a server, wait for its first answer, and kill it afterwards."""
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT) as server:
        try:
            _wait_until_it_answers(url, server, log)
            yield url
        finally:
            server.kill()


def _wait_until_it_answers(url: str, server: subprocess.Popen[bytes], log: Path, limit_s: float = 300.0) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        assert server.poll() is None, f"the server ended at once: {log.read_text(errors='replace')[-2000:]}"
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310
                return
        except urllib.error.HTTPError:
            return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.1)
    raise TimeoutError(f"nothing answered on {url} within {limit_s} s")


@contextmanager
def moto_server(log: Path) -> Iterator[str]:
    port = free_port()
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
    with running(command, f"http://127.0.0.1:{port}", log) as url:
        yield url


@contextmanager
def gcs_server(log: Path) -> Iterator[str]:
    port = free_port()
    script = str(Path(__file__).with_name("gcs_server.py"))
    with running([sys.executable, script, str(port)], f"http://127.0.0.1:{port}", log) as url:
        yield url


def make_gcs_bucket(endpoint: str, name: str) -> None:
    request = urllib.request.Request(  # noqa: S310
        f"{endpoint}/storage/v1/b?project=test",
        json.dumps({"name": name}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:  # noqa: S310
        assert response.status == 200


@contextmanager
def azure_server(log: Path) -> Iterator[str]:
    """The URL of the account; `azure_connection` makes a connection string of it."""
    port = free_port()
    command = [
        *_azurite(),
        *("--blobHost", "127.0.0.1", "--blobPort", str(port)),
        *("--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"),
    ]
    with running(command, f"http://127.0.0.1:{port}", log) as url:
        yield f"{url}/{AZURE_ACCOUNT}"


def _azurite() -> list[str]:
    """The command of Azurite, as installed by `make setup` or from the PATH."""
    installed = Path(sys.prefix) / "azurite" / "node_modules" / ".bin" / "azurite-blob"
    found = str(installed) if installed.exists() else shutil.which("azurite-blob")
    if found is None:
        message = "Azurite is not installed: install Node.js and npm, then `make setup`"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return [found]


def azure_connection(url: str) -> str:
    return f"DefaultEndpointsProtocol=http;AccountName={AZURE_ACCOUNT};AccountKey={AZURE_KEY};BlobEndpoint={url};"
