from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from samurai_batch import storage
from samurai_batch.frame_sampling import FrameSampling
from samurai_batch.ledger.status import exit_code
from samurai_batch.ledger.store import Store
from samurai_batch.planning.orders import Order
from samurai_batch.prompts import BoxPrompt, EverythingPrompt, Prompt
from samurai_batch.runtime.pool import Pool, PoolEvent, ReplicaReady
from samurai_batch.tasks import Track
from tests.runtime.crashes import Crash, CrashingStore
from tests.runtime.fakes import (
    RECIPE,
    FakeTracker,
    InlinePool,
    NoProgress,
    box_track,
    make_replica,
    rows_of,
    run_tracks,
    write_video,
)


def test_every_track_gets_every_frame_once_and_in_order(tmp_path: Path) -> None:
    video, other = write_video(tmp_path, "a", 35), write_video(tmp_path, "b", 12)
    tracks = [
        box_track(video, "forward"),
        box_track(video, "late", 23),
        box_track(video, "back", 23, "backward"),
        box_track(video, "both", 17, "both"),
        box_track(video, "span", 5, start_frame=2, end_frame=20, direction="both"),
        box_track(other, "first", 0, "both"),
    ]
    summary = run_tracks(tracks, tmp_path / "out", num_replicas=2)
    assert exit_code(summary) == 0
    table = pd.read_parquet(tmp_path / "out" / "masks")
    frames = {key: list(rows["frame_index"]) for key, rows in table.groupby(["video_id", "object_id"])}
    assert frames == {
        ("a", "forward"): list(range(35)),
        ("a", "late"): list(range(23, 35)),
        ("a", "back"): list(range(24)),
        ("a", "both"): list(range(35)),
        ("a", "span"): list(range(2, 21)),
        ("b", "first"): list(range(12)),
    }
    assert summary.totals.rows == len(table)
    assert not storage.list_names(str(tmp_path / "out" / "_work"))


def test_running_again_computes_nothing_and_starts_no_replica(tmp_path: Path) -> None:
    tracks = [box_track(write_video(tmp_path, "a", 25), name) for name in "xyz"]
    run_tracks(tracks, tmp_path / "out")
    before = rows_of(tmp_path / "out")

    def no_pool() -> Pool:
        raise AssertionError("there is nothing to do")

    summary = run_tracks(tracks, tmp_path / "out", make_pool=no_pool)
    assert summary.totals.tracks_skipped == 3
    pd.testing.assert_frame_equal(rows_of(tmp_path / "out"), before)


@pytest.mark.parametrize("stop_after", range(1, 12))
def test_stopping_anywhere_and_running_again_gives_the_same_rows(tmp_path: Path, stop_after: int) -> None:
    video = write_video(tmp_path, "a", 47)
    tracks = [box_track(video, "one"), box_track(video, "two", 25, "both"), box_track(video, "three", 12, end_frame=30)]
    run_tracks(tracks, tmp_path / "undisturbed")
    tracker, again = FakeTracker(), FakeTracker()
    run_tracks(tracks, tmp_path / "out", tracker, should_stop=lambda: len(tracker.calls) >= stop_after)
    summary = run_tracks(tracks, tmp_path / "out", again)
    assert exit_code(summary) == 0
    pd.testing.assert_frame_equal(rows_of(tmp_path / "out"), rows_of(tmp_path / "undisturbed"))


@pytest.mark.parametrize("interpolates", [False, True])
@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_with_a_frame_step_stopping_and_running_again_gives_the_steps_and_the_prompted_frames(
    tmp_path: Path, stop_after: int, interpolates: bool
) -> None:
    video, sampling = write_video(tmp_path, "a", 47), FrameSampling(every=4, interpolates=interpolates)
    tracks = [
        box_track(video, "one", sampling=sampling),
        box_track(video, "two", 25, "both", sampling=sampling),
        box_track(video, "three", 13, "backward", start_frame=9, sampling=sampling),
        box_track(video, "alone", 1, "both", end_frame=3, sampling=sampling),
    ]
    expected = {
        "one": [*range(0, 45, 4)],
        "two": sorted([*range(0, 45, 4), 25]),
        "three": [12, 13],
        "alone": [0, 1],
    }
    tracker = FakeTracker()
    run_tracks(tracks, tmp_path / "out", tracker, should_stop=lambda: len(tracker.calls) >= stop_after, chunk_frames=8)
    summary = run_tracks(tracks, tmp_path / "out", chunk_frames=8)
    assert exit_code(summary) == 0
    rows = rows_of(tmp_path / "out")
    tracked = rows[~rows["interpolated"].astype(bool)]
    assert {name: own["frame_index"].tolist() for name, own in tracked.groupby("object_id")} == expected
    frames = {name: range(found[0], found[-1] + 1) for name, found in expected.items()}
    if interpolates:
        assert {name: own["frame_index"].tolist() for name, own in rows.groupby("object_id")} == {
            name: list(span) for name, span in frames.items()
        }
        pd.testing.assert_series_equal(rows["timestamp_s"], rows["frame_index"] / 25, check_names=False)
    else:
        assert len(rows) == len(tracked)
    assert summary.totals.tracks_done == 4


@pytest.mark.parametrize("prompt", [BoxPrompt(3, (9.0, 9.0, 30.0, 30.0)), EverythingPrompt(3)])
@pytest.mark.parametrize("after", [False, True])
def test_dying_at_any_change_of_storage_changes_no_bit(tmp_path: Path, after: bool, prompt: Prompt) -> None:
    video = write_video(tmp_path, "a", 23)
    last = Track(video=video, object_id="last", prompts=(prompt,), end_frame=14)
    tracks = [box_track(video, "one"), box_track(video, "two", 12, "both"), last]
    run_tracks(tracks, tmp_path / "undisturbed", FakeTracker(batch_matters=True))
    expected = rows_of(tmp_path / "undisturbed")
    for crash_at in range(1, 200):
        output = tmp_path / f"{after}-{crash_at}"
        store = CrashingStore(crash_at, after=after)
        with suppress(Crash):
            run_tracks(tracks, output, store=store, make_pool=inline(output, store), num_transfers=1)
        tracker = FakeTracker(batch_matters=True)
        summary = run_tracks(
            tracks, output, make_pool=inline(output, storage, tracker), num_transfers=1, stale_after_s=0
        )
        assert exit_code(summary) == 0, crash_at
        pd.testing.assert_frame_equal(rows_of(output), expected)
        assert not storage.list_names(str(output / "_work")), crash_at
        if not store.has_crashed:
            assert crash_at > 20
            assert not tracker.calls
            return
    raise AssertionError("the run never came to its end")


def inline(output: Path, store: Store, tracker: FakeTracker | None = None) -> Callable[[], Pool]:
    return lambda: InlinePool(make_replica(str(output), tracker or FakeTracker(batch_matters=True), store))


def test_two_objects_with_the_same_prompts_are_two_tracks(tmp_path: Path) -> None:
    video = write_video(tmp_path, "a", 25)
    summary = run_tracks([box_track(video, name) for name in "xy"], tmp_path / "out", max_tracks_per_shard=1)
    assert exit_code(summary) == 0
    rows = rows_of(tmp_path / "out")
    assert list(rows.groupby("object_id").size()) == [25, 25]


def test_only_what_is_new_or_stale_is_computed(tmp_path: Path) -> None:
    video, other = write_video(tmp_path, "a", 25), write_video(tmp_path, "b", 25)
    tracks = [box_track(video, "x"), box_track(other, "x")]
    run_tracks(tracks, tmp_path / "out")
    write_video(tmp_path, "b", 27)
    tracker = FakeTracker()
    summary = run_tracks([*tracks, box_track(video, "new")], tmp_path / "out", tracker)
    assert {(video_id, names) for video_id, *_, names in tracker.calls} == {("a", ("new",)), ("b", ("x",))}
    assert (summary.totals.tracks_skipped, summary.totals.tracks_done) == (1, 3)
    stale = replace(RECIPE, weights_digest="d1")
    assert run_tracks(tracks, tmp_path / "out", recipe=stale).totals.tracks_skipped == 0


def test_a_deleted_table_is_made_again(tmp_path: Path) -> None:
    tracks = [box_track(write_video(tmp_path, "a", 25), name) for name in "xy"]
    run_tracks(tracks, tmp_path / "out")
    (tmp_path / "out/masks/a/x.parquet").unlink()
    assert run_tracks(tracks, tmp_path / "out").totals.tracks_skipped == 1
    assert len(rows_of(tmp_path / "out")) == 50


def test_what_is_done_stays_done_when_its_video_is_gone(tmp_path: Path) -> None:
    track = box_track(write_video(tmp_path, "a", 25), "x")
    run_tracks([track], tmp_path / "out")
    Path(track.video.uri).unlink()
    assert exit_code(run_tracks([track], tmp_path / "out")) == 0
    assert exit_code(run_tracks([track, box_track(track.video, "y")], tmp_path / "out")) == 3


def test_saved_work_that_is_no_longer_needed_is_removed(tmp_path: Path) -> None:
    track = box_track(write_video(tmp_path, "a", 45), "x")
    tracker = FakeTracker()
    run_tracks([track], tmp_path / "out", tracker, should_stop=lambda: len(tracker.calls) >= 2)
    (name,) = storage.list_names(str(tmp_path / "out/_work"))
    again = FakeTracker()
    changed = box_track(track.video, "x", 1)
    run_tracks([changed], tmp_path / "out", again, should_stop=lambda: len(again.calls) >= 2)
    (other,) = storage.list_names(str(tmp_path / "out/_work"))
    assert other != name


def test_another_chunk_length_begins_unfinished_tracks_again(tmp_path: Path) -> None:
    track = box_track(write_video(tmp_path, "a", 45), "x")
    tracker = FakeTracker()
    run_tracks([track], tmp_path / "undisturbed")
    run_tracks([track], tmp_path / "out", tracker, should_stop=lambda: len(tracker.calls) >= 3)
    again = FakeTracker()
    run_tracks([track], tmp_path / "out", again, chunk_frames=7)
    assert again.calls[0][2] == range(7)
    pd.testing.assert_frame_equal(rows_of(tmp_path / "out"), rows_of(tmp_path / "undisturbed"))


class HangingPool:
    """One replica, which takes an order and never answers."""

    def __init__(self) -> None:
        self.events: list[PoolEvent] = [ReplicaReady("r1")]

    def submit(self, replica_id: str, order: Order) -> None:
        pass

    def wait(self, timeout_s: float) -> list[PoolEvent]:
        events, self.events = self.events, []
        return events

    def replace(self, replica_id: str) -> None:
        raise AssertionError("it is not idle")

    def close(self) -> None:
        pass


def test_a_run_says_whose_answer_it_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samurai_batch.runtime.run_stats.SILENT_AFTER_S", 0.0)
    shown: list[str] = []
    monkeypatch.setattr(NoProgress, "show", lambda self, progress: shown.append(progress.waiting_for))
    tracks = [box_track(write_video(tmp_path, "a", 9), "x")]
    summary = run_tracks(tracks, tmp_path / "out", make_pool=HangingPool, should_stop=lambda: any(shown))
    assert summary.status == "interrupted"
    assert "an answer of r1, which is on video a" in shown
