"""The index of 10,000 tracks in a real, headless Chromium: rows shown, search, sorting, requests, size; and from S3."""

import functools
import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any

import boto3
import pytest

from samurai_batch import storage
from samurai_batch.evaluation.moments import Moment
from samurai_batch.report import write_report
from samurai_batch.report.gather import Report, TrackLine
from samurai_batch.report.page import render_page
from tests.masks.counting_proxy import counting_proxy
from tests.report.finished_run import write_output
from tests.report.test_report_in_chromium import CHROMIUM, in_chromium

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]

NUM_TRACKS = 10_000

DRIVE = """
addEventListener("load", () => setTimeout(() => {
  const lines = () => [...document.querySelectorAll("#tracks-rows tr")];
  const texts = () => lines().map((row) => [...row.cells].map((cell) => cell.textContent));
  const count = () => document.getElementById("tracks-count").textContent;
  const heads = document.querySelectorAll("#tracks th button");
  const found = { rows: texts().length, count: count(), first: texts()[0] };
  document.getElementById("tracks-next").click();
  found.next = [count(), texts()[0][1]];
  heads[5].click();  // mean score
  found.by_score = texts().slice(0, 3).map((row) => row[5]);
  heads[5].click();
  found.by_score_up = texts().slice(0, 3).map((row) => row[5]);
  found.sort = document.querySelectorAll("#tracks th")[5].getAttribute("aria-sort");
  const search = document.getElementById("tracks-search");
  const type = (text) => {
    search.value = text;
    search.dispatchEvent(new Event("input"));
    return [count(), texts().length];
  };
  found.search = type("CAMERA-07 failed");
  found.nothing = type("no such track");
  found.cleared = type("");
  found.requests = performance.getEntriesByType("resource").length;
  found.scripts_in_cells = document.querySelectorAll("#tracks-rows script, #tracks-rows img").length;
  document.body.replaceChildren(JSON.stringify(found));
}, 300));
"""


def archive_report() -> Report:
    lines = [
        TrackLine(
            video_id=f"camera-{number % 40:02d}/<b>{number // 40:04d}",
            object_id="<img src=x>" if number == 0 else str(number),
            status="failed" if number % 50 == 7 else "done",
            num_rows=0 if number % 50 == 7 else 1000 + number,
            present=None if number % 50 == 7 else 0.75,
            mean_score=None if number % 50 == 7 else number / NUM_TRACKS,
            worst=Moment(video_id="v", object_id="1", frame_index=number, kind="absent", severity=0.5, text="lost"),
        )
        for number in range(NUM_TRACKS)
    ]
    return Report(
        output="out", run=None, num_tracks={"done": 9800, "partial": 0, "failed": 200}, num_rows=10**7,
        num_videos=1000, videos=[], lines=lines, num_listed=NUM_TRACKS, problems=[],
    )  # fmt: skip


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """A web server of a folder, and the paths that were requested of it."""
    paths: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            paths.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", paths
    finally:
        server.shutdown()
        server.server_close()


def found_in(dom: str) -> dict[str, Any]:
    match = re.search(r"<body>(\{.*\})</body>", dom, re.DOTALL)
    assert match is not None, dom[:2000]
    return dict(json.loads(unescape(match[1])))


def test_ten_thousand_tracks_are_searched_and_sorted_a_hundred_rows_at_a_time(tmp_path: Path) -> None:
    page = render_page(archive_report(), {})
    assert len(page.encode()) < 2 * 2**20
    (tmp_path / "report.html").write_text(page.replace("</body>", f"<script>{DRIVE}</script></body>"), encoding="utf-8")
    with served(tmp_path) as (address, paths):
        run = in_chromium(f"{address}/report.html", tmp_path / "profile")
    found = found_in(run.stdout)
    assert paths == ["/report.html"]
    assert (found["rows"], found["count"]) == (100, "1 to 100 of 10,000 tracks")
    assert found["first"][:3] == ["camera-00/<b>0000", "<img src=x>", "done"]
    assert found["next"] == ["101 to 200 of 10,000 tracks", "100"]
    assert found["by_score"] == ["1.000"] * 3  # 0.9999 with three digits
    assert found["by_score_up"] == ["0.000"] * 3
    assert found["sort"] == "ascending"
    num_found = sum("camera-07" in one.video_id and one.status == "failed" for one in archive_report().lines)
    assert found["search"] == [f"1 to {num_found} of {num_found} tracks (of 10,000)", num_found]
    assert found["nothing"] == ["no track matches (of 10,000)", 0]
    assert found["cleared"] == ["1 to 100 of 10,000 tracks", 100]
    assert (found["requests"], found["scripts_in_cells"]) == (0, 0)
    assert "CONSOLE" not in run.stderr


PICTURES = """
addEventListener("load", () => setTimeout(() => {
  const images = [...document.images];
  document.body.replaceChildren(JSON.stringify({
    images: images.length, loaded: images.filter((image) => image.complete && image.naturalWidth > 0).length,
    sections: document.querySelectorAll("section").length, rows: document.querySelectorAll("#tracks-rows tr").length,
  }));
}, 1500));
"""


@pytest.mark.server
def test_a_report_is_written_to_and_opened_from_s3(s3_uri: str, s3_endpoint: str, tmp_path: Path) -> None:
    uri = write_report(write_output(tmp_path), storage.join(s3_uri, "report.html"), worst=3)
    page = storage.read_bytes(uri).replace(b"</body>", f"<script>{PICTURES}</script></body>".encode())
    storage.write_bytes(uri, page)
    bucket = uri.removeprefix("s3://").partition("/")[0]
    client = boto3.client("s3", endpoint_url=s3_endpoint)
    for one in client.list_objects_v2(Bucket=bucket)["Contents"]:  # a browser has no credentials
        client.put_object_acl(Bucket=bucket, Key=one["Key"], ACL="public-read")
    with counting_proxy(s3_endpoint) as proxy:
        run = in_chromium(f"{proxy.url}/{uri.removeprefix('s3://')}", tmp_path / "profile")
        requested = [path for method, path, _ in proxy.answers if method == "GET"]
    found = found_in(run.stdout)
    assert (found["sections"], found["rows"]) == (2, 4)
    assert found["loaded"] > 0
    assert len(requested) <= 1 + found["images"]
    assert all(path.endswith((".html", ".jpg")) for path in requested)
    assert "CONSOLE" not in run.stderr
