"""A replica that is asked to stop."""

from dataclasses import replace
from pathlib import Path

from samurai_batch.planning.orders import OrderFailed, PropagateOrder
from samurai_batch.tasks import Track
from tests.runtime.fakes import FakeTracker, box_track, make_replica, write_video

NUM_FRAMES = 25


def order_of(*tracks: Track, chunk: int, reverse: bool = False) -> PropagateOrder:
    legs = tuple(
        replace(leg, fingerprint=track.object_id) for track in tracks for leg in track.legs if leg.reverse == reverse
    )
    return PropagateOrder(
        order_id=chunk,
        video=tracks[0].video,
        reverse=reverse,
        chunk=chunk,
        chunk_frames=10,
        num_frames=NUM_FRAMES,
        legs=legs,
    )


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
