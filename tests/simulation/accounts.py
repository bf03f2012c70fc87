"""Independent accounts of a driver's orders: which ones it may give, and what its statistics must count."""

from dataclasses import dataclass, field

from samurai_batch.planning.orders import (
    ChunkPropagated,
    Detected,
    DetectOrder,
    Order,
    OrderFailed,
    PropagateOrder,
    PublishOrder,
    Report,
)
from samurai_batch.planning.retry import FailureKind
from samurai_batch.stats import WorkStats


@dataclass
class Accounts:
    """One driver's orders: no two replicas work on the same leg, and no accepted chunk is ordered again."""

    stats: WorkStats = field(default_factory=WorkStats)
    replicas_lost: int = 0
    orders: dict[str, Order] = field(default_factory=dict)  # by replica, unanswered
    propagated: set[tuple[str, bool, int]] = field(default_factory=set)
    published: set[str] = field(default_factory=set)

    def given(self, replica_id: str, order: Order) -> None:
        assert replica_id not in self.orders, f"{replica_id} is busy"
        at_work = {leg for other in self.orders.values() for leg in _legs(other)}
        assert not at_work & _legs(order), f"another replica works on a leg of {order}"
        for fingerprint, _ in _legs(order):
            assert fingerprint not in self.published, f"{order} is for a published track"
        if isinstance(order, PropagateOrder):
            assert not _chunks(order) & self.propagated, f"{order} was carried out before"
        self.orders[replica_id] = order

    def answered(self, replica_id: str, report: Report) -> None:
        """An answer to another order than the replica's current one must change nothing."""
        order = self.orders.get(replica_id)
        if order is None or order.order_id != report.order_id:
            return
        del self.orders[replica_id]
        match order, report:
            case PropagateOrder(), ChunkPropagated():
                self.stats += report.stats
                self.propagated |= _chunks(order)
            case PublishOrder(), OrderFailed():
                self._may_begin_again(report, {order.fingerprint})
            case PropagateOrder(), OrderFailed():
                self._may_begin_again(report, {leg.fingerprint for leg in order.legs})
            case PublishOrder(), _:
                self.published.add(order.fingerprint)
            case DetectOrder(), Detected():
                answers = zip(order.members, report.answers, strict=True)
                self.published |= {member.fingerprint for member, answer in answers if isinstance(answer, int)}

    def lost(self, replica_id: str) -> None:
        self.replicas_lost += 1
        self.orders.pop(replica_id, None)

    def _may_begin_again(self, report: OrderFailed, fingerprints: set[str]) -> None:
        if report.failure.kind is FailureKind.STATE:
            self.propagated = {chunk for chunk in self.propagated if chunk[0] not in fingerprints}


def _legs(order: Order) -> set[tuple[str, bool]]:
    match order:
        case PropagateOrder():
            return {(leg.fingerprint, order.reverse) for leg in order.legs}
        case PublishOrder():
            return {(order.fingerprint, False), (order.fingerprint, True)}
        case DetectOrder():
            return {(member.fingerprint, False) for member in order.members}
        case _:
            return set()


def _chunks(order: PropagateOrder) -> set[tuple[str, bool, int]]:
    return {(leg.fingerprint, order.reverse, order.chunk) for leg in order.legs}
