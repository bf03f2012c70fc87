"""Tracks, states and numbers that one video refuses, and what ends a chunk early."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from samurai_batch.errors import ConfigError, PromptError, StateError, VideoError
from samurai_batch.pipeline import propagate_chunk, track_video
from samurai_batch.prompts import BoxPrompt, MaskPrompt, Rle, TextPrompt
from samurai_batch.runtime.failures import StoppedError
from samurai_batch.tasks import Track, Video
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.tracker import Tracker
from samurai_batch.tracking.video_masks import PendingMasks
from samurai_batch.video import Frame
from tests.deterministic import SMALL, seeded_model
from tests.small_video import (
    HEIGHT,
    PIXELS,
    TRACKS,
    WIDTH,
    FakeSource,
    box,
    legs_of,
    source,
    tracker,
)


def test_a_damaged_state_is_refused() -> None:
    with pytest.raises(StateError):
        propagate_chunk(tracker(), source(), legs_of(TRACKS[:1]), range(6, 10), {"all": b"not a state"})


def test_a_state_of_another_network_or_image_size_is_refused() -> None:
    state = propagate_chunk(tracker(), source(), legs_of(TRACKS[:1]), range(0, 3)).states["all"]
    for other in (seeded_model(SMALL, 96), seeded_model(replace(SMALL, mem_dim=16), 64)):
        with pytest.raises(StateError, match="not made by test at image size"):
            propagate_chunk(
                Tracker(other, TrackerSettings()), source(), legs_of(TRACKS[:1]), range(3, 5), {"all": state}
            )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"prompts": (box(15),)}, "after the video's last frame, 14"),
        ({"prompts": (BoxPrompt(0, (90.0, 0.0, 95.0, 10.0)),)}, "outside"),
        ({"prompts": (MaskPrompt(0, Rle(2, 2, "04")),)}, "a mask of 2x2 pixels"),
        ({"end_frame": 15}, "end_frame 15"),
    ],
)
def test_a_track_that_does_not_fit_its_video_is_refused_before_any_work(
    changes: dict[str, object], reason: str
) -> None:
    video = source()
    with pytest.raises(PromptError, match=reason) as refusal:
        track_video(tracker(), video, [TRACKS[0], replace(TRACKS[0], object_id="bad", **changes)])  # type: ignore[arg-type]
    assert "'bad'" in str(refusal.value)
    assert not video.requested


@pytest.mark.parametrize(
    ("tracks", "reason"),
    [
        (TRACKS[:1] * 2, "object 'all': there are two tracks of that name"),
        ((TRACKS[0], replace(TRACKS[1], video=Video("other", "o.mp4"))), "the tracks are of several videos"),
        ((replace(TRACKS[0], prompts=(TextPrompt(0, "a dog"),)),), "needs its objects detected first"),
        ((replace(TRACKS[0], prompts=(MaskPrompt(0, Rle(HEIGHT, WIDTH, "04")),)),), "the mask on frame 0 is damaged"),
    ],
)
def test_ambiguous_or_unusable_tracks_are_refused_before_any_work(tracks: Sequence[Track], reason: str) -> None:
    video = source()
    with pytest.raises(PromptError, match=reason):
        track_video(tracker(), video, tracks)
    assert not video.requested


@pytest.mark.parametrize("name", ["chunk_frames", "frames_per_batch"])
@pytest.mark.parametrize("count", [0, -1, 1.5, True])
def test_a_number_of_frames_below_one_is_refused(name: str, count: int) -> None:
    with pytest.raises(ConfigError, match=f"{name} is {count}: it should be a whole number of frames, 1 or more"):
        track_video(tracker(), source(), TRACKS[:1], **{name: count})


def test_a_chunk_of_frames_in_batches_of_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="frames_per_batch is 0"):
        propagate_chunk(tracker(), source(), legs_of(TRACKS[:1]), range(3), frames_per_batch=0)


@pytest.mark.parametrize("use_threads", [True, False])
def test_a_check_that_raises_ends_the_chunk_at_that_frame_and_its_threads(use_threads: bool) -> None:
    before = set(threading.enumerate())
    during: list[set[threading.Thread]] = []

    def check() -> None:
        during.append(set(threading.enumerate()) - before)
        if len(during) == 4:
            raise StoppedError

    cast = legs_of(TRACKS[:1])
    with pytest.raises(StoppedError):
        propagate_chunk(tracker(), source(), cast, range(10), use_threads=use_threads, check=check)
    assert len(during) == 4
    assert {thread.name for thread in during[3]} == ({"prefetch", "background_0"} if use_threads else set())
    assert set(threading.enumerate()) <= before


def test_rows_that_cannot_be_made_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(pending: PendingMasks) -> list[Rle | None]:
        raise ValueError("boom")

    monkeypatch.setattr(PendingMasks, "rles", fail)
    with pytest.raises(ValueError, match="boom"):
        propagate_chunk(tracker(), source(), legs_of(TRACKS[:1]), range(10))


def test_a_frame_that_cannot_be_read_is_told_after_those_before_it() -> None:
    class Broken(FakeSource):
        def frames(self, indices: range) -> Iterator[Frame]:
            yield from super().frames(indices[:4])
            raise VideoError("frame 4 is damaged")

    num_checks: list[None] = []
    cast = legs_of(TRACKS[:1])
    with pytest.raises(VideoError, match="frame 4"):
        propagate_chunk(tracker(), Broken(PIXELS, []), cast, range(10), check=lambda: num_checks.append(None))
    assert len(num_checks) == 4
