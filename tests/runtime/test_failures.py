from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest

from samurai_batch import storage
from samurai_batch.errors import OutputLockedError, PromptError, SamuraiBatchError
from samurai_batch.ledger.lease import this_process
from samurai_batch.ledger.schema import TrackEntry
from samurai_batch.ledger.status import exit_code
from samurai_batch.ledger.store import read_video_ledger
from samurai_batch.masks import read_masks
from samurai_batch.planning.orders import Order
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.prompts import BoxPrompt
from samurai_batch.runtime.pool import Answered, PoolEvent, PoolFailed, ReplicaDied, ReplicaReady
from samurai_batch.runtime.replica import Replica
from samurai_batch.tasks import Leg, Track, Video
from tests.runtime.fakes import FakeTracker, box_track, make_replica, run_tracks, write_video


def entry_of(output: Path, track: Track) -> TrackEntry:
    ledger = read_video_ledger(storage, str(output), track.video.video_id)
    assert ledger is not None
    return ledger.tracks[track.object_id]


def frames_of(output: Path, track: Track) -> list[int]:
    rows = read_masks(str(output), videos=[track.video.video_id], objects=[track.object_id])
    return list(rows["frame_index"])


def test_videos_that_cannot_be_read_fail_their_tracks_and_no_others(tmp_path: Path) -> None:
    good = box_track(write_video(tmp_path, "good", 15), "x")
    broken = box_track(write_video(tmp_path, "broken", 15, broken=True), "x")
    missing = box_track(Video("missing", str(tmp_path / "missing.json")), "x")
    out = tmp_path / "out"
    summary = run_tracks([broken, missing, good], out)
    assert exit_code(summary) == 3
    assert {problem.video_id: problem.error for problem in summary.problems} == {
        "broken": f"{broken.video.uri} is not a video",
        "missing": f"{missing.video.uri} does not exist",
    }
    assert entry_of(out, good).status == "done"
    assert entry_of(out, missing).error_kind is FailureKind.VIDEO
    assert not storage.list_names(str(out / "_work"))


def test_failed_tracks_are_tried_again_by_the_next_run(tmp_path: Path) -> None:
    track = box_track(write_video(tmp_path, "a", 15, broken=True), "x")
    assert exit_code(run_tracks([track], tmp_path / "out")) == 3
    write_video(tmp_path, "a", 15)
    assert exit_code(run_tracks([track], tmp_path / "out")) == 0
    assert entry_of(tmp_path / "out", track).error is None


def test_a_truncated_video_fails_the_tracks_that_reach_its_end(tmp_path: Path) -> None:
    video = write_video(tmp_path, "a", 40, missing_from=23)
    through = box_track(video, "through")
    short = box_track(video, "short", end_frame=20)
    back = box_track(video, "back", 15, "backward")
    out = tmp_path / "out"
    summary = run_tracks([through, short, back], out)
    assert [(problem.object_id, problem.error) for problem in summary.problems] == [
        ("through", "the video ends at frame 23")
    ]
    assert entry_of(out, through).frame_reached == 23
    assert not storage.exists(str(out / "masks" / "a" / "through.parquet"))
    assert frames_of(out, short) == list(range(21))
    assert frames_of(out, back) == list(range(16))


@pytest.mark.parametrize("missing_from", [1, 9, 10, 11, 23, 39])
def test_a_truncated_video_keeps_its_rows_if_the_job_says_so(tmp_path: Path, missing_from: int) -> None:
    video = write_video(tmp_path, "a", 40, missing_from=missing_from)
    track = box_track(video, "x", direction="both")
    out = tmp_path / "out"
    summary = run_tracks([track], out, keep_partial=True)
    assert exit_code(summary) == 3
    assert frames_of(out, track) == list(range(missing_from))
    assert entry_of(out, track).status == "partial"
    again = run_tracks([track], out, keep_partial=True)
    assert exit_code(again) == 3
    assert again.totals.tracks_skipped == 1
    run_tracks([track], out, keep_partial=False)
    assert entry_of(out, track).status == "failed"
    assert not storage.exists(str(out / "masks" / "a" / "x.parquet"))


def test_what_is_kept_of_a_truncated_video_stays_when_the_video_is_gone(tmp_path: Path) -> None:
    track = box_track(write_video(tmp_path, "a", 40, missing_from=23), "x")
    run_tracks([track], tmp_path / "out", keep_partial=True)
    Path(track.video.uri).unlink()
    assert exit_code(run_tracks([track], tmp_path / "out", keep_partial=True)) == 3
    assert entry_of(tmp_path / "out", track).status == "partial"
    assert frames_of(tmp_path / "out", track) == list(range(23))


def test_a_track_that_needs_a_missing_frame_backwards_is_not_kept(tmp_path: Path) -> None:
    track = box_track(write_video(tmp_path, "a", 40, missing_from=23), "x", 30, "backward")
    summary = run_tracks([track], tmp_path / "out", keep_partial=True)
    assert [problem.status for problem in summary.problems] == ["failed"]


def test_prompts_that_do_not_fit_their_video_fail_alone_and_before_any_work(tmp_path: Path) -> None:
    video = write_video(tmp_path, "a", 15)
    outside = Track(video=video, object_id="outside", prompts=(BoxPrompt(0, (100.0, 0.0, 120.0, 9.0)),))
    tracks = [box_track(video, "late", 15), outside, box_track(video, "span", end_frame=15), box_track(video, "good")]
    tracker = FakeTracker()
    summary = run_tracks(tracks, tmp_path / "out", tracker)
    assert {problem.object_id: problem.error for problem in summary.problems} == {
        "late": "the prompt on frame 15 lies after the video's last frame, 14",
        "outside": "the prompt on frame 0 has box_xyxy [100.0, 0.0, 120.0, 9.0], all of it outside a picture of "
        "64x48 pixels",
        "span": "end_frame 15 lies after the video's last frame, 14; leave end_frame empty for the end of the video",
    }
    assert {names for *_, names in tracker.calls} == {("good",)}


def failing_on(object_id: str, error: type[Exception]) -> Callable[[int, Sequence[Leg]], None]:
    def before_frame(index: int, legs: Sequence[Leg]) -> None:
        if any(leg.track.object_id == object_id for leg in legs) and index == 12:
            raise error("boom")

    return before_frame


@pytest.mark.parametrize("error", [PromptError, ValueError])
def test_one_track_at_fault_does_not_take_the_others_with_it(tmp_path: Path, error: type[Exception]) -> None:
    video = write_video(tmp_path, "a", 25)
    tracks = [box_track(video, name) for name in ("p", "q", "bad", "r")]
    out = tmp_path / "out"
    summary = run_tracks(tracks, out, FakeTracker(before_frame=failing_on("bad", error)))
    assert [problem.object_id for problem in summary.problems] == ["bad"]
    assert "boom" in summary.problems[0].error
    for track in tracks:
        if track.object_id != "bad":
            assert frames_of(out, track) == list(range(25))
    assert not storage.list_names(str(out / "_work"))


def test_a_shard_too_large_for_memory_is_split_until_it_fits(tmp_path: Path) -> None:
    video = write_video(tmp_path, "a", 25)

    def too_many(index: int, legs: Sequence[Leg]) -> None:
        if len(legs) > 2:
            raise MemoryError

    tracker = FakeTracker(before_frame=too_many)
    tracks = [box_track(video, f"t{number}") for number in range(5)]
    summary = run_tracks(tracks, tmp_path / "out", tracker, max_tracks_per_shard=8)
    assert exit_code(summary) == 0
    assert {len(names) for *_, names in tracker.calls[1:]} == {1, 2, 3}


def test_one_track_too_large_for_memory_fails_with_that_reason(tmp_path: Path) -> None:
    def never(index: int, legs: Sequence[Leg]) -> None:
        raise MemoryError

    track = box_track(write_video(tmp_path, "a", 5), "x")
    run_tracks([track], tmp_path / "out", FakeTracker(before_frame=never))
    entry = entry_of(tmp_path / "out", track)
    assert entry.error_kind is FailureKind.OUT_OF_MEMORY
    assert entry.attempts == 4
    assert entry.error == "propagating frames 0 to 4 failed 3 times, the last time with: the device ran out of memory"


def test_damaged_saved_work_is_computed_again(tmp_path: Path) -> None:
    track = box_track(write_video(tmp_path, "a", 45), "x")
    tracker = FakeTracker()
    run_tracks([track], tmp_path / "undisturbed")
    out = tmp_path / "out"
    run_tracks([track], out, tracker, should_stop=lambda: len(tracker.calls) >= 3)
    (folder,) = (out / "_work").iterdir()
    (folder / "forward-10x0.parquet").write_bytes(b"")
    assert exit_code(run_tracks([track], out)) == 0
    pd.testing.assert_frame_equal(read_masks(str(out)), read_masks(str(tmp_path / "undisturbed")))


DIED, LOST, PREEMPTED = FailureKind.DIED, FailureKind.LOST, FailureKind.PREEMPTED


class DyingPool:
    """Replicas of which every one dies over the orders that ``kills`` picks; another takes its place at once."""

    def __init__(self, replica: Replica, kills: Callable[[Order], bool], kind: FailureKind = DIED) -> None:
        self._replica = replica
        self._kills = kills
        self._failure = Failure(kind, "killed")
        self.num_deaths = 0
        self._events: list[PoolEvent] = [ReplicaReady("r0")]

    def submit(self, replica_id: str, order: Order) -> None:
        report = self._replica.run(order)  # done, but not told: the worst moment to die
        if self._kills(order):
            self.num_deaths += 1
            self._events += [
                ReplicaDied(replica_id, self._failure),
                ReplicaReady(f"r{self.num_deaths}"),
                Answered(replica_id, report),  # and late
            ]
        else:
            self._events += [Answered(replica_id, report), Answered(replica_id, report)]  # and twice

    def wait(self, timeout_s: float) -> list[PoolEvent]:
        events, self._events = self._events, []
        return events

    def replace(self, replica_id: str) -> None:
        self._events.append(ReplicaReady(f"after {replica_id}"))

    def close(self) -> None:
        pass


def test_work_of_a_dead_replica_is_done_again_elsewhere(tmp_path: Path) -> None:
    tracks = [
        box_track(write_video(tmp_path, "a", 45), "x"),
        box_track(write_video(tmp_path, "b", 45), "x", 20, "both"),
    ]
    run_tracks(tracks, tmp_path / "undisturbed")
    out = tmp_path / "out"
    pool = DyingPool(make_replica(str(out), FakeTracker()), lambda order: order.order_id % 3 == 0)
    summary = run_tracks(tracks, out, make_pool=lambda: pool)
    assert exit_code(summary) == 0
    assert summary.totals.replicas_lost == pool.num_deaths > 3
    pd.testing.assert_frame_equal(read_masks(str(out)), read_masks(str(tmp_path / "undisturbed")))


def test_a_chunk_that_kills_three_replicas_is_given_up(tmp_path: Path) -> None:
    poison, good = box_track(write_video(tmp_path, "a", 45), "x"), box_track(write_video(tmp_path, "b", 15), "x")
    out = tmp_path / "out"
    pool = DyingPool(make_replica(str(out), FakeTracker()), lambda order: getattr(order, "chunk", 0) == 2)
    summary = run_tracks([poison, good], out, make_pool=lambda: pool)
    assert pool.num_deaths == 3
    assert [problem.error for problem in summary.problems] == [
        "propagating frames 20 to 29 ended 3 replicas, the last one with: killed"
    ]
    assert entry_of(out, good).status == "done"


def test_preempted_replicas_do_not_count(tmp_path: Path) -> None:
    track = box_track(write_video(tmp_path, "a", 15), "x")
    out = tmp_path / "out"
    pool = DyingPool(make_replica(str(out), FakeTracker()), lambda order: pool.num_deaths < 50, PREEMPTED)
    assert exit_code(run_tracks([track], out, make_pool=lambda: pool)) == 0
    assert entry_of(out, track).attempts == 1


def test_replicas_lost_with_their_nodes_count_a_third(tmp_path: Path) -> None:
    track = box_track(write_video(tmp_path, "a", 15), "x")
    out = tmp_path / "out"
    pool = DyingPool(make_replica(str(out), FakeTracker()), lambda order: pool.num_deaths < 8, LOST)
    assert exit_code(run_tracks([track], out, make_pool=lambda: pool)) == 0
    assert entry_of(out, track).attempts == 9


def test_a_chunk_that_takes_whole_nodes_with_it_is_given_up(tmp_path: Path) -> None:
    track = box_track(write_video(tmp_path, "a", 45), "x")
    out = tmp_path / "out"
    pool = DyingPool(make_replica(str(out), FakeTracker()), lambda order: getattr(order, "chunk", 0) == 2, LOST)
    summary = run_tracks([track], out, make_pool=lambda: pool)
    assert pool.num_deaths == 9
    assert [problem.error for problem in summary.problems] == [
        "propagating frames 20 to 29 lost 9 replicas, the last one with: killed"
    ]


def test_a_pool_that_cannot_start_says_why_and_keeps_what_is_done(tmp_path: Path) -> None:
    class EmptyPool(DyingPool):
        def wait(self, timeout_s: float) -> list[PoolEvent]:
            return [PoolFailed("no such device")]

    track = box_track(write_video(tmp_path, "a", 15), "x")
    pool = EmptyPool(make_replica(str(tmp_path), FakeTracker()), lambda order: False)
    with pytest.raises(SamuraiBatchError, match="no replica could be started: no such device"):
        run_tracks([track], tmp_path / "out", make_pool=lambda: pool)
    assert exit_code(run_tracks([track], tmp_path / "out")) == 0


def test_a_second_run_on_the_same_output_is_refused_while_the_first_is_alive(tmp_path: Path) -> None:
    track = box_track(write_video(tmp_path, "a", 35), "x")
    out = tmp_path / "out"
    refusals: list[str] = []

    def second_run(index: int, legs: Sequence[Leg]) -> None:
        if index == 20 and not refusals:
            with pytest.raises(OutputLockedError) as caught:
                run_tracks([track], out)
            refusals.append(str(caught.value))

    assert exit_code(run_tracks([track], out, FakeTracker(before_frame=second_run))) == 0
    assert f"(process {this_process().pid} on {this_process().host}) is writing here" in refusals[0]


def test_a_run_that_was_taken_over_stops(tmp_path: Path) -> None:
    track = box_track(write_video(tmp_path, "a", 35), "x")
    out = tmp_path / "out"

    def take_over(index: int, legs: Sequence[Leg]) -> None:
        if index == 20:
            storage.write_bytes(str(out / "_ledger/lease/000000000002.json"), b'{"run_id": "other"}')

    with pytest.raises(OutputLockedError, match="run other has taken this output over"):
        run_tracks([track], out, FakeTracker(before_frame=take_over), heartbeat_s=0.0)
