"""Credentials in the environment and in a URI: nothing printed and nothing written holds them."""

import functools
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

import pytest
from PIL import Image

from tests.operations.test_reprocess import Archive, boxed

IN_A_URI, IN_THE_ENVIRONMENT = "hunter2-in-a-uri", "hunter2-in-the-environment"


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder; what lies below ``/forbidden`` is answered as an expired signature is."""

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass

    def send_head(self) -> "io.BytesIO | BinaryIO | None":
        if self.path.startswith("/forbidden"):
            body = f"<Code>SignatureDoesNotMatch</Code><StringToSign>{self.path}</StringToSign>".encode()
            self.send_response(403, f"Forbidden {self.path}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            return io.BytesIO(body)
        return super().send_head()


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
    archive.write_prompts(boxed(archive.add_video("a", day=1)), name="served/prompts.csv")
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


def samurai_batch(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "samurai_batch", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=folder, env=ENVIRONMENT)


ENVIRONMENT = os.environ | {"AWS_SECRET_ACCESS_KEY": IN_THE_ENVIRONMENT, "XDG_CACHE_HOME": "cache"}


@pytest.mark.slow
@pytest.mark.server
def test_a_job_on_signed_urls_leaves_no_signature_anywhere(tmp_path: Path, server: str) -> None:
    """One picture that is there, one that is missing, one that is no picture, and one whose signature has expired."""
    Image.new("RGB", (48, 32)).save(tmp_path / "served" / "good.png")
    (tmp_path / "served" / "bad.png").write_bytes(b"no picture")
    query = f"X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F2026&X-Amz-Signature={IN_A_URI}"
    rows = ["video_id,video_uri,object_id,frame_index,kind,box_xyxy"]
    for name in ("good", "missing", "bad", "forbidden/x"):
        uri = f"http://user:{IN_A_URI}@{server}/{name}.png?{query}"
        rows.append(f'{name},{uri},o,0,box,"[2,2,30,30]"')
    (tmp_path / "p.csv").write_text("\n".join(rows))
    options = ["--weights", "untrained:0", "--image-size", "64", "--model", "nano", "--set", "pool=local"]
    ran = samurai_batch(tmp_path, "run", "--prompts", "p.csv", "-o", "out", *options)
    printed = ran.stdout + ran.stderr
    assert ran.returncode in (1, 3), printed
    assert "missing.png" in printed
    for verb in (["status", "out"], ["status", "out", "--json"], ["history", "out"], ["report", "out"]):
        told = samurai_batch(tmp_path, *verb)
        assert told.returncode == 0, told.stderr
        printed += told.stdout + told.stderr
    printed += samurai_batch(tmp_path, "render", "out", "good", "-o", "x.mp4").stderr
    printed += samurai_batch(tmp_path, "segment", f"http://user:{IN_A_URI}@{server}/list.txt?{query}", "-o", "o").stderr
    files = [path for folder in ("out", "o") for path in (tmp_path / folder).rglob("*") if path.is_file()]
    assert {"report.html", "good.json"} <= {path.name for path in files}
    for secret in (IN_A_URI, IN_THE_ENVIRONMENT, "AKIAIOSFODNN7EXAMPLE"):
        assert secret not in printed
        for path in files:
            assert secret.encode() not in path.read_bytes(), path
            assert secret not in str(path)
