"""A replica that dies at one picture, for real Ray actors."""

import os

from samurai_batch.planning.orders import DetectOrder, Order, Report
from samurai_batch.runtime.assembly import ReplicaPlan, make_replica_process
from samurai_batch.runtime.pool import Worker

POISON = "b.png"


class PoisonedReplica:
    def __init__(self, worker: Worker) -> None:
        self._worker, self.device = worker, worker.device

    def run(self, order: Order) -> Report:
        assert isinstance(order, DetectOrder)
        if POISON in [member.track.video.video_id for member in order.members]:
            os._exit(1)
        return self._worker.run(order)

    def stop(self) -> None:
        self._worker.stop()


def make_poisoned_replica(plan: ReplicaPlan) -> Worker:
    return PoisonedReplica(make_replica_process(plan))
