"""Tracks that begin with the memories of others, with a tracker whose rows show any state that is wrong or missing."""

import random
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from samurai_batch import storage
from samurai_batch.ledger.schema import TrackEntry
from samurai_batch.ledger.status import exit_code
from samurai_batch.ledger.store import read_video_ledger
from samurai_batch.prompts import BoxPrompt, DiscoverPrompt, EverythingPrompt, FromVideoPrompt
from samurai_batch.storage import as_one
from samurai_batch.tasks import Track, Video
from tests.runtime.crashes import Crash, CrashingStore
from tests.runtime.discovery_world import WORLD
from tests.runtime.fakes import FakeTracker, InlinePool, box_track, make_replica, rows_of, run_tracks, write_video


def carried(video: Video, object_id: str, source: str, source_object: str = "", frame: int = 0) -> Track:
    return Track(video=video, object_id=object_id, prompts=(FromVideoPrompt(frame, source, source_object),))


def videos(folder: Path) -> tuple[Video, Video, Video]:
    return write_video(folder, "a", 23), write_video(folder, "b", 14), write_video(folder, "c", 31)


def entry(output: Path, video_id: str, object_id: str = "x") -> TrackEntry:
    ledger = read_video_ledger(storage, str(output), video_id)
    assert ledger is not None
    return ledger.tracks[object_id]


def propagated(tracker: FakeTracker) -> list[tuple[str, str]]:
    """Video and object of each track that was propagated, in the order in which they began."""
    return list(dict.fromkeys((video_id, name) for video_id, _, _, names in tracker.calls for name in names))


def test_a_track_begins_after_its_source_whatever_the_order_of_the_prompts(tmp_path: Path) -> None:
    a, b, c = videos(tmp_path)
    tracks = [carried(c, "x", "b", frame=3), carried(b, "x", "a"), box_track(a, "x", 5, "both"), box_track(c, "y")]
    tracker = FakeTracker()
    summary = run_tracks(tracks, tmp_path / "out", tracker, num_replicas=2)
    assert exit_code(summary) == 0
    assert (summary.totals.tracks, summary.totals.tracks_done) == (4, 4)
    assert [one for one in propagated(tracker) if one[1] == "x"] == [("a", "x"), ("b", "x"), ("c", "x")]
    rows = rows_of(tmp_path / "out")
    of_c = rows[(rows["video_id"] == "c") & (rows["object_id"] == "x")]
    assert of_c["frame_index"].tolist() == [*range(3, 31)]
    assert not of_c["prompted"].any(), "no prompt says where the object is"
    again = FakeTracker()
    run_tracks(tracks, tmp_path / "out", again)
    assert not again.calls


def test_rows_depend_on_the_memories_of_the_source(tmp_path: Path) -> None:
    a, b, _ = videos(tmp_path)
    for name, frame in (("one", 0), ("two", 1)):
        run_tracks([box_track(a, "x", frame), carried(b, "x", "a")], tmp_path / name)
    one, two = (rows_of(tmp_path / name) for name in ("one", "two"))
    of_b = [rows[rows["video_id"] == "b"]["mask_score"].tolist() for rows in (one, two)]
    assert not set(of_b[0]) & set(of_b[1])


def test_killed_at_any_change_it_goes_on_with_the_rows_of_an_undisturbed_run(tmp_path: Path) -> None:
    a, b, c = videos(tmp_path)
    tracks = [box_track(a, "x"), carried(b, "x", "a"), carried(b, "y", "a", "x"), carried(c, "x", "b")]
    run_tracks(tracks, tmp_path / "undisturbed")
    expected, output = rows_of(tmp_path / "undisturbed"), tmp_path / "out"
    for crash_at in range(1, 200):
        shutil.rmtree(output, ignore_errors=True)
        store = CrashingStore(crash_at, after=crash_at % 2 == 0)
        with suppress(Crash):
            pool = InlinePool(make_replica(str(output), FakeTracker(), store))
            run_tracks(tracks, output, store=store, make_pool=lambda pool=pool: pool, num_transfers=1)  # type: ignore[misc]
        summary = run_tracks(tracks, output, num_transfers=1, stale_after_s=0)
        assert exit_code(summary) == 0, crash_at
        pd.testing.assert_frame_equal(rows_of(output), expected)
        if not store.has_crashed:
            assert crash_at > 40
            return
    raise AssertionError("the run never came to its end")


def test_a_source_that_fails_fails_what_begins_with_it_until_it_is_there(tmp_path: Path) -> None:
    a, b, c = videos(tmp_path)
    tracks = [
        box_track(a, "x"),
        carried(b, "x", "a"),
        carried(c, "x", "b"),
        box_track(b, "y"),
        carried(a, "y", "c", "x"),
    ]
    Path(a.uri).rename(tmp_path / "away")
    summary = run_tracks(tracks, tmp_path / "out")
    assert exit_code(summary) == 3
    assert (summary.totals.tracks, summary.totals.tracks_failed) == (5, 4)
    why = f"it begins with the memories of object 'x' of video 'a', which has failed: {a.uri} does not exist"
    assert entry(tmp_path / "out", "b").error == why
    assert entry(tmp_path / "out", "c").error == (
        "it begins with the memories of object 'x' of video 'b', which has failed with object 'x' of video 'a',"
        f" which has failed: {a.uri} does not exist"
    )
    (tmp_path / "away").rename(a.uri)
    assert exit_code(run_tracks(tracks, tmp_path / "out")) == 0
    run_tracks(tracks, tmp_path / "undisturbed")
    pd.testing.assert_frame_equal(rows_of(tmp_path / "out"), rows_of(tmp_path / "undisturbed"))


def test_what_is_published_stays_while_the_video_of_its_source_is_away(tmp_path: Path) -> None:
    a, b, _ = videos(tmp_path)
    tracks = [box_track(a, "x"), carried(b, "x", "a")]
    run_tracks(tracks, tmp_path / "out")
    Path(a.uri).rename(tmp_path / "away")
    tracker = FakeTracker()
    assert exit_code(run_tracks(tracks, tmp_path / "out", tracker)) == 0
    assert not tracker.calls


def test_a_source_with_other_prompts_or_settings_is_computed_again_with_all_that_begins_with_it(tmp_path: Path) -> None:
    a, b, c = videos(tmp_path)
    tracks = [box_track(a, "x"), carried(b, "x", "a"), carried(c, "x", "b"), box_track(c, "y")]
    run_tracks(tracks, tmp_path / "out")
    changed = [replace(tracks[0], prompts=(BoxPrompt(0, (1.0, 1.0, 20.0, 20.0)),)), *tracks[1:]]
    tracker = FakeTracker()
    assert exit_code(run_tracks(changed, tmp_path / "out", tracker)) == 0
    assert propagated(tracker) == [("a", "x"), ("b", "x"), ("c", "x")]
    run_tracks(changed, tmp_path / "undisturbed")
    pd.testing.assert_frame_equal(rows_of(tmp_path / "out"), rows_of(tmp_path / "undisturbed"))
    kept = [path.parent.parent.name for path in (tmp_path / "out/_states").rglob("*.state")]
    assert sorted(kept) == ["a", "b"], "those of the tables before are gone"


def test_where_nothing_is_kept_all_replaced_tracks_take_one_listing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, list_names = list[str](), storage.list_names

    def listing(uri: str) -> list[str]:
        listed.append(uri)
        return list_names(uri)

    monkeypatch.setattr(storage, "list_names", listing)
    tracks = [box_track(video, name) for video in videos(tmp_path) for name in "xy"]
    run_tracks(tracks, tmp_path / "out")
    assert not [uri for uri in listed if "_states" in uri], "nothing was replaced"
    run_tracks([replace(one, prompts=(BoxPrompt(0, (1.0, 1.0, 20.0, 20.0)),)) for one in tracks], tmp_path / "out")
    assert [uri for uri in listed if "_states" in uri] == [str(tmp_path / "out/_states")]


def test_memories_that_were_not_kept_have_their_track_computed_again_once(tmp_path: Path) -> None:
    a, b, _ = videos(tmp_path)
    run_tracks([box_track(a, "x"), box_track(a, "y")], tmp_path / "out")
    assert not (tmp_path / "out/_states").exists()
    tracks = [box_track(a, "x"), box_track(a, "y"), carried(b, "x", "a")]
    tracker = FakeTracker()
    assert exit_code(run_tracks(tracks, tmp_path / "out", tracker)) == 0
    assert propagated(tracker) == [("a", "x"), ("b", "x")]
    shutil.rmtree(tmp_path / "out/_states")
    tracker = FakeTracker()
    run_tracks(tracks, tmp_path / "out", tracker)
    assert not tracker.calls, "nothing needs them now"


def test_with_keep_memories_a_later_run_begins_with_tracks_that_are_not_among_its_prompts(tmp_path: Path) -> None:
    a, b, _ = videos(tmp_path)
    run_tracks([box_track(a, "x")], tmp_path / "out", keep_memories=True)
    tracker = FakeTracker()
    assert exit_code(run_tracks([carried(b, "x", "a")], tmp_path / "out", tracker)) == 0
    assert propagated(tracker) == [("b", "x")]
    run_tracks([box_track(a, "x"), carried(b, "x", "a")], tmp_path / "undisturbed")
    pd.testing.assert_frame_equal(rows_of(tmp_path / "out"), rows_of(tmp_path / "undisturbed"))


def test_an_object_that_a_prompt_detects_can_be_carried_over(tmp_path: Path) -> None:
    a, b, _ = videos(tmp_path)
    found = Track(video=a, object_id="all", prompts=(EverythingPrompt(2),))
    tracks = [carried(b, "x", "a", "all#1"), carried(b, "y", "a", "all#7"), found]
    assert exit_code(run_tracks(tracks, tmp_path / "out")) == 3
    assert entry(tmp_path / "out", "b").status == "done"
    assert entry(tmp_path / "out", "b", "y").error == (
        "it begins with the memories of object 'all#7' of video 'a', which a prompt of this job has not detected"
    )
    tracker = FakeTracker()
    run_tracks(tracks, tmp_path / "out", tracker)
    assert not tracker.calls


def test_two_videos_may_carry_tracks_over_to_each_other(tmp_path: Path) -> None:
    a, b, _ = videos(tmp_path)
    tracks = [box_track(a, "x"), carried(b, "x", "a"), carried(a, "y", "b", "x"), carried(b, "y", "a")]
    tracker = FakeTracker()
    assert exit_code(run_tracks(tracks, tmp_path / "out", tracker)) == 0
    assert propagated(tracker) == [("a", "x"), ("b", "x"), ("a", "y"), ("b", "y")]


@pytest.mark.parametrize("lengths", [(13, 20), (13, 20, 16)])
def test_several_files_as_one_video_begin_with_memories_and_go_on_in_added_files(
    tmp_path: Path, lengths: tuple[int, ...]
) -> None:
    a, _, _ = videos(tmp_path)
    files = [write_video(tmp_path, f"f{at}", length).uri for at, length in enumerate((13, 20, 16))]
    tracks = [box_track(a, "x"), carried(Video("cam", as_one(files[:2])), "x", "a")]
    run_tracks(tracks, tmp_path / "out")
    tracker = FakeTracker()
    tracks[1] = replace(tracks[1], video=Video("cam", as_one(files[: len(lengths)])))
    assert exit_code(run_tracks(tracks, tmp_path / "out", tracker)) == 0
    assert {frames.start for _, _, frames, _ in tracker.calls} == ({30, 40} if len(lengths) == 3 else set())
    run_tracks(tracks, tmp_path / "undisturbed")
    pd.testing.assert_frame_equal(rows_of(tmp_path / "out"), rows_of(tmp_path / "undisturbed"))


def test_a_truncated_source_is_carried_over_where_the_job_keeps_partial_tracks(tmp_path: Path) -> None:
    a, b = write_video(tmp_path, "a", 23, missing_from=17), write_video(tmp_path, "b", 14)
    tracks = [box_track(a, "x"), carried(b, "x", "a")]
    assert exit_code(run_tracks(tracks, tmp_path / "out")) == 3
    assert entry(tmp_path / "out", "b").status == "failed"
    run_tracks(tracks, tmp_path / "out", keep_partial=True)
    assert (entry(tmp_path / "out", "a").status, entry(tmp_path / "out", "b").status) == ("partial", "done")


def test_an_object_that_was_discovered_can_be_carried_over_at_once_or_later(tmp_path: Path) -> None:
    video, b = write_video(tmp_path, "v", 60), write_video(tmp_path, "b", 14)
    found = Track(video=video, object_id="d", prompts=(DiscoverPrompt(0, (), "a table"),))
    tracks = [found, carried(b, "x", "v", "d#person-30-0"), carried(b, "y", "v", "d#car-0-7")]
    seen = WORLD.detections("v", 60, random.Random(3), 0.0)

    def run(output: Path, of_job: list[Track]) -> FakeTracker:
        tracker = FakeTracker(mask_of=lambda track, at: WORLD.mask_of(track, at) if track.origin else None)
        run_tracks(of_job, output, tracker, detections=seen)
        return tracker

    run(tmp_path / "at once", tracks)
    run(tmp_path / "later", [found])
    assert propagated(run(tmp_path / "later", tracks)) == [("v", "d#person-30-0"), ("b", "x")]
    assert not run(tmp_path / "later", tracks).calls
    pd.testing.assert_frame_equal(rows_of(tmp_path / "at once"), rows_of(tmp_path / "later"))
    assert "has not detected" in (entry(tmp_path / "later", "b", "y").error or "")
