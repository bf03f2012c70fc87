"""Jobs that end tracks at cuts: measured once, kept, and the same after any interruption."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from samurai_batch import storage
from samurai_batch.errors import VideoError
from samurai_batch.frame_sampling import FrameSampling
from samurai_batch.ledger.status import exit_code
from samurai_batch.ledger.store import read_video_ledger
from samurai_batch.prompts import BoxPrompt
from samurai_batch.runtime.replica import MeasureCuts
from samurai_batch.tasks import Track, Video
from samurai_batch.video import VideoSource
from tests.runtime.fakes import FakeTracker, box_track, rows_of, run_tracks, write_video

CUTS = (15, 20, 40)
END, CONTINUE = FrameSampling(on_cut="end"), FrameSampling(on_cut="continue")


class Measure:
    """Stands for `scene_cuts_of`, and counts how often it was called."""

    def __init__(self, cuts: tuple[int, ...] = CUTS) -> None:
        self.cuts, self.calls = cuts, 0

    def __call__(self, source: VideoSource, check: Callable[[], None]) -> tuple[int, ...]:
        self.calls += 1
        check()
        return self.cuts


def tracks_of(video: Video) -> list[Track]:
    again = (BoxPrompt(3, (9.0, 9.0, 30.0, 30.0)), BoxPrompt(44, (9.0, 9.0, 30.0, 30.0)))
    return [
        box_track(video, "one", 3, sampling=END),
        box_track(video, "both", 25, "both", sampling=END),
        box_track(video, "on a cut", 20, "both", sampling=END),
        Track(video=video, object_id="again", prompts=again, sampling=END),
        Track(video=video, object_id="back", prompts=again, direction="backward", sampling=END),
    ]


EXPECTED = {
    "one": [*range(3, 15)],
    "both": [*range(20, 40)],
    "on a cut": [*range(20, 40)],
    "again": [*range(3, 15), *range(44, 52)],
    "back": [*range(4), *range(40, 45)],
}


@pytest.mark.parametrize("chunk_frames", [5, 7])
@pytest.mark.parametrize("num_replicas", [1, 3])
def test_the_tables_have_the_rows_before_each_cut_whatever_the_chunks_and_replicas(
    tmp_path: Path, chunk_frames: int, num_replicas: int
) -> None:
    tracks = tracks_of(write_video(tmp_path, "a", 52))
    summary = run_tracks(
        tracks, tmp_path / "out", measure_cuts=Measure(), num_replicas=num_replicas, chunk_frames=chunk_frames
    )
    assert exit_code(summary) == 0
    rows = rows_of(tmp_path / "out")
    assert {name: own["frame_index"].tolist() for name, own in rows.groupby("object_id")} == EXPECTED
    assert rows["shot"].tolist() == [sum(cut <= index for cut in CUTS) for index in rows["frame_index"]]
    assert not storage.list_names(str(tmp_path / "out" / "_work"))


@pytest.mark.parametrize("stop_after", [1, 2, 4, 6, 9])
def test_a_run_that_was_stopped_goes_on_with_the_cuts_it_has_kept(tmp_path: Path, stop_after: int) -> None:
    tracks, tracker, measure = tracks_of(write_video(tmp_path, "a", 52)), FakeTracker(), Measure()
    run_tracks(tracks, tmp_path / "undisturbed", measure_cuts=measure)
    assert measure.calls == 1
    run_tracks(
        tracks, tmp_path / "out", tracker, should_stop=lambda: len(tracker.calls) >= stop_after, measure_cuts=measure
    )
    summary = run_tracks(tracks, tmp_path / "out", measure_cuts=measure)
    assert exit_code(summary) == 0
    assert measure.calls == 2
    pd.testing.assert_frame_equal(rows_of(tmp_path / "out"), rows_of(tmp_path / "undisturbed"))
    ledger = read_video_ledger(storage, str(tmp_path / "out"), "a")
    assert ledger is not None
    assert ledger.facts is not None
    assert ledger.facts.scene_cuts == CUTS


def test_a_video_whose_cuts_nobody_has_measured_is_opened_again(tmp_path: Path) -> None:
    video, measure = write_video(tmp_path, "a", 52), Measure()
    run_tracks([box_track(video, "x", 3)], tmp_path / "out")
    assert rows_of(tmp_path / "out")["shot"].isna().all()
    for sampling, frames in ((CONTINUE, range(3, 52)), (END, range(3, 15))):
        summary = run_tracks([box_track(video, "x", 3, sampling=sampling)], tmp_path / "out", measure_cuts=measure)
        assert summary.totals.tracks_done == 1
        assert rows_of(tmp_path / "out")["frame_index"].tolist() == list(frames)
    assert measure.calls == 1
    again = run_tracks([box_track(video, "x", 3)], tmp_path / "out")
    assert again.totals.tracks_done == 1
    assert rows_of(tmp_path / "out")["shot"].isna().all()


def test_a_track_that_ends_before_a_truncation_is_whole(tmp_path: Path) -> None:
    video = write_video(tmp_path, "a", 52, missing_from=43)
    tracks = [box_track(video, "one", 3, sampling=END), box_track(video, "two", 41, sampling=END)]
    summary = run_tracks(tracks, tmp_path / "out", measure_cuts=Measure())
    assert (summary.totals.tracks_done, summary.totals.tracks_failed) == (1, 1)
    assert "ends at frame 43" in summary.problems[0].error
    kept = run_tracks(tracks, tmp_path / "kept", measure_cuts=Measure(), keep_partial=True)
    assert (kept.totals.tracks_done, kept.totals.tracks_partial) == (1, 1)
    rows = rows_of(tmp_path / "kept")
    assert {name: own["frame_index"].tolist() for name, own in rows.groupby("object_id")} == {
        "one": [*range(3, 15)],
        "two": [41, 42],
    }


def test_a_damaged_frame_fails_the_tracks_of_its_video_with_its_reason(tmp_path: Path) -> None:
    def measure(source: VideoSource, check: Callable[[], None]) -> tuple[int, ...]:
        raise VideoError("frame 30 is damaged")

    damaged: MeasureCuts = measure
    tracks = [box_track(write_video(tmp_path, "a", 52), "one", 3, sampling=END)]
    summary = run_tracks(tracks, tmp_path / "out", measure_cuts=damaged)
    assert exit_code(summary) == 3
    assert "frame 30 is damaged" in summary.problems[0].error
