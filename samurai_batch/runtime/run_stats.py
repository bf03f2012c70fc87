"""What the replicas of a run have done, for who watches it: by replica, by stage of the work, by kind of failure."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from samurai_batch.planning.orders import (
    ChunkPropagated,
    DetectOrder,
    Order,
    OrderFailed,
    PropagateOrder,
    PublishOrder,
    Report,
)
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.runtime.ledger import ReplicaWork, Totals

_STAGES = ("decode_s", "encode_s", "propagate_s", "write_s")


class RunStats:
    """Counts as the driver meets orders and answers. Replicas that are gone are left out; ``now_s`` is since 1970."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._replicas: dict[str, ReplicaWork] = {}
        self._orders: dict[str, Order] = {}  # the last one of each replica
        self._in_a_row: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._stages = dict.fromkeys(_STAGES, 0.0)

    def ready(self, replica_id: str) -> None:
        """A replica has come."""
        self._replicas[replica_id] = ReplicaWork(heard_at_s=self._now_s())

    def given(self, replica_id: str, order: Order) -> None:
        """A replica has got something to do."""
        self._replicas[replica_id] = replace(self._replicas[replica_id], video_id=_video_of(order))
        self._orders[replica_id] = order

    def answered(self, replica_id: str, report: Report) -> None:
        """A replica has done it, or failed to; one that is gone by now counts no more."""
        if isinstance(report, OrderFailed):
            self._failures[report.failure.kind] += 1
        if isinstance(report, ChunkPropagated):
            for stage in _STAGES:
                self._stages[stage] += getattr(report, stage)
        before = self._replicas.get(replica_id)
        if before is not None:
            self._replicas[replica_id] = _after(before, report, self._now_s())
            if not isinstance(report, OrderFailed):
                self._in_a_row[replica_id] = 0
            elif _may_lie_in_the_replica(self._orders[replica_id], report.failure):
                self._in_a_row[replica_id] += 1

    def num_chunks(self, replica_id: str) -> int:
        """The chunks a replica has followed so far."""
        return self._replicas[replica_id].chunks

    def num_failures_in_a_row(self, replica_id: str) -> int:
        """The orders a replica has failed, since the last one that went well, for reasons that may lie in it."""
        return self._in_a_row[replica_id]

    def left(self, replica_id: str) -> None:
        """A replica was let go."""
        del self._replicas[replica_id]
        self._forget(replica_id)

    def lost(self, replica_id: str, kind: FailureKind) -> None:
        """A replica is gone."""
        self._replicas.pop(replica_id, None)
        self._failures[kind] += 1
        self._forget(replica_id)

    def _forget(self, replica_id: str) -> None:
        self._orders.pop(replica_id, None)
        self._in_a_row.pop(replica_id, None)

    def added_to(self, totals: Totals) -> Totals:
        """The same totals, with what was counted here."""
        decode_s, encode_s, propagate_s, write_s = (round(self._stages[stage], 3) for stage in _STAGES)
        return replace(
            totals,
            decode_s=decode_s,
            encode_s=encode_s,
            propagate_s=propagate_s,
            write_s=write_s,
            failures=dict(self._failures),
            replicas=dict(self._replicas),
        )


def _may_lie_in_the_replica(order: Order, failure: Failure) -> bool:
    """A device that computes nothing any more, or whose memory is taken; not a shard that is too large for it."""
    if failure.kind is FailureKind.OUT_OF_MEMORY:
        return not isinstance(order, PropagateOrder | DetectOrder) or len(order.members) == 1
    return failure.kind is FailureKind.INTERNAL


def _video_of(order: Order) -> str:
    match order:
        case PublishOrder():
            return order.track.video.video_id
        case DetectOrder():
            return order.members[0].track.video.video_id
        case _:
            return order.video.video_id


def _after(before: ReplicaWork, report: Report, now_s: float) -> ReplicaWork:
    after = replace(before, video_id=None, heard_at_s=now_s, busy_s=round(before.busy_s + report.seconds, 3))
    if not isinstance(report, ChunkPropagated):
        return after
    return replace(
        after,
        chunks=before.chunks + 1,
        track_frames=before.track_frames + report.track_frames,
        device_memory_bytes=max(before.device_memory_bytes, report.device_memory_bytes),
    )
