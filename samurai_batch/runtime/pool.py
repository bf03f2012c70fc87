"""Replicas behind one protocol: orders go in, events come out. And the pool that runs them in this process."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

from samurai_batch.planning.orders import Order, Report
from samurai_batch.planning.retry import Failure
from samurai_batch.redaction import get_logger

logger = get_logger(__name__)

Payload = TypeVar("Payload")


class Worker(Protocol):
    """What a pool runs: `runtime.replica.Replica`, or a stand-in."""

    @property
    def device(self) -> str:
        """The device that it computes on, for people: "NVIDIA L4", "cpu"; "" if it computes on none."""
        ...

    def run(self, order: Order) -> Report:
        """Carry out one order; a failure is a report, too."""
        ...

    def stop(self) -> None:
        """Called from another thread: end the running order soon, whatever becomes of it."""
        ...


@dataclass(frozen=True)
class ReplicaReady:
    """A new replica waits for its first order. ``device`` is that of its worker."""

    replica_id: str
    device: str = ""


@dataclass(frozen=True)
class Answered:
    """A replica has answered, and is idle again."""

    replica_id: str
    report: Report


@dataclass(frozen=True)
class ReplicaDied:
    """A replica is gone, and with it the order it was carrying out. The pool brings another if it can.

    ``failure`` is of kind DIED, LOST or PREEMPTED.
    """

    replica_id: str
    failure: Failure


@dataclass(frozen=True)
class PoolFailed:
    """No replica is left, and none can be started."""

    reason: str


@dataclass(frozen=True)
class PoolWaits:
    """Replicas wait for ``what`` before they can be started; "" when none does any longer."""

    what: str


PoolEvent = ReplicaReady | Answered | ReplicaDied | PoolFailed | PoolWaits


class Pool(Protocol):
    """A set of replicas that may change at any time."""

    def submit(self, replica_id: str, order: Order) -> None:
        """Give an order to an idle replica. One that has died meanwhile is reported by `wait`."""
        ...

    def wait(self, timeout_s: float) -> list[PoolEvent]:
        """What has happened, in order; [] if nothing does within ``timeout_s``."""
        ...

    def replace(self, replica_id: str) -> None:
        """Let an idle replica go, and start another in its place."""
        ...

    def close(self) -> None:
        """Drop running orders and let all replicas go, within seconds."""
        ...


@runtime_checkable
class GrowingPool(Protocol):
    """A pool that can ask for more replicas than there is room for now."""

    def want(self, num_orders: int) -> None:
        """So many orders wait for a replica."""
        ...


class LocalPool(Generic[Payload]):
    """Replicas in threads of this process, each built once from ``payload``.

    Threads cannot be killed: `close` asks running orders to stop and waits up to ``patience_s`` for them.
    """

    def __init__(
        self, make_worker: Callable[[Payload], Worker], payload: Payload, num_replicas: int = 1, patience_s: float = 8.0
    ) -> None:
        self._make_worker = make_worker
        self._payload = payload
        self._patience_s = patience_s
        self._events: queue.SimpleQueue[PoolEvent] = queue.SimpleQueue()
        self._orders: dict[str, queue.SimpleQueue[Order | None]] = {}
        self._workers: dict[str, Worker] = {}
        self._num_starting = num_replicas
        self._lock = threading.Lock()
        self._num_made = 0
        self._threads = [self._start() for _ in range(num_replicas)]

    def submit(self, replica_id: str, order: Order) -> None:
        """Give an order to an idle replica."""
        self._orders[replica_id].put(order)

    def wait(self, timeout_s: float) -> list[PoolEvent]:
        """What has happened, in order; [] if nothing does within ``timeout_s``."""
        events: list[PoolEvent] = []
        try:
            events.append(self._events.get(timeout=timeout_s))
            while True:
                events.append(self._events.get_nowait())
        except queue.Empty:
            return events

    def replace(self, replica_id: str) -> None:
        """Let an idle replica go, and start another in its place."""
        self._orders.pop(replica_id).put(None)
        with self._lock:
            self._workers.pop(replica_id)
            self._num_starting += 1
        self._threads.append(self._start())

    def close(self) -> None:
        """Ask running orders to stop, and wait for the threads to end."""
        for orders in self._orders.values():
            orders.put(None)
        with self._lock:
            for worker in self._workers.values():
                worker.stop()
        for thread in self._threads:
            thread.join(self._patience_s)
            if thread.is_alive():
                logger.warning("replica %s does not stop; its work is dropped with this process", thread.name)

    def _start(self) -> threading.Thread:
        replica_id = f"local-{self._num_made}"
        self._num_made += 1
        self._orders[replica_id] = queue.SimpleQueue()
        thread = threading.Thread(target=self._serve, args=(replica_id,), name=replica_id, daemon=True)
        thread.start()
        return thread

    def _serve(self, replica_id: str) -> None:
        worker = self._build(replica_id)
        if worker is None:
            return
        orders = self._orders[replica_id]
        self._events.put(ReplicaReady(replica_id, worker.device))
        while (order := orders.get()) is not None:
            self._events.put(Answered(replica_id, worker.run(order)))

    def _build(self, replica_id: str) -> Worker | None:
        try:
            worker = self._make_worker(self._payload)
        except Exception as error:  # whatever keeps a replica from starting is told, not raised in a thread
            logger.exception("replica %s could not be started", replica_id)
            with self._lock:
                self._num_starting -= 1
                if self._num_starting == 0 and not self._workers:
                    self._events.put(PoolFailed(f"{type(error).__name__}: {error}"))
            return None
        with self._lock:
            self._num_starting -= 1
            self._workers[replica_id] = worker
        return worker
