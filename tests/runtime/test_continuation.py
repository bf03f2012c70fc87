"""Tracks that go on in added files, with a tracker whose rows show any frame that is skipped, repeated or misplaced."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pandas as pd

from samurai_batch import storage
from samurai_batch.ledger.status import exit_code
from samurai_batch.ledger.store import Store
from samurai_batch.prompts import EverythingPrompt
from samurai_batch.runtime.pool import Pool
from samurai_batch.storage import as_one
from samurai_batch.tasks import Track, Video
from tests.runtime.crashes import Crash, CrashingStore
from tests.runtime.fakes import FakeTracker, InlinePool, box_track, make_replica, rows_of, write_video
from tests.runtime.fakes import run_tracks as run

LENGTHS = (13, 20, 16)  # in chunks of 10 frames: the first two files end in chunk 3, and all in chunk 4


def files_as_video(folder: Path, num_files: int) -> Video:
    """The first files of a camera; each is written once, as a file that is written again has changed."""
    paths = [folder / f"f{at}.json" for at in range(num_files)]
    for path, num_frames in zip(paths, LENGTHS[:num_files], strict=True):
        if not path.exists():
            write_video(folder, path.stem, num_frames)
    return Video("cam", as_one([str(path) for path in paths]))


def tracks_of(video: Video) -> list[Track]:
    return [
        box_track(video, "first"),
        box_track(video, "late", 32),
        box_track(video, "back", 17, "backward"),
        Track(video=video, object_id="all", prompts=(EverythingPrompt(4),)),
    ]


def inline(output: Path, store: Store, tracker: FakeTracker | None = None) -> Callable[[], Pool]:
    return lambda: InlinePool(make_replica(str(output), tracker or FakeTracker(), store))


def test_each_track_goes_on_from_its_own_border_and_detected_ones_as_well(tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert exit_code(run(tracks_of(files_as_video(tmp_path, 2)), output)) == 0
    tracker = FakeTracker()
    tracks = tracks_of(files_as_video(tmp_path, 3))
    assert exit_code(run(tracks, output, tracker)) == 0
    run(tracks, tmp_path / "undisturbed")
    pd.testing.assert_frame_equal(rows_of(output), rows_of(tmp_path / "undisturbed"))
    forward = {
        name: frames.start for _, reverse, frames, names in reversed(tracker.calls) if not reverse for name in names
    }
    assert forward == {"first": 30, "all#0": 30, "all#1": 30, "late": 30}, "late begins in the chunk that was cut short"


def test_killed_at_any_change_it_goes_on_with_the_rows_of_an_undisturbed_run(tmp_path: Path) -> None:
    first, tracks = tracks_of(files_as_video(tmp_path, 2)), tracks_of(files_as_video(tmp_path, 3))
    run(first, tmp_path / "day1", make_pool=inline(tmp_path / "day1", storage))
    run(tracks, tmp_path / "undisturbed")
    expected = rows_of(tmp_path / "undisturbed")
    for crash_at in range(1, 200):
        output = tmp_path / "out"
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(tmp_path / "day1", output)
        store = CrashingStore(crash_at, after=False)
        with suppress(Crash):
            run(tracks, output, store=store, make_pool=inline(output, store), num_transfers=1)
        tracker = FakeTracker()
        pool = inline(output, storage, tracker)
        assert exit_code(run(tracks, output, make_pool=pool, num_transfers=1, stale_after_s=0)) == 0, crash_at
        pd.testing.assert_frame_equal(rows_of(output), expected)
        assert not any("first" in names and frames.start < 30 for _, _, frames, names in tracker.calls), crash_at
        kept = sorted(path.parent.name for path in (output / "_states").rglob("*.state"))
        assert kept == ["all%230", "all%231", "first", "late"], crash_at
        if not store.has_crashed:
            assert crash_at > 20
            assert not tracker.calls
            return
    raise AssertionError("the run never came to its end")


def test_a_damaged_state_or_another_table_has_its_track_start_again(tmp_path: Path) -> None:
    output = tmp_path / "out"
    run([box_track(files_as_video(tmp_path, 2), name) for name in "ab"], output)
    for path in (output / "_states/cam/a").iterdir():
        path.unlink()
    table = output / "masks/cam/b.parquet"
    table.write_bytes((output / "masks/cam/a.parquet").read_bytes())  # of another fingerprint
    tracks = [box_track(files_as_video(tmp_path, 3), name) for name in "ab"]
    tracker = FakeTracker()
    assert exit_code(run(tracks, output, tracker)) == 0
    run(tracks, tmp_path / "undisturbed")
    pd.testing.assert_frame_equal(rows_of(output), rows_of(tmp_path / "undisturbed"))
    begun = [name for _, _, frames, names in tracker.calls for name in names if frames.start == 0]
    assert sorted(begun) == ["a", "b"]


def test_a_file_that_ends_early_fails_the_track_which_continues_once_it_is_whole(tmp_path: Path) -> None:
    output = tmp_path / "out"
    run([box_track(files_as_video(tmp_path, 2), "a")], output)
    tracks = [box_track(files_as_video(tmp_path, 3), "a")]
    write_video(tmp_path, "f2", LENGTHS[2], missing_from=3)
    assert exit_code(run(tracks, output)) == 3
    write_video(tmp_path, "f2", LENGTHS[2])
    tracker = FakeTracker()
    assert exit_code(run(tracks, output, tracker)) == 0
    assert [frames.start for _, _, frames, _ in tracker.calls] == [30, 40]
    run(tracks, tmp_path / "undisturbed")
    pd.testing.assert_frame_equal(rows_of(output), rows_of(tmp_path / "undisturbed"))


def test_with_another_chunk_length_a_track_goes_on_only_at_a_border_of_both(tmp_path: Path) -> None:
    first, tracks = ([box_track(files_as_video(tmp_path, count), "a")] for count in (2, 3))
    for chunk_frames, begins in ((5, 30), (15, 30), (8, 0)):
        output = tmp_path / str(chunk_frames)
        run(first, output)
        tracker = FakeTracker()
        assert exit_code(run(tracks, output, tracker, chunk_frames=chunk_frames)) == 0
        assert tracker.calls[0][2].start == begins
        run(tracks, tmp_path / f"{chunk_frames}-undisturbed")
        pd.testing.assert_frame_equal(rows_of(output), rows_of(tmp_path / f"{chunk_frames}-undisturbed"))
