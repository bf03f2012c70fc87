"""Counts what a run does: its tracks, its replicas, and their failures by kind."""

from collections import Counter
from dataclasses import replace

from samurai_batch.ledger.lease import Clock
from samurai_batch.ledger.schema import ReplicaWork, Totals
from samurai_batch.planning.orders import (
    ChunkPropagated,
    Detected,
    DetectOrder,
    Order,
    OrderFailed,
    PublishOrder,
    Report,
    TrackSettled,
    num_tracks_of,
)
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.stats import WorkStats

SILENT_AFTER_S = 900.0
"""A replica may well take so long for a chunk of a large video on CPUs; longer than that it is told."""


class RunStats:
    """The totals of a run. It knows the replicas that are ready or at work; those that are gone are left out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_s = clock.elapsed_s()
        self._counts: Counter[str] = Counter()  # by their names in `Totals`
        self._stats = WorkStats()
        self._failures: Counter[str] = Counter()
        self._replicas: dict[str, ReplicaWork] = {}
        self._orders: dict[str, Order] = {}  # of replicas at work
        self._assigned_s: dict[str, float] = {}  # when they were given these
        self._failures_in_a_row: Counter[str] = Counter()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return self._clock.elapsed_s() - self._started_s

    def totals(self, num_splits: int = 0) -> Totals:
        """All that was counted so far."""
        return Totals(
            **self._counts,
            stats=self._stats.rounded(),
            splits=num_splits,
            seconds=round(self.elapsed_s, 3),
            failures=dict(self._failures),
            replicas=dict(self._replicas),
        )

    # -- tracks

    def count(self, **numbers: int) -> None:
        """Add to counts, by their names in `Totals`."""
        self._counts.update(numbers)

    def settled(self, outcome: TrackSettled) -> None:
        """A track has ended."""
        self._counts.update({f"tracks_{outcome.status}": 1, "rows": outcome.num_rows})

    # -- replicas

    def has_replica(self, replica_id: str) -> bool:
        """Whether a replica is ready or at work."""
        return replica_id in self._replicas

    def ready(self, replica_id: str, device: str = "") -> None:
        """A replica has started, on this device."""
        self._replicas[replica_id] = ReplicaWork(heard_at_s=self._clock.now_s(), device=device)

    def assigned(self, replica_id: str, order: Order) -> None:
        """A replica was given an order."""
        self._replicas[replica_id] = replace(self._replicas[replica_id], video_id=_video_of(order))
        self._orders[replica_id] = order
        self._assigned_s[replica_id] = self.elapsed_s

    def reported(self, replica_id: str, report: Report) -> None:
        """A replica has carried its order out, or failed. A report that comes late or twice is not counted."""
        order = self._orders.get(replica_id)
        if order is None or order.order_id != report.order_id:
            return
        del self._orders[replica_id]
        stats = report.stats if isinstance(report, ChunkPropagated | Detected) else WorkStats()
        before = self._replicas[replica_id]
        self._replicas[replica_id] = replace(
            before,
            heard_at_s=self._clock.now_s(),
            video_id=None,
            chunks=before.chunks + isinstance(report, ChunkPropagated),
            busy_s=round(before.busy_s + report.seconds, 3),
            stats=(before.stats + stats).rounded(),
        )
        self._stats += stats
        if not isinstance(report, OrderFailed):
            self._failures_in_a_row[replica_id] = 0
            return
        self._failures[report.failure.kind] += 1
        if _may_be_the_replicas_fault(order, report.failure):
            self._failures_in_a_row[replica_id] += 1

    def num_chunks(self, replica_id: str) -> int:
        """The chunks that a replica has propagated so far."""
        return self._replicas[replica_id].chunks

    def num_failures_in_a_row(self, replica_id: str) -> int:
        """The orders that a replica has failed since its last success and that may have failed because of it."""
        return self._failures_in_a_row[replica_id]

    def silence(self) -> tuple[str, float]:
        """The answer that has been waited for the longest, and since when; "" and 0 unless that is SILENT_AFTER_S ago.

        A process that hangs, on a device or a mount, is not noticed by Ray.
        """
        since_s, replica_id = min(((self._assigned_s[one], one) for one in self._orders), default=(0.0, ""))
        if not replica_id or self.elapsed_s - since_s < SILENT_AFTER_S:
            return "", 0.0
        return f"an answer of {replica_id}, which is on video {self._replicas[replica_id].video_id}", since_s

    def replaced(self, replica_id: str) -> None:
        """An idle replica was replaced."""
        self._forget(replica_id)

    def lost(self, replica_id: str, kind: FailureKind) -> None:
        """A replica died or was lost with its node."""
        self._failures[kind] += 1
        self._counts["replicas_lost"] += 1
        self._forget(replica_id)

    def _forget(self, replica_id: str) -> None:
        self._replicas.pop(replica_id, None)
        self._orders.pop(replica_id, None)
        self._failures_in_a_row.pop(replica_id, None)


def _may_be_the_replicas_fault(order: Order, failure: Failure) -> bool:
    """A broken device fails with internal errors. Full memory counts only for an order that cannot be split."""
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
