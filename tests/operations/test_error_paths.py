"""Every way in which a URI can end in a message or a file: none of them shows what is secret in it."""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samurai_batch import storage
from samurai_batch.evaluation import evaluate
from samurai_batch.exports import export_masks
from samurai_batch.job import JobConfig, load_job, make_job
from samurai_batch.ledger.status import check_has_ledger, read_status, recorded_video
from samurai_batch.manifest import prompts_from_flags, read_pictures, read_prompts, write_prompts
from samurai_batch.masks import compact_masks, read_masks
from samurai_batch.modeling.checkpoints import load_weights
from samurai_batch.operations.diff import diff_results
from samurai_batch.operations.history import read_history
from samurai_batch.operations.reprocess import Choice, plan_reprocess, reprocess
from samurai_batch.operations.sources import read_source
from samurai_batch.operations.submit import submit_job
from samurai_batch.prompts import BoxPrompt
from samurai_batch.rendering import render
from samurai_batch.report import write_report
from samurai_batch.runtime.dry_run import plan_job
from samurai_batch.runtime.run import run_job
from samurai_batch.tasks import Track, Video
from samurai_batch.video import StagingCache, open_staged
from tests.runtime.fakes import NoProgress

pytestmark = pytest.mark.usefixtures("one_thread")

HEADER = "video_id,video_uri,object_id,frame_index,kind,box_xyxy,mask\n"
FIELDS: dict[str, object] = {"model": "nano", "weights": "untrained:0", "image_size": 64, "pool": "local"}


def job(folder: Path, **changes: object) -> JobConfig:
    return make_job({**FIELDS, "prompts": str(folder / "p.csv"), "output": str(folder / "out"), **changes})


def tracks(uri: str, *more: str) -> list[Track]:
    prompt = BoxPrompt(0, (1.0, 2.0, 30.0, 40.0))
    videos = [Video(str(number), one) for number, one in enumerate((uri, *more))]
    return [Track(video=video, object_id="o", prompts=(prompt,)) for video in videos]


def write_rows(folder: Path, *rows: str) -> str:
    (folder / "p.csv").write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return str(folder / "p.csv")


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


class TellingApi:
    """Ray's job API: what it is given goes into an error, as it might on the way."""

    def submit(self, entrypoint: str, folder: Path, code: Path | None, metadata: dict[str, str]) -> str:
        raise ValueError(f"{entrypoint} {metadata}")


def run_a_job(uri: str, folder: Path) -> None:
    run_job(job(folder), tracks=tracks(uri), progress=NoProgress())
    write_report(str(folder / "out"), None, True)
    read_history(str(folder / "out"))
    print_all = [read_status(storage, str(folder / "out")), read_history(str(folder / "out"))]
    raise ValueError(repr(print_all))


def run_reprocess(uri: str, folder: Path) -> None:
    write_prompts(str(folder / "p.jsonl"), tracks(uri))
    config = make_job({**FIELDS, "prompts": str(folder / "p.jsonl"), "output": str(folder / "out")})
    reprocess(config, Choice(), progress=NoProgress())
    raise ValueError(plan_reprocess(config, Choice()).describe())


ERROR_PATHS: dict[str, Callable[[str, Path], object]] = {
    "a prompts table that is missing": lambda uri, _: read_prompts(f"{uri.partition('?')[0]}.csv?{uri}"),
    "a prompts table of no format": lambda uri, _: read_prompts(uri),
    "a prompts table to write": lambda uri, _: write_prompts(uri, tracks(uri)),
    "a URI with blanks to write": lambda uri, folder: write_prompts(str(folder / "p.csv"), tracks(f"{uri} ")),
    "a source of prompts": lambda uri, _: read_source(uri),
    "a pattern of videos": lambda uri, folder: read_source(
        write_rows(folder, f'v,{quoted(uri.replace("?", "/*/x?"))},o,0,box,"[1,2,30,40]",')
    ),
    "pictures": lambda uri, _: read_pictures(uri),
    "a list of pictures": lambda uri, folder: print_ids(
        read_pictures(written(folder / "list.txt", f"{uri}\n{uri}&other=1\n"))
    ),
    "a mask that is missing": lambda uri, folder: read_prompts(write_rows(folder, f"v,v.mp4,o,0,mask,,{quoted(uri)}")),
    "videos that contradict each other": lambda uri, folder: read_prompts(
        write_rows(folder, *(f'v,{quoted(uri + end)},{end}x,0,box,"[1,2,30,40]",' for end in ("", "1")))
    ),
    "a URI in every cell": lambda uri, folder: read_prompts(write_rows(folder, ",".join([quoted(uri)] * 7))),
    "a URI as a column": lambda uri, folder: read_prompts(written(folder / "p.csv", f"{quoted(uri)}\n1\n")),
    "JSON that is none": lambda uri, folder: read_prompts(written(folder / "p.jsonl", f"{uri}\n")),
    "flags": lambda uri, _: prompts_from_flags("v.mp4", boxes=[uri]),
    "a mask as a flag": lambda uri, _: prompts_from_flags("v.mp4", masks=[uri]),
    "a job that is missing": lambda uri, _: load_job(uri),
    "a job with the URI as every text": lambda uri, _: make_job(
        dict.fromkeys(("prompts", "output", "model", "weights", "mode", "pool", "dtype", "device", "chunk_frames"), uri)
    ),
    "a job with the URI as a field": lambda uri, _: make_job({uri: 1, "tracker": {uri: uri}}),
    "a job of YAML with the URI": lambda uri, folder: load_job(
        written(folder / "j.yaml", f"prompts: {uri}\nx: [{uri}\n")
    ),
    "weights": lambda uri, _: load_weights("nano", uri),
    "status": lambda uri, _: check_has_ledger(storage, uri),
    "a recorded video": lambda uri, _: recorded_video(storage, uri, "v"),
    "history": lambda uri, _: read_history(uri),
    "diff": lambda uri, _: diff_results(uri, uri),
    "diff of a run": lambda uri, _: diff_results(f"{uri}@20261122T010000.000Z-0123abcd", uri),
    "compact": lambda uri, _: compact_masks(uri),
    "masks": lambda uri, _: read_masks(uri),
    "export": lambda uri, folder: export_masks(uri, str(folder / "files"), "coco"),
    "render": lambda uri, folder: render(uri, "v", uri, str(folder / "x.mp4")),
    "render to it": lambda uri, folder: render(str(folder), "v", uri, uri),
    "report": lambda uri, _: write_report(uri, None, False),
    "evaluate": lambda uri, folder: evaluate(uri, "davis16", str(folder)),
    "plan": lambda uri, folder: plan_job(job(folder, prompts=uri)),
    "submit": lambda uri, folder: submit_job(cast(Any, TellingApi()), job(folder, pool="ray", output=uri, prompts=uri)),
    "staging": lambda uri, folder: open_staged(uri, StagingCache(folder / "cache", 10**9)),
    "a run": run_a_job,
    "a run of two videos": lambda uri, folder: run_job(
        job(folder),
        tracks=tracks(uri, f"{uri}&b=1"),
        progress=NoProgress(),
    ),
    "reprocess": run_reprocess,
    "an output": lambda uri, folder: run_job(job(folder, output=uri), tracks=tracks("no.mp4"), progress=NoProgress()),
}


def print_ids(found: list[Track]) -> list[Track]:
    raise ValueError([track.video.video_id for track in found])


secrets = st.text("abcXYZ0189+=-_.~!$&(*", min_size=10, max_size=30).map(lambda text: f"q7{text}7q")
shapes = st.sampled_from(
    [
        "memory://user:{0}@host/folder/clip.mp4",
        "memory://{0}@host/clip.mp4?v=1",
        "memory://host/clip.mp4?X-Amz-Credential=AKIA&X-Amz-Signature={0}",
        "memory://host/a b.mp4?token={0}",
        "memory://host/a.mp4?sig={0}&" + "x=1&" * 200,
        "memory://u:a/{0}@host/clip.mp4#part",
        "nosuch://u:{0}@host/clip.mp4?sig={0}",
        "memory://host/[cam1]:car:.mp4?AccountKey={0}",
    ]
)


@contextmanager
def log_of_everything() -> Iterator[list[str]]:
    """What handlers of this package's own records would write."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(logging.Formatter().format(record))  # type: ignore[method-assign]
    logger = logging.getLogger("samurai_batch")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


@pytest.mark.parametrize("name", ERROR_PATHS)
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(secret=secrets, shape=shapes)
def test_no_error_no_log_and_no_file_shows_what_is_secret(
    name: str, secret: str, shape: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("secrets")
    with log_of_everything() as lines:
        try:
            ERROR_PATHS[name](shape.format(secret), folder)
        except Exception as error:
            lines += traceback.format_exception(error)
    given_by_us = {"p.csv", "p.jsonl", "list.txt", "j.yaml"}
    for path in folder.rglob("*"):
        assert secret not in str(path)
        if path.is_file() and path.name not in given_by_us:
            assert secret.encode() not in path.read_bytes(), path
    assert secret not in "".join(lines)
