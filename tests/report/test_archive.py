"""The report of many tracks: what is listed, what is on the page and what is beside it, also in a bucket."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import boto3
import pytest

from samurai_batch import cli, report, storage
from samurai_batch.benchmark.clip import write_clip
from samurai_batch.errors import ConfigError
from samurai_batch.evaluation.moments import Moment
from samurai_batch.ledger.schema import VideoLedger
from samurai_batch.ledger.store import write_video_ledger
from samurai_batch.masks import mask_table_uri, read_masks, rows_to_table, table_to_bytes
from samurai_batch.report import MAX_VIDEOS_ON_PAGE, write_report
from samurai_batch.report.gather import TrackLine
from samurai_batch.report.track_table import COLUMNS, table_json
from tests.report.finished_run import LOST, entry, rows, write_output
from tests.report.test_report import Page, files_below, pictures_of, table_of

LINE = TrackLine(video_id="v", object_id="1", status="done", num_rows=4)


def add_videos(output: str, count: int, video_uri: str) -> list[str]:
    ids = [f"more {number:02d}/#?" for number in range(count)]
    for number, video_id in enumerate(ids):
        made = [replace(one, mask_score=0.9 - number / 50) for one in rows(video_id, "1", speed=1)]
        storage.write_bytes(mask_table_uri(output, video_id, "1"), table_to_bytes(rows_to_table(made), {}))
        ledger = VideoLedger(video_id=video_id, video_uri=video_uri, tracks={"1": entry()})
        write_video_ledger(storage, output, ledger)
    return ids


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("archive")
    output = write_output(folder)
    add_videos(output, MAX_VIDEOS_ON_PAGE, str(folder / "frames"))
    return output


@pytest.fixture(scope="module")
def page_path(archive: str) -> Path:
    return Path(write_report(archive, worst=5))


def test_more_than_a_few_videos_get_pages_of_their_own(page_path: Path) -> None:
    page = Page(page_path.read_text(encoding="utf-8"))
    assert not page.all("section")
    addresses = {str(link["href"]).partition("#")[0] for link in page.all("a")} - {""}
    assert len(addresses) == MAX_VIDEOS_ON_PAGE + 2
    for address in addresses:
        path = page_path.parent / unquote(address)
        video = Page(path.read_text(encoding="utf-8"))
        assert len(video.all("section")) == 1
        back = next(str(link["href"]) for link in video.all("a"))
        assert (path.parent / back).resolve() == page_path.resolve()
        assert all(picture.is_file() for picture in pictures_of(path))


def test_the_index_lists_every_track_the_worst_first_with_a_link_to_it(page_path: Path) -> None:
    table = json.loads(table_of(page_path.read_text(encoding="utf-8")))
    assert all(len(row) == len(COLUMNS) + 1 for row in table["rows"])
    assert len(table["rows"]) == MAX_VIDEOS_ON_PAGE + 3 + 1
    assert table["rows"][0][1:3] == ["broken", "failed"]
    severities = [row[6] for row in table["rows"][1:]]
    assert severities == sorted(severities, reverse=True)
    for row in table["rows"]:
        address, _, anchor = row[9].partition("#")
        path = page_path.parent / unquote(address)
        ids = [attributes.get("id") for _, attributes in Page(path.read_text(encoding="utf-8")).tags]
        assert anchor in ids


def test_the_worst_moments_are_shown_with_their_pictures(page_path: Path) -> None:
    text = page_path.read_text(encoding="utf-8")
    page = Page(text)
    assert len(page.all("figure")) == 5
    assert len(page.all("img")) == 4  # the video of one moment is gone
    assert all(picture.is_file() for picture in pictures_of(page_path))
    assert all(attributes["loading"] == "lazy" for attributes in page.all("img"))
    assert re.search(rf"absent</b>.*frame {LOST.start}", text)


def test_a_later_report_on_one_page_removes_the_pages_of_videos(archive: str, tmp_path: Path) -> None:
    uri = str(tmp_path / "page.html")
    write_report(archive, uri)
    folder = tmp_path / "page_files"
    assert len(list(folder.rglob("index.html"))) == MAX_VIDEOS_ON_PAGE + 2
    write_report(archive, uri, max_videos=2)
    assert not list(folder.rglob("index.html"))
    write_report(archive, uri, max_videos=2, inline=True)
    assert not list(folder.rglob("index.html"))


def test_one_file_holds_everything_if_it_is_wanted(archive: str, tmp_path: Path) -> None:
    path = Path(write_report(archive, str(tmp_path / "page.html"), inline=True, with_pictures=False))
    assert len(Page(path.read_text(encoding="utf-8")).all("section")) == MAX_VIDEOS_ON_PAGE + 2
    assert files_below(tmp_path) == {path}


def test_disagreement_with_another_output_is_among_the_worst_moments(tmp_path: Path) -> None:
    output, other = write_output(tmp_path), str(tmp_path / "other")
    made = rows("gone", "0", speed=2.0)
    moved = [replace(one, segmentation=None) if one.frame_index in range(2, 8) else one for one in made]
    storage.write_bytes(mask_table_uri(other, "gone", "0"), table_to_bytes(rows_to_table(moved), {}))
    text = Path(write_report(output, worst=3, other=other)).read_text(encoding="utf-8")
    assert "1.00 disagreement</b>" in text
    assert "and disagreement with the other output" in text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools, numpy 2
def test_the_backward_run_of_the_page_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(report.__file__).parent / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    commands = [shlex.split(line) for line in re.findall(r"```bash\n(.*?)```", page, re.DOTALL)[0].splitlines()]
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", 8)
    run_cli(monkeypatch, ["samurai-batch", "track", "clip.mp4", "--box", "20,100,80,160", "-o", "out"])
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102
    run_cli(monkeypatch, [*commands[0], "--set", "pool=local", "--replicas", "1"])
    run_cli(monkeypatch, commands[1])
    assert read_masks("backward")["frame_index"].tolist() == read_masks("out")["frame_index"].tolist()
    assert 'id="worst"' in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def run_cli(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code


def test_a_wrong_number_of_worst_moments_is_named(archive: str) -> None:
    with pytest.raises(ConfigError, match="worst is 0: use 1 or more"):
        write_report(archive, worst=0)


def test_the_json_of_the_table_cannot_end_its_element_and_keeps_no_secret() -> None:
    moment = Moment(video_id="v", object_id="1", frame_index=3, kind="absent", severity=0.51234, text="lost")
    lines = [
        replace(LINE, object_id="</script><!--", present=0.12345, mean_score=0.5, worst=moment),
        replace(LINE, video_id="s3://user:hunter2@host/a", status="failed", num_rows=0),
    ]
    text = str(table_json(lines, {("v", "</script><!--"): "#v0t0"}))
    assert "<" not in text
    assert "hunter2" not in text
    assert json.loads(text)["rows"] == [
        [0, "</script><!--", "done", 4, 0.123, 0.5, 0.512, "absent", 3, "#v0t0"],
        [1, "1", "failed", 0, None, None, None, "", None, None],
    ]


@pytest.mark.server
def test_pages_in_a_bucket_have_a_media_type(s3_uri: str, s3_endpoint: str, tmp_path: Path) -> None:
    output = write_output(tmp_path)
    uri = write_report(output, storage.join(s3_uri, "report.html"))
    bucket, _, folder = s3_uri.removeprefix("s3://").partition("/")
    client = boto3.client("s3", endpoint_url=s3_endpoint)
    found = {
        one["Key"]: client.head_object(Bucket=bucket, Key=one["Key"])["ContentType"]
        for one in client.list_objects_v2(Bucket=bucket)["Contents"]
    }
    assert uri == f"s3://{bucket}/{folder}/report.html"
    assert found.pop(f"{folder}/report.html") == "text/html; charset=utf-8"
    assert len(found) == 7
    assert set(found.values()) == {"image/jpeg"}
