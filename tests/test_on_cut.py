"""What becomes of tracks at the cuts of a real video: chunks, directions, frame steps, and what rows say."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import torch

import samurai_batch
from samurai_batch.frame_sampling import FrameSampling, OnCut
from samurai_batch.job import make_job
from samurai_batch.masks import read_masks
from samurai_batch.modeling.sam2 import FrameFeatures
from samurai_batch.pipeline import track_video
from samurai_batch.prompts import BoxPrompt
from samurai_batch.runtime.run import run_job
from samurai_batch.tasks import Track, Video
from samurai_batch.tracking.tracker import Tracker
from samurai_batch.video import VideoSource, open_video
from tests.deterministic import small_model
from tests.tracking.scripts import VARIANTS
from tests.video.movies import scene, write_pixels

CUTS, NUM_FRAMES = (8, 16), 26
MASKS = ["frame_index", "segmentation", "mask_score", "object_score", "motion_score", "prompted"]


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = scene(1, range(8)) + scene(2, range(8)) + scene(3, range(10))
    return write_pixels(tmp_path_factory.mktemp("movie") / "clip.mp4", frames)


@pytest.fixture
def source(movie: Path) -> Iterator[VideoSource]:
    with open_video(movie) as opened:
        yield opened


def box(frame_index: int) -> BoxPrompt:
    return BoxPrompt(frame_index, (15.0, 12.0, 45.0, 30.0))


def track_of(name: str, *frames: int, on_cut: OnCut = "end", every: int = 1, **more: object) -> Track:
    sampling = FrameSampling(every=every, on_cut=on_cut)
    prompts = tuple(box(frame_index) for frame_index in frames)
    return Track(video=Video("clip", "clip.mp4"), object_id=name, prompts=prompts, sampling=sampling, **more)  # type: ignore[arg-type]


def rows_of(source: VideoSource, tracks: list[Track], chunk_frames: int, mode: str = "samurai") -> dict[str, pa.Table]:
    return dict(track_video(Tracker(small_model(), VARIANTS[mode]), source, tracks, chunk_frames))


ENDING = {
    "first shot": (track_of("first shot", 2), [*range(2, 8)]),
    "on a cut": (track_of("on a cut", 8), [*range(8, 16)]),
    "before a cut": (track_of("before a cut", 7), [7]),
    "last shot": (track_of("last shot", 20), [*range(20, 26)]),
    "two shots": (track_of("two shots", 3, 18), [*range(3, 8), *range(18, 26)]),
    "all shots": (track_of("all shots", 0, 9, 12, 16), [*range(8), *range(9, 26)]),
    "short": (track_of("short", 1, end_frame=4), [*range(1, 5)]),
    "both": (track_of("both", 12, direction="both"), [*range(8, 16)]),
    "both from a cut": (track_of("both from a cut", 16, direction="both"), [*range(16, 26)]),
    "both, again": (track_of("both, again", 4, 22, direction="both"), [*range(8), *range(22, 26)]),
    "backward": (track_of("backward", 20, direction="backward"), [*range(16, 21)]),
    "backward, two shots": (track_of("backward, two shots", 3, 20, direction="backward"), [*range(4), *range(16, 21)]),
}


@pytest.mark.parametrize("chunk_frames", [4, 5, 8, 100])
def test_tracks_end_at_cuts_and_begin_again_at_prompts_whatever_the_chunks(
    source: VideoSource, chunk_frames: int
) -> None:
    tables = rows_of(source, [track for track, _ in ENDING.values()], chunk_frames)
    whole = rows_of(source, [track for track, _ in ENDING.values()], NUM_FRAMES)
    for name, (_, frames) in ENDING.items():
        assert tables[name]["frame_index"].to_pylist() == frames, name
        assert tables[name]["shot"].to_pylist() == [sum(cut <= index for cut in CUTS) for index in frames], name
        assert tables[name].equals(whole[name]), name


@pytest.mark.parametrize("mode", ["samurai", "sam2long"])
def test_a_track_that_ends_at_a_cut_has_the_rows_of_one_whose_last_frame_is_before_it(
    source: VideoSource, mode: str
) -> None:
    ending = track_of("x", 2)
    ends_there = replace(ending, sampling=FrameSampling(), end_frame=7)
    for chunk_frames in (4, 100):
        cut = rows_of(source, [ending], chunk_frames, mode)["x"]
        assert cut.select(MASKS).equals(rows_of(source, [ends_there], chunk_frames, mode)["x"].select(MASKS))


def test_tracks_that_go_on_have_the_rows_of_tracks_that_know_no_cuts_and_say_their_shot(source: VideoSource) -> None:
    cast = [track_of("x", 3, on_cut="continue"), track_of("y", 20, on_cut="continue", direction="both")]
    tables = rows_of(source, cast, 8)
    ignoring = rows_of(source, [replace(track, sampling=FrameSampling()) for track in cast], 8)
    for name, table in tables.items():
        assert table.select(MASKS).equals(ignoring[name].select(MASKS))
        assert ignoring[name]["shot"].null_count == ignoring[name].num_rows
    assert tables["y"]["shot"].to_pylist() == [0] * 8 + [1] * 8 + [2] * 10


@pytest.mark.parametrize("chunk_frames", [3, 6, 9, 100])
def test_cuts_between_the_frames_of_a_frame_step_end_tracks(source: VideoSource, chunk_frames: int) -> None:
    cast = [track_of("x", 4, 17, every=3), track_of("y", 14, every=3, direction="both"), track_of("z", 7, every=3)]
    tables = rows_of(source, cast, chunk_frames)
    assert {name: table["frame_index"].to_pylist() for name, table in tables.items()} == {
        "x": [4, 6, 17, 18, 21, 24],
        "y": [9, 12, 14, 15],
        "z": [7],
    }
    assert tables["x"]["shot"].to_pylist() == [0, 0, 2, 2, 2, 2]


def test_no_box_is_interpolated_across_a_cut(source: VideoSource) -> None:
    for on_cut, frames in (("end", [0, 1, 2, 3, 4, 5, 6]), ("continue", [*range(7), *range(9, 16), *range(18, 25)])):
        sampling = FrameSampling(every=3, interpolates=True, on_cut=on_cut)  # type: ignore[arg-type]
        table = rows_of(source, [replace(track_of("x", 0), sampling=sampling)], 6)["x"]
        assert table["frame_index"].to_pylist() == frames
        assert table["shot"].to_pylist() == [sum(cut <= index for cut in CUTS) for index in frames]


def test_only_the_frames_of_shots_with_a_prompt_are_encoded(
    source: VideoSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    tracker = Tracker(small_model(), VARIANTS["samurai"])
    encode = tracker.encode

    def counted(pixels: torch.Tensor) -> FrameFeatures:
        encoded.append(len(pixels))
        return encode(pixels)

    monkeypatch.setattr(tracker, "encode", counted)
    track_video(tracker, source, [track_of("x", 3, 18)], 4)
    assert sum(encoded) == len(range(3, 8)) + len(range(18, 26))


def test_a_job_and_one_call_give_the_same_rows(movie: Path, tmp_path: Path) -> None:
    of_both = {"model": "nano", "weights": "untrained:0", "image_size": 64, "device": "cpu", "on_cut": "end"}
    prompts = tmp_path / "prompts.csv"
    prompts.write_text(
        "video_id,video_uri,object_id,frame_index,kind,box_xyxy,direction\n"
        f'clip,{movie},x,12,box,"[15, 12, 45, 30]",both\n'
    )
    fields = {"prompts": str(prompts), "output": str(tmp_path / "out"), "pool": "local", "chunk_frames": 3}
    run_job(make_job({**fields, **of_both}, source="test"))
    rows = read_masks(str(tmp_path / "out"))
    assert rows["frame_index"].tolist() == [*range(8, 16)]
    assert rows["shot"].tolist() == [1] * 8
    alone = samurai_batch.track(
        str(movie),
        boxes={"x": (15, 12, 45, 30)},
        frame=12,
        direction="both",
        chunk_frames=3,
        **of_both,  # type: ignore[arg-type]
    )
    for column in ("frame_index", "area", "mask_score", "shot"):
        assert alone[column].tolist() == rows[column].tolist()
