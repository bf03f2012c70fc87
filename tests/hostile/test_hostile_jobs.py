"""One job over everything that should not be in a dataset: each track ends for itself, inside the output."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from samurai_batch.job import JobConfig, make_job
from samurai_batch.ledger.status import RunSummary
from samurai_batch.masks import read_masks
from samurai_batch.prompts import BoxPrompt
from samurai_batch.runtime.run import run_job
from samurai_batch.tasks import Track, Video
from tests.hostile.movies import write_without_frames, write_without_key_frame
from tests.runtime.fakes import box_track, run_tracks, write_video
from tests.video.movies import write_movie, write_two_sizes

pytestmark = pytest.mark.usefixtures("one_thread")

HOSTILE_IDS = [
    "a/../../../b",
    "..",
    ".",
    "/etc/passwd",
    "_ledger",
    "runs",
    "lease",
    "%2e%2e",
    "a'b\"c`d",
    "$(touch x); rm -rf ~",
    "*?[a]",
    "line\nbreak\ttab",
    "e\u0301 \u202eright to left \U0001f9ff",
    "C:\\con",
    " ",
    "a" * 200,
]


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def test_every_id_becomes_a_name_inside_the_output_and_is_read_back_unchanged(tmp_path: Path) -> None:
    source = write_video(tmp_path / "videos", "v", 5)
    tracks = [box_track(Video(name, source.uri), name) for name in HOSTILE_IDS]
    before = files_below(tmp_path)
    summary = run_tracks(tracks, tmp_path / "deep" / "out")
    assert summary.totals.tracks_done == len(HOSTILE_IDS)
    written = files_below(tmp_path) - before
    assert all(path.is_relative_to(tmp_path / "deep" / "out") for path in written)
    rows = read_masks(str(tmp_path / "deep" / "out"))
    assert set(zip(rows["video_id"], rows["object_id"], strict=True)) == {(name, name) for name in HOSTILE_IDS}
    again = run_tracks(tracks, tmp_path / "deep" / "out")
    assert again.totals.tracks_skipped == len(HOSTILE_IDS)


def job(folder: Path, **more: object) -> JobConfig:
    fields: dict[str, object] = {
        "prompts": str(folder / "unused.parquet"),
        "output": str(folder / "out"),
        "model": "nano",
        "weights": "untrained:0",
        "image_size": 64,
        "chunk_frames": 8,
        "pool": "local",
        "device": "cpu",
    }
    return make_job(fields | more)


def junk(path: Path) -> Path:
    path.write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 20)
    return path


BROKEN: dict[str, Callable[[Path], object]] = {
    "no frames": write_without_frames,
    "empty": lambda path: path.write_bytes(b""),
    "junk": junk,
    "a folder": lambda path: path.mkdir(),
    "two sizes": lambda path: write_two_sizes(path, codec="libx264", num_frames_each=10),
    "no key frame": write_without_key_frame,
}


def run(folder: Path, paths: dict[str, Path], **more: object) -> RunSummary:
    tracks = [
        Track(video=Video(name, str(path)), object_id="x", prompts=(BoxPrompt(0, (0.0, 0.0, 30.0, 30.0)),))
        for name, path in paths.items()
    ]
    return run_job(job(folder, **more), tracks=tracks)


def test_unusable_videos_fail_with_a_reason_and_the_others_are_done(tmp_path: Path) -> None:
    paths = {name: tmp_path / f"{number}.mkv" for number, name in enumerate(BROKEN)}
    for name, write in BROKEN.items():
        write(paths[name])
    paths["good"] = write_movie(tmp_path / "good.mp4", num_frames=10)
    summary = run(tmp_path, paths)
    assert summary.status == "finished"
    reasons = {problem.video_id: problem.error for problem in summary.problems}
    assert "good" not in reasons
    for name, reason in reasons.items():
        assert "Error" not in reason.split(":")[0], f"{name}: unexpected error {reason}"
    assert reasons.keys() >= BROKEN.keys() - {"no key frame"}


def test_the_smallest_and_the_largest_pictures_are_tracked(tmp_path: Path) -> None:
    paths = {
        "one frame": write_movie(tmp_path / "one.mp4", num_frames=1),
        "one pixel": write_movie(
            tmp_path / "dot.mkv", num_frames=3, height=1, width=1, codec="ffv1", pixel_format="bgr0"
        ),
        "8K": write_movie(
            tmp_path / "8k.mkv", num_frames=2, height=4320, width=7680, codec="mjpeg", pixel_format="yuvj420p"
        ),
    }
    summary = run(tmp_path, paths)
    assert summary.problems == ()
    rows: pd.DataFrame = read_masks(summary.output)
    sizes = {(row.video_id, row.height, row.width) for row in rows.itertuples()}
    assert sizes == {("one frame", 48, 64), ("one pixel", 1, 1), ("8K", 4320, 7680)}
    assert rows.groupby("video_id").size().to_dict() == {"one frame": 1, "one pixel": 3, "8K": 2}
