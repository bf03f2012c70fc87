import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.evaluation.moments import Moment
from samurai_batch.ledger.schema import VideoLedger
from samurai_batch.ledger.store import write_video_ledger
from samurai_batch.masks import mask_table_uri, rows_to_table, table_to_bytes
from samurai_batch.redaction import redact
from samurai_batch.report import write_report
from samurai_batch.report.timeline import WIDTH, timeline
from tests.report.finished_run import NUM_FRAMES, entry, rows, write_output

VOID = {"meta", "link", "img", "wbr", "br", "input"}
SCRIPTS: list[dict[str, str | None]] = [{"type": "application/json", "id": "tracks-data"}, {}]


class Page(HTMLParser):
    """Every tag with its attributes, and whether tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(write_report(write_output(tmp_path_factory.mktemp("report"))))


@pytest.fixture(scope="module")
def text(page_path: Path) -> str:
    return page_path.read_text(encoding="utf-8")


def pictures_of(page_path: Path) -> list[Path]:
    """The files that the page shows, by its own addresses."""
    sources = [str(image["src"]) for image in Page(page_path.read_text(encoding="utf-8")).all("img")]
    return [page_path.parent / unquote(source) for source in sources]


def table_of(text: str) -> str:
    """The JSON of the table of all tracks."""
    (data,) = re.findall(r'<script type="application/json" id="tracks-data">(.*?)</script>', text, re.DOTALL)
    return str(data)


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def test_the_page_is_well_formed_and_needs_nothing_but_the_pictures_beside_it(page_path: Path, text: str) -> None:
    page = Page(text)
    assert page.all("script") == SCRIPTS
    outside = re.findall(r"(?:src|href)=[\"'](?!data:|#)([^\"']*)", text)
    assert outside
    assert all(source.startswith("report_files/") for source in outside)
    shown = pictures_of(page_path)
    assert set(shown) == files_below(page_path.parent / "report_files")
    for path, attributes in zip(shown, page.all("img"), strict=True):
        with Image.open(path) as image:
            assert image.format == "JPEG"
            assert (attributes["width"], attributes["height"]) == (str(image.width), str(image.height))
        assert attributes["loading"] == "lazy"


def test_a_page_in_one_file_holds_its_pictures(tmp_path: Path) -> None:
    uri = Path(write_report(write_output(tmp_path), inline=True))
    page = Page(uri.read_text(encoding="utf-8"))
    assert len(page.all("img")) == 7
    assert all(str(attributes["src"]).startswith("data:image/jpeg;base64,") for attributes in page.all("img"))
    assert not (uri.parent / "report_files").exists()


def test_the_size_of_a_page_is_bounded_and_what_is_left_out_is_told(tmp_path: Path) -> None:
    output = write_output(tmp_path)
    uri = Path(write_report(output, max_videos=1))
    text = uri.read_text(encoding="utf-8")
    plain = re.sub(r"<[^>]*>", "", text)
    assert "1 of 2 videos have timelines and pictures, the worst first" in plain
    assert "1 are left out and only in the table; a higher --max-videos shows more" in plain
    assert {path.parent.name for path in files_below(uri.parent / "report_files")} == {storage.quote_id("clip <one>")}
    assert len(Page(text).all("section")) == 1
    assert "gone" in plain
    assert "<dt>videos</dt><dd>2</dd>" in text
    none = Path(write_report(output, max_videos=0)).read_text(encoding="utf-8")
    assert not Page(none).all("img")
    assert "frame 17 cannot be decoded" in none
    assert not files_below(uri.parent / "report_files")
    with pytest.raises(ConfigError, match="max_videos is -1"):
        write_report(output, max_videos=-1)


def test_the_pictures_of_a_video_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samurai_batch.report.jpegs.MAX_MOMENTS_OF_VIDEO", 3)
    text = Path(write_report(write_output(tmp_path))).read_text(encoding="utf-8")
    assert len(Page(text).all("img")) == 1 + 3
    assert "3 more moments have no picture" in text


def test_a_later_page_removes_the_pictures_it_does_not_show_and_nothing_else(tmp_path: Path) -> None:
    output = write_output(tmp_path)
    folder = Path(output) / "report_files" / storage.quote_id("clip <one>")
    folder.mkdir(parents=True)
    for name in ("7-00001.jpg", "own.jpg", "notes.txt"):
        (folder / name).write_bytes(b"x")
    shown = set(pictures_of(Path(write_report(output))))
    assert files_below(folder) == shown | {folder / "own.jpg", folder / "notes.txt"}


def test_every_picture_has_an_alternative_text_and_every_link_a_target(text: str) -> None:
    page = Page(text)
    assert len(page.all("img")) == 1 + 2 * 3  # the sheet, and three moments of each track with a readable video
    assert all(attributes.get("alt") for attributes in page.all("img"))
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    links = [str(attributes["href"]) for attributes in page.all("a")]
    assert len(links) == 1 + 3 * 3
    assert {link.removeprefix("#") for link in links} <= ids
    assert all(attributes.get("aria-label") for attributes in page.all("svg"))


def test_the_page_tells_what_ran_how_fast_and_what_failed(text: str) -> None:
    plain = re.sub(r"<[^>]*>", "", text)
    for told in (
        "20261122T190000Z-1",
        "80 (8.0 per second)",
        "120 (12.0 per second)",
        "50.0 ms to encode a frame",
        "4.0 s encoding",
        "2 storage",
    ):
        assert told in plain
    assert "frame 17 cannot be decoded; fetch the video again" in plain
    assert "clip &lt;one&gt;" in plain
    assert f"{NUM_FRAMES:,} frames" in plain
    assert re.search(r"No pictures: .*gone\.mp4", plain)
    assert "secret" not in text


def test_an_output_where_nothing_ended_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no track has ended there"):
        write_report(str(tmp_path))


def test_a_report_may_go_elsewhere_and_without_pictures(tmp_path: Path) -> None:
    output = write_output(tmp_path)
    uri = str(tmp_path / "elsewhere" / "page.html")
    assert write_report(output, uri, with_pictures=False) == uri
    assert not Page(Path(uri).read_text(encoding="utf-8")).all("img")


def test_every_text_on_the_page_is_redacted_and_escaped(tmp_path: Path) -> None:
    output, hostile = str(tmp_path / "out"), "s3://user:hidden@bucket/<script>'\""
    storage.write_bytes(
        mask_table_uri(output, hostile, hostile), table_to_bytes(rows_to_table(rows(hostile, hostile, 1)), {})
    )
    tracks = {hostile: entry(), f"{hostile}2": entry(hostile)}
    write_video_ledger(storage, output, VideoLedger(video_id=hostile, video_uri=hostile, tracks=tracks))
    text = Path(write_report(output)).read_text(encoding="utf-8")
    assert Page(text).all("script") == SCRIPTS
    assert "&lt;script&gt;" in text
    assert json.loads(table_of(text))["videos"] == [redact(hostile)]
    assert "hidden" not in text


def test_the_number_of_a_moment_on_the_first_or_last_frame_is_inside_the_timeline() -> None:
    rows = pd.DataFrame({"frame_index": [0, 4], "area": [5, 6], "mask_score": [0.9, 0.2]})
    rows = rows.assign(object_score=4.0, motion_score=np.nan)
    ends = [
        Moment(video_id="v", object_id="1", frame_index=frame, kind="score drop", severity=0.5, text="why")
        for frame in (0, 4)
    ]
    drawn = timeline(rows, ends, "v0", "Object 1")
    circles = [attributes for tag, attributes in Page(drawn).tags if tag == "circle"]
    assert len(circles) == 2
    for circle in circles:
        x, radius = float(circle["cx"] or ""), float(circle["r"] or "")
        assert radius < x < WIDTH - radius - 1
