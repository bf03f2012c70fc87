from dataclasses import replace

from samurai_batch.planning.orders import (
    ChunkPropagated,
    OpenOrder,
    OrderFailed,
    PropagateOrder,
    VideoOpened,
)
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.planning.validation import VideoFacts
from samurai_batch.runtime.ledger import ReplicaWork, Totals
from samurai_batch.runtime.run_stats import RunStats
from samurai_batch.stats import WorkStats
from samurai_batch.tasks import Video
from tests.runtime.fakes import box_track

VIDEO = Video("clip", "clip.mp4")
FOLLOW = PropagateOrder(order_id=2, video=VIDEO, reverse=False, chunk=0, chunk_frames=9, num_frames=9, legs=())
FOLLOWED = ChunkPropagated(
    order_id=2,
    stats=WorkStats(
        frames_encoded=9, track_frames=18, device_memory_bytes=7, stage_s={"decode": 0.5, "encode": 2.0, "write": 0.25}
    ),
    seconds=4.0,
)

TRACK = box_track(VIDEO, "x")
LEG = TRACK.legs[0]


def test_a_replica_is_told_by_what_it_does_and_has_done() -> None:
    now_s = 100.0
    tally = RunStats(lambda: now_s)
    tally.ready("r1")
    tally.given("r1", OpenOrder(1, VIDEO))
    assert tally.added_to(Totals()).replicas == {"r1": ReplicaWork(heard_at_s=100.0, video_id="clip")}
    now_s = 103.0
    tally.answered("r1", VideoOpened(1, VideoFacts(9, 4, 4), 3.0))
    tally.given("r1", FOLLOW)
    now_s = 107.0
    tally.answered("r1", FOLLOWED)
    assert tally.added_to(Totals()).replicas == {
        "r1": ReplicaWork(heard_at_s=107.0, chunks=1, busy_s=7.0, stats=FOLLOWED.stats)
    }


def test_stats_are_summed_and_failures_by_kind() -> None:
    tally = RunStats(lambda: 0.0)
    tally.ready("r1")
    for _ in range(2):
        tally.given("r1", FOLLOW)
        tally.answered("r1", FOLLOWED)
    tally.given("r1", FOLLOW)
    tally.answered("r1", OrderFailed(2, Failure(FailureKind.STORAGE, "no"), 1.0))
    tally.lost("r1", FailureKind.PREEMPTED)
    tally.answered("r1", FOLLOWED)  # late: it does not count, and the replica does not come back
    totals = tally.added_to(Totals(tracks=5))
    assert totals.stats == FOLLOWED.stats + FOLLOWED.stats
    assert totals.failures == {"storage": 1, "replica_preempted": 1}
    assert totals.replicas == {}
    assert totals.tracks == 5


def test_failures_in_a_row_are_those_that_may_lie_in_the_replica() -> None:
    tally = RunStats(lambda: 0.0)
    tally.ready("r1")
    too_many = replace(FOLLOW, legs=(LEG, LEG))
    for order, kind, expected in (
        (FOLLOW, FailureKind.INTERNAL, 1),
        (FOLLOW, FailureKind.VIDEO, 1),
        (too_many, FailureKind.OUT_OF_MEMORY, 1),
        (replace(FOLLOW, legs=(LEG,)), FailureKind.OUT_OF_MEMORY, 2),
    ):
        tally.given("r1", order)
        tally.answered("r1", OrderFailed(2, Failure(kind, "no"), 1.0))
        assert tally.num_failures_in_a_row("r1") == expected
    tally.given("r1", FOLLOW)
    tally.answered("r1", FOLLOWED)
    assert tally.num_failures_in_a_row("r1") == 0
