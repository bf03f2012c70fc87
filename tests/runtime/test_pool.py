import threading
import time
from collections.abc import Callable
from pathlib import Path

from samurai_batch.planning.orders import OrderFailed, PropagateOrder
from samurai_batch.runtime.pool import Answered, LocalPool, PoolFailed, ReplicaReady
from samurai_batch.runtime.replica import Replica
from tests.runtime.fakes import FakeTracker, box_track, make_replica, write_video

LIMIT_S = 300.0
"""Longer than anything here takes on a busy machine."""


def order_in(tmp_path: Path, num_frames: int) -> PropagateOrder:
    track = box_track(write_video(tmp_path, "a", num_frames), "x")
    return PropagateOrder(
        order_id=1,
        video=track.video,
        reverse=False,
        chunk=0,
        chunk_frames=num_frames,
        num_frames=num_frames,
        legs=track.legs,
    )


def build(tracker: FakeTracker, output: Path) -> Callable[[None], Replica]:
    return lambda payload: make_replica(str(output), tracker)


def test_closing_ends_a_running_order_at_its_next_frame_and_saves_nothing(tmp_path: Path) -> None:
    begun = threading.Event()

    def slow(index: int, legs: object) -> None:
        begun.set()
        time.sleep(0.01)

    pool = LocalPool(build(FakeTracker(before_frame=slow), tmp_path / "out"), None, patience_s=LIMIT_S)
    assert pool.wait(LIMIT_S) == [ReplicaReady("local-0")]
    pool.submit("local-0", order_in(tmp_path, 10_000))
    assert begun.wait(LIMIT_S)
    pool.close()
    (event,) = pool.wait(LIMIT_S)
    assert isinstance(event, Answered)
    assert isinstance(event.report, OrderFailed)
    assert not (tmp_path / "out").exists()


def test_waiting_ends_when_the_time_is_up(tmp_path: Path) -> None:
    pool = LocalPool(build(FakeTracker(), tmp_path), None)
    pool.wait(LIMIT_S)
    assert pool.wait(0.01) == []
    pool.close()


def test_a_pool_fails_when_its_last_replica_does_not_start() -> None:
    def broken(payload: None) -> Replica:
        raise RuntimeError("no such device")

    pool = LocalPool(broken, None, num_replicas=2)
    assert pool.wait(LIMIT_S) == [PoolFailed("RuntimeError: no such device")]
    pool.close()
