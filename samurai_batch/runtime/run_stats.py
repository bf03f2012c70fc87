"""What the replicas of a run have done: in all, by replica, and their failures by kind."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from samurai_batch.planning.orders import (
    ChunkPropagated,
    Detected,
    DetectOrder,
    Order,
    OrderFailed,
    PublishOrder,
    Report,
    num_tracks_of,
)
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.runtime.ledger import ReplicaWork, Totals
from samurai_batch.stats import WorkStats


class RunStats:
    """Counts as the driver meets orders and answers. Replicas that are gone are left out; ``now_s`` is since 1970."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._replicas: dict[str, ReplicaWork] = {}
        self._orders: dict[str, Order] = {}  # of replicas at work
        self._in_a_row: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._stats = WorkStats()

    def ready(self, replica_id: str) -> None:
        """A replica has come."""
        self._replicas[replica_id] = ReplicaWork(heard_at_s=self._now_s())

    def given(self, replica_id: str, order: Order) -> None:
        """A replica has got something to do."""
        self._replicas[replica_id] = replace(self._replicas[replica_id], video_id=_video_of(order))
        self._orders[replica_id] = order

    def answered(self, replica_id: str, report: Report) -> None:
        """A replica has done it, or failed to. A report that comes late or twice is not counted."""
        order = self._orders.get(replica_id)
        if order is None or order.order_id != report.order_id:
            return
        del self._orders[replica_id]
        self._replicas[replica_id] = _after(self._replicas[replica_id], report, self._now_s())
        self._stats += _stats_of(report)
        if not isinstance(report, OrderFailed):
            self._in_a_row[replica_id] = 0
            return
        self._failures[report.failure.kind] += 1
        if _may_lie_in_the_replica(order, report.failure):
            self._in_a_row[replica_id] += 1

    def num_chunks(self, replica_id: str) -> int:
        """The chunks that a replica has propagated so far."""
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
        return replace(
            totals, stats=self._stats.rounded(), failures=dict(self._failures), replicas=dict(self._replicas)
        )


def _stats_of(report: Report) -> WorkStats:
    return report.stats if isinstance(report, ChunkPropagated | Detected) else WorkStats()


def _may_lie_in_the_replica(order: Order, failure: Failure) -> bool:
    """A device that computes nothing any more, or whose memory is taken; not a shard that is too large for it."""
    if failure.kind is FailureKind.OUT_OF_MEMORY:
        return num_tracks_of(order) == 1
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
    return ReplicaWork(
        heard_at_s=now_s,
        chunks=before.chunks + isinstance(report, ChunkPropagated),
        busy_s=round(before.busy_s + report.seconds, 3),
        stats=(before.stats + _stats_of(report)).rounded(),
    )
