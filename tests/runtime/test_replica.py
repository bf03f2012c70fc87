"""A replica does not wait for storage: it goes on with the next chunk, and no order can tell."""

from dataclasses import replace
from pathlib import Path

import pytest

from samurai_batch import storage
from samurai_batch.planning.orders import ChunkPropagated, OrderFailed, OrderMember, PropagateOrder, PublishOrder
from samurai_batch.planning.retry import FailureKind
from samurai_batch.runtime.work import part_uri
from samurai_batch.tasks import Track
from tests.runtime.fakes import FakeTracker, box_track, make_replica, write_video

NUM_FRAMES = 25


def order_of(*tracks: Track, chunk: int, reverse: bool = False) -> PropagateOrder:
    members = tuple(
        OrderMember(track, leg, track.object_id) for track in tracks for leg in track.legs if leg.reverse == reverse
    )
    return PropagateOrder(
        order_id=chunk,
        video=tracks[0].video,
        reverse=reverse,
        chunk=chunk,
        chunk_frames=10,
        num_frames=NUM_FRAMES,
        members=members,
    )


@pytest.mark.parametrize("lag", [1, 4, 99])
def test_the_next_chunk_is_begun_while_one_is_written_and_followed_once(tmp_path: Path, lag: int) -> None:
    track = box_track(write_video(tmp_path, "a", NUM_FRAMES), "x")
    frames: list[int] = []
    tracker = FakeTracker(before_frame=lambda index, legs: frames.append(index))
    replica = make_replica(str(tmp_path / "ahead"), tracker, lag=lag)
    plain = make_replica(str(tmp_path / "plain"), FakeTracker())
    for chunk in range(3):
        report = replica.run(order_of(track, chunk=chunk))
        assert isinstance(report, ChunkPropagated)
        assert report.stats.track_frames == min(10, NUM_FRAMES - 10 * chunk)
        assert len(frames) == min(NUM_FRAMES, 10 * (chunk + 1) + min(10, lag))
        assert isinstance(plain.run(order_of(track, chunk=chunk)), ChunkPropagated)
        a, b = (
            storage.read_bytes(part_uri(str(tmp_path / output), "x", False, chunk, 10)) for output in ("ahead", "plain")
        )
        assert a == b
    assert frames == list(range(NUM_FRAMES))


def test_what_was_begun_is_dropped_where_the_next_order_is_another(tmp_path: Path) -> None:
    video = write_video(tmp_path, "a", NUM_FRAMES)
    x, y = box_track(video, "x"), box_track(video, "y")
    frames: list[int] = []
    tracker = FakeTracker(before_frame=lambda index, legs: frames.append(index))
    replica = make_replica(str(tmp_path / "out"), tracker, lag=3)
    assert isinstance(replica.run(order_of(x, y, chunk=0)), ChunkPropagated)
    assert isinstance(replica.run(order_of(x, chunk=1)), ChunkPropagated)  # y was moved to another replica
    assert frames == [*range(10), 10, 11, 12, *range(10, 20), 20, 21, 22]
    assert tracker.calls[-1][-1] == ("x",)


def test_publishing_does_not_drop_it(tmp_path: Path) -> None:
    video = write_video(tmp_path, "a", NUM_FRAMES)
    long, short = box_track(video, "long"), replace(box_track(video, "short"), end_frame=9)
    frames: list[int] = []
    tracker = FakeTracker(before_frame=lambda index, legs: frames.append(index))
    replica = make_replica(str(tmp_path / "out"), tracker, lag=3)
    replica.run(order_of(long, short, chunk=0))
    publish = PublishOrder(
        order_id=9, track=short, fingerprint="short", chunk_frames=10, chunks=((False, 0),), rows=range(10)
    )
    assert not isinstance(replica.run(publish), OrderFailed)
    replica.run(order_of(long, chunk=1))
    assert frames == list(range(23))


def test_what_goes_wrong_ahead_is_told_by_the_order_it_belongs_to(tmp_path: Path) -> None:
    def broken(index: int, legs: object) -> None:
        if index == 12:
            raise MemoryError

    track = box_track(write_video(tmp_path, "a", NUM_FRAMES), "x")
    replica = make_replica(str(tmp_path / "out"), FakeTracker(before_frame=broken), lag=5)
    assert isinstance(replica.run(order_of(track, chunk=0)), ChunkPropagated)
    failed = replica.run(order_of(track, chunk=1))
    assert isinstance(failed, OrderFailed)
    assert failed.failure.kind is FailureKind.OUT_OF_MEMORY


def test_a_stopped_replica_ends_at_its_next_frame(tmp_path: Path) -> None:
    frames: list[int] = []

    def stop(index: int, legs: object) -> None:
        frames.append(index)
        if index == 3:
            replica.stop()

    track = box_track(write_video(tmp_path, "a", NUM_FRAMES), "x")
    replica = make_replica(str(tmp_path / "out"), FakeTracker(before_frame=stop))
    failed = replica.run(order_of(track, chunk=0))
    assert isinstance(failed, OrderFailed)
    assert "being stopped" in failed.failure.message
    assert frames == [0, 1, 2, 3]
