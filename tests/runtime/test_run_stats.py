from dataclasses import replace

from samurai_batch.ledger.schema import ReplicaWork
from samurai_batch.planning.orders import (
    ChunkPropagated,
    OpenOrder,
    OrderFailed,
    PropagateOrder,
    VideoOpened,
)
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.planning.validation import VideoFacts
from samurai_batch.runtime.run_stats import SILENT_AFTER_S, RunStats
from samurai_batch.stats import WorkStats
from samurai_batch.tasks import Video
from tests.ledger.test_lease import FakeClock
from tests.runtime.fakes import box_track

VIDEO = Video("clip", "clip.mp4")
PROPAGATE = PropagateOrder(order_id=2, video=VIDEO, reverse=False, chunk=0, chunk_frames=9, num_frames=9, legs=())
PROPAGATED = ChunkPropagated(
    order_id=2,
    stats=WorkStats(
        frames_encoded=9, track_frames=18, device_memory_bytes=7, stage_s={"decode": 0.5, "encode": 2.0, "write": 0.25}
    ),
    seconds=4.0,
)

TRACK = box_track(VIDEO, "x")
LEG = TRACK.legs[0]


def test_a_replica_is_told_by_what_it_does_and_has_done() -> None:
    clock = FakeClock(100.0)
    stats = RunStats(clock)
    stats.ready("r1")
    stats.assigned("r1", OpenOrder(1, VIDEO))
    assert stats.totals().replicas == {"r1": ReplicaWork(heard_at_s=100.0, video_id="clip")}
    clock.moment_s = 103.0
    stats.reported("r1", VideoOpened(1, VideoFacts(9, 4, 4), 3.0))
    stats.assigned("r1", PROPAGATE)
    clock.moment_s = 107.0
    stats.reported("r1", PROPAGATED)
    assert stats.totals().replicas == {
        "r1": ReplicaWork(heard_at_s=107.0, chunks=1, busy_s=7.0, stats=PROPAGATED.stats)
    }


def test_a_replica_that_has_not_answered_for_long_is_named() -> None:
    clock = FakeClock(1000.0)
    stats = RunStats(clock)
    for replica_id in ("r1", "r2", "r3"):
        stats.ready(replica_id)
    clock.moment_s += 7 * SILENT_AFTER_S  # an idle replica owes no answer
    stats.assigned("r2", PROPAGATE)
    clock.moment_s += 10.0
    stats.assigned("r1", OpenOrder(1, VIDEO))
    clock.moment_s += SILENT_AFTER_S - 11.0
    assert stats.silence() == ("", 0.0)
    clock.moment_s += 1.0
    what, since_s = stats.silence()
    assert what == "an answer of r2, which is on video clip"
    assert stats.elapsed_s - since_s == SILENT_AFTER_S
    stats.reported("r2", PROPAGATED)
    assert stats.silence() == ("", 0.0)
    clock.moment_s += 10.0
    assert "r1" in stats.silence()[0]
    stats.lost("r1", FailureKind.LOST)
    assert stats.silence() == ("", 0.0)


def test_stats_are_summed_and_failures_by_kind() -> None:
    stats = RunStats(FakeClock(0.0))
    stats.ready("r1")
    for _ in range(2):
        stats.assigned("r1", PROPAGATE)
        stats.reported("r1", PROPAGATED)
    stats.assigned("r1", PROPAGATE)
    stats.reported("r1", OrderFailed(2, Failure(FailureKind.STORAGE, "no"), 1.0))
    stats.lost("r1", FailureKind.PREEMPTED)
    stats.reported("r1", PROPAGATED)  # late: it does not count, and the replica does not come back
    stats.count(tracks=5)
    totals = stats.totals()
    assert totals.stats == PROPAGATED.stats + PROPAGATED.stats
    assert totals.failures == {"storage": 1, "replica_preempted": 1}
    assert totals.replicas == {}
    assert (totals.tracks, totals.replicas_lost) == (5, 1)


def test_failures_in_a_row_are_those_that_may_lie_in_the_replica() -> None:
    stats = RunStats(FakeClock(0.0))
    stats.ready("r1")
    too_many = replace(PROPAGATE, legs=(LEG, LEG))
    for order, kind, expected in (
        (PROPAGATE, FailureKind.INTERNAL, 1),
        (PROPAGATE, FailureKind.VIDEO, 1),
        (too_many, FailureKind.OUT_OF_MEMORY, 1),
        (replace(PROPAGATE, legs=(LEG,)), FailureKind.OUT_OF_MEMORY, 2),
    ):
        stats.assigned("r1", order)
        stats.reported("r1", OrderFailed(2, Failure(kind, "no"), 1.0))
        assert stats.num_failures_in_a_row("r1") == expected
    stats.assigned("r1", PROPAGATE)
    stats.reported("r1", PROPAGATED)
    assert stats.num_failures_in_a_row("r1") == 0
