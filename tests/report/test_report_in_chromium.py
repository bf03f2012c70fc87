"""The report as a person opens it: in a real, headless Chromium, wide and narrow."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from samurai_batch.report import write_report
from tests.report.finished_run import write_output

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]

# A window cannot be as narrow as a phone, a frame can. The page is measured from outside: it has no script of its own.
MEASURE = """
addEventListener("load", () => setTimeout(() => {
  const page = document.querySelector("iframe").contentDocument;
  page.querySelectorAll("details").forEach((one) => { one.open = true; });
  const images = [...page.images];
  const lazy = images.filter((image) => image.loading === "lazy").length;
  images.forEach((image) => { image.loading = "eager"; });
  setTimeout(() => {
  const found = {
    width: page.documentElement.clientWidth,
    scroll_width: page.documentElement.scrollWidth,
    images: images.length,
    lazy: lazy,
    not_loaded: images.filter((image) => !image.complete || image.naturalWidth === 0).length,
    focusable: page.querySelectorAll("a[href], summary, [tabindex='0']").length,
  };
  document.body.replaceChildren(JSON.stringify(found));
  }, 1000);
}, 500));
"""


def in_chromium(address: str, profile: Path) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    return subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", *quiet, "--disable-dev-shm-usage",
         f"--user-data-dir={profile}", "--enable-logging=stderr", "--virtual-time-budget=5000",
         "--window-size=1400,1000", "--dump-dom", address],
        check=True, capture_output=True, text=True, timeout=600,
    )  # fmt: skip


@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_loads_every_image_without_an_error_or_sideways_scrolling(tmp_path: Path, width: int) -> None:
    report_path = Path(write_report(write_output(tmp_path)))
    report = report_path.read_text(encoding="utf-8")
    escaped = report.replace("&", "&amp;").replace('"', "&quot;")
    outer = report_path.with_name("outer.html")  # from where the page's pictures are found
    frame = f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{escaped}"></iframe>'
    icon = '<link rel="icon" href="data:,">'
    outer.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8">{icon}<body>{frame}<script>{MEASURE}</script>'
    )
    run = in_chromium(outer.as_uri(), tmp_path / "profile")
    match = re.search(r"<body>(.*)</body>", run.stdout, re.DOTALL)
    assert match is not None
    found = json.loads(unescape(match[1]))
    assert found["not_loaded"] == 0
    assert found["images"] == found["lazy"] == 7
    assert found["scroll_width"] <= found["width"] <= width
    assert found["focusable"] > 20
    assert "CONSOLE" not in run.stderr
