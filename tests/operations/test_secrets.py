"""Credentials in the environment and in a URI: nothing printed and nothing written holds them."""

import functools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.operations.test_reprocess import Archive, boxed

IN_A_URI, IN_THE_ENVIRONMENT = "hunter2-in-a-uri", "hunter2-in-the-environment"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """What lies in ``tmp_path / "served"``, to anybody; the address without its ``http://``."""
    (tmp_path / "served").mkdir()
    handler = functools.partial(QuietHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"127.0.0.1:{served.server_address[1]}"
        served.shutdown()
        thread.join()


def reprocess(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "samurai_batch", "reprocess", *arguments]
    environment = os.environ | {"AWS_SECRET_ACCESS_KEY": IN_THE_ENVIRONMENT}
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)


@pytest.mark.slow
@pytest.mark.server
def test_no_secret_is_printed_or_written(tmp_path: Path, server: str) -> None:
    archive = Archive(tmp_path)
    archive.write_prompts(boxed(archive.add_video("a", night=1)), name="served/prompts.csv")
    address = f"http://user:{IN_A_URI}@{server}/prompts.csv?signature={IN_A_URI}"
    job = tmp_path / "job.yaml"
    job.write_text(f"prompts: {address}\noutput: {archive.output}\nmodel: nano\nweights: untrained:0\npool: local\n")
    done = reprocess(str(job), "--set", "image_size=64")
    assert done.returncode == 0, done.stderr
    missing = reprocess(str(job), "--set", f"prompts={address.replace('prompts.csv', 'missing.csv')}")
    assert missing.returncode == 2
    assert "missing.csv" in missing.stderr
    printed = done.stdout + done.stderr + missing.stdout + missing.stderr
    written = b"".join(path.read_bytes() for path in Path(archive.output).rglob("*") if path.is_file())
    assert b"***@127.0.0.1" in written, "the run's record names the table, redacted"
    for secret in (IN_A_URI, IN_THE_ENVIRONMENT):
        assert secret not in printed
        assert secret.encode() not in written
