"""`samurai_batch.track`: one video in one line gives what a job gives; what is wrong is told before any work."""

import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import samurai_batch
from samurai_batch import storage
from samurai_batch.errors import ConfigError, PromptError, SamuraiBatchError, VideoError
from samurai_batch.prompts import BoxPrompt, MaskPrompt, PointsPrompt
from samurai_batch.tasks import Track, Video
from samurai_batch.tracking.settings import TrackerSettings
from tests.runtime.fakes import NoProgress
from tests.video.movies import FASTSTART, write_movie

pytestmark = pytest.mark.usefixtures("one_thread", "caches_of_its_own")

HEIGHT, WIDTH, NUM_FRAMES = 48, 64, 8
BOX = (10, 8, 34, 30)
SMALL: dict[str, Any] = {"weights": "untrained:0", "image_size": 64}


@pytest.fixture
def caches_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))


@pytest.fixture
def clip(tmp_path: Path) -> str:
    return str(write_movie(tmp_path / "clip.mp4", num_frames=NUM_FRAMES, container_options=FASTSTART))


def mask() -> np.ndarray[Any, np.dtype[np.bool_]]:
    pixels = np.zeros((HEIGHT, WIDTH), np.bool_)
    pixels[8:30, 10:34] = True
    return pixels


def frames_of(table: pd.DataFrame) -> dict[str, list[int]]:
    return {str(name): rows["frame_index"].tolist() for name, rows in table.groupby("object_id")}


@pytest.mark.parametrize("sampling", [{}, {"frame_step": 3}, {"frame_step": 3, "interpolate_boxes": True}])
def test_it_returns_what_read_masks_returns_of_a_job(clip: str, tmp_path: Path, sampling: dict[str, Any]) -> None:
    chunks = {"chunk_frames": 3 if not sampling else 1, **sampling}
    found = samurai_batch.track(clip, {"b": BOX, "a/c": (30, 5, 60, 40)}, **chunks, **SMALL)
    if sampling:
        step = 1 if "interpolate_boxes" in sampling else 3
        assert frames_of(found) == {name: [*range(0, 7, step)] for name in ("a/c", "b")}
    video = Video("clip", clip)
    boxes = {"b": BOX, "a/c": (30, 5, 60, 40)}
    tracks = [Track(video=video, object_id=name, prompts=(BoxPrompt(0, box),)) for name, box in boxes.items()]
    job = samurai_batch.make_job({"prompts": clip, "output": str(tmp_path / "out"), "pool": "local", **chunks, **SMALL})
    samurai_batch.run_job(job, tracks=tracks, progress=NoProgress())
    expected = samurai_batch.read_masks(job.output)
    plain = [frame.assign(segmentation=frame["segmentation"].map(str)) for frame in (found, expected)]
    pd.testing.assert_frame_equal(plain[0], plain[1])
    assert found.masks.decode(0).shape == (HEIGHT, WIDTH)


def test_objects_in_a_list_are_called_by_their_places(clip: str) -> None:
    found = samurai_batch.track(clip, [BOX, (30, 5, 60, 40)], frame=2, **SMALL)
    assert frames_of(found) == {"0": list(range(2, 8)), "1": list(range(2, 8))}
    array = samurai_batch.track(clip, np.array([BOX, (30, 5, 60, 40)], np.float64), frame=2, **SMALL)
    pd.testing.assert_series_equal(array["mask_score"], found["mask_score"])


def test_points_and_masks_show_objects_as_well(clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Track] = []

    def look(config: object, tracks: list[Track]) -> pd.DataFrame:
        seen.extend(tracks)
        return pd.DataFrame()

    monkeypatch.setattr("samurai_batch.one_video._track", look)
    samurai_batch.track(
        clip,
        {"both": BOX},
        points={"one": (20, 16), "both": [(20, 16), (50, 40)]},
        labels={"both": [1, 0]},
        masks={"mask": mask(), "numbers": mask().astype(np.uint8) * 255},
        frame=3,
        frames=range(1, 7),
        direction="both",
    )
    assert [track.object_id for track in seen] == ["both", "one", "mask", "numbers"]
    assert seen[0].prompts == (BoxPrompt(3, BOX), PointsPrompt(3, ((20, 16), (50, 40)), (1, 0)))
    assert seen[1].prompts == (PointsPrompt(3, ((20, 16),), (1,)),)
    assert isinstance(seen[2].prompts[0], MaskPrompt)
    assert seen[2].prompts == seen[3].prompts
    assert {(track.start_frame, track.end_frame, track.direction) for track in seen} == {(1, 6, "both")}


def test_frames_direction_and_settings_are_those_given(clip: str) -> None:
    found = samurai_batch.track(
        clip, points=[(20, 16)], masks={"m": mask()}, frame=4, frames=range(2, 7), direction="both", **SMALL
    )
    assert frames_of(found) == {"0": list(range(2, 7)), "m": list(range(2, 7))}
    plain = samurai_batch.track(clip, [BOX], mode="sam2", tracker={"fill_hole_area": 0}, **SMALL)
    given = samurai_batch.track(clip, [BOX], tracker=TrackerSettings(mode="sam2", fill_hole_area=0), **SMALL)
    assert plain["motion_score"].isna().all()
    pd.testing.assert_series_equal(plain["mask_score"], given["mask_score"])


def test_a_video_may_be_anywhere(clip: str) -> None:
    storage.write_bytes("memory://one-video/far.mp4", Path(clip).read_bytes())
    found = samurai_batch.track("memory://one-video/far.mp4", [BOX], frames=range(3), **SMALL)
    assert set(found["video_id"]) == {"far"}
    assert len(found) == 3


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        ({}, PromptError, "no prompt is given; give boxes="),
        ({"boxes": {}}, PromptError, "no prompt is given"),
        ({"boxes": BOX}, PromptError, r"boxes is \(10, 8, 34, 30\): give one for each object, as in boxes="),
        ({"boxes": "10,8,34,30"}, PromptError, "boxes is '10,8,34,30': give one for each object"),
        ({"boxes": {"dog": (34, 8, 10, 30)}}, PromptError, "object 'dog': box_xyxy .* x2 should be greater than x1"),
        ({"boxes": {"dog": (1, 2, 3, float("nan"))}}, PromptError, "object 'dog': .*NaN"),
        ({"boxes": {"": BOX}}, PromptError, "object_id is '': it should not be empty"),
        ({"boxes": {1: BOX}}, PromptError, "object_id is 1: it should be text"),
        ({"boxes": [BOX], "frame": -1}, PromptError, "frame_index is -1"),
        ({"boxes": [BOX], "frames": range(3, 3)}, PromptError, r"frames is range\(3, 3\)"),
        ({"boxes": [BOX], "frames": range(5, 1, -1)}, PromptError, "in steps of 1"),
        ({"boxes": [BOX], "frames": range(3, 5)}, PromptError, "the prompt on frame 0 is outside the frames"),
        ({"boxes": [BOX], "direction": "sideways"}, PromptError, "direction is 'sideways'"),
        (
            {"points": {"dog": [(1, 2), (3, 4)]}, "labels": {"dog": [1]}},
            PromptError,
            r"1 label\(s\) for 2",
        ),
        ({"points": {"dog": [(1, 2)]}, "labels": {"cat": [1]}}, PromptError, "object 'cat' has labels, but no points"),
        ({"points": {"dog": "here"}}, PromptError, "object 'dog': points on frame 0 is 'here'"),
        ({"masks": {"dog": np.zeros((4, 4))}}, PromptError, "object 'dog': the mask on frame 0 is empty"),
        (
            {"masks": {"dog": np.full((4, 4), np.nan)}},
            PromptError,
            "the mask on frame 0 has NaN; give numbers",
        ),
        ({"masks": np.ones((4, 4))}, PromptError, r"object '0': the mask on frame 0 is an array of shape \(4,\)"),
        ({"masks": {"dog": "dog.png"}}, PromptError, "it should be \\(height, width\\), of bool or numbers"),
        ({"boxes": [BOX], "masks": [np.ones((4, 4))]}, PromptError, "frame 0 has a mask and other prompts"),
        ({"boxes": [BOX], "mode": "samuri"}, ConfigError, "track: mode is 'samuri': it should be 'samurai', 'sam2'"),
        ({"boxes": [BOX], "tracker": {"kf_weight": 1}}, ConfigError, "did you mean kf_score_weight?"),
        (
            {"boxes": [BOX], "rescue": "sentry", "mode": "sam2long"},
            ConfigError,
            "track: rescue is given, but mode sam2long decides a mask frames later",
        ),
        (
            {"boxes": [BOX], "rescue": "sentri"},
            ConfigError,
            "track: rescue is 'sentri': it should be 'none' or 'sentry'",
        ),
        ({"boxes": [BOX], "mode": "sam2", "tracker": TrackerSettings()}, ConfigError, "leave one of them out"),
        ({"boxes": [BOX], "chunk_frames": 0}, ConfigError, "track: chunk_frames is 0"),
        ({"boxes": [BOX], "frames_per_batch": 0}, ConfigError, "track: frames_per_batch is 0"),
        ({"boxes": [BOX], "model": "nanno"}, ConfigError, "model 'nanno' is not known"),
        ({"boxes": [BOX], "image_size": 100}, ConfigError, "track: image_size is 100"),
    ],
)
def test_what_is_wrong_is_told_before_the_video_is_opened(
    arguments: dict[str, Any], error: type[SamuraiBatchError], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        samurai_batch.track("no such video.mp4", **arguments)


@pytest.mark.parametrize(
    ("video", "reason"),
    [
        ("", "video is '': it should not be empty"),
        ([], r"video is \[\]: it is an empty list"),
        (0, "video is 0: it should be text"),
        (b"v.mp4", "video is b'v.mp4': it should be text"),
        ("v.mp4\n", r"video is 'v.mp4\\n': one of its lines is blank; remove the line end"),
    ],
)
def test_what_is_no_name_of_a_video_is_told(video: Any, reason: str) -> None:
    with pytest.raises(PromptError, match=reason):
        samurai_batch.track(video, [BOX])


def test_what_does_not_fit_the_video_is_told(clip: str, tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=r"object '0': .*outside"):
        samurai_batch.track(clip, [(100, 8, 134, 30)], **SMALL)
    with pytest.raises(PromptError, match="after the video's last frame, 7"):
        samurai_batch.track(clip, [BOX], frame=8, **SMALL)
    with pytest.raises(PromptError, match="a mask of 5x4 pixels"):
        samurai_batch.track(clip, masks=[np.ones((4, 5))], **SMALL)
    with pytest.raises(VideoError, match="does not exist"):
        samurai_batch.track(str(tmp_path / "none.mp4"), [BOX], **SMALL)


@pytest.mark.parametrize("documented", [samurai_batch.track, samurai_batch], ids=["track", "package"])
def test_the_example_in_the_docstring_runs(documented: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_movie(tmp_path / "clip.mp4", num_frames=3, height=320, width=240, container_options=FASTSTART)
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"(?:^    .*\n|^\n)+", inspect.getdoc(documented) + "\n", re.MULTILINE)[:1]  # type: ignore[operator]
    code = textwrap.dedent(example)
    assert "samurai_batch.track(" in code
    namespace: dict[str, Any] = {}
    exec(compile(code, "docstring", "exec"), namespace)  # noqa: S102
    assert namespace["table"]["object_id"].unique().tolist() == ["dog"]
    assert torch.get_num_threads() == 1
