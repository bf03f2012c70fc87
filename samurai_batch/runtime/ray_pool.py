"""Replicas as Ray actors. The only module that imports Ray.

The payload (the weights) is put into the object store once and fetched once per node. Orders and reports are a few
kilobytes; frames, masks and track states never pass through Ray. An actor that dies is told as ReplicaDied and
replaced by a new one, under a new id, as soon as the cluster has room for it.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import ray
from ray.core.generated.common_pb2 import NodeDeathInfo  # type: ignore[attr-defined]
from ray.exceptions import (
    ActorUnavailableError,
    NodeDiedError,
    OutOfMemoryError,
    OwnerDiedError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)

from samurai_batch.errors import ConfigError
from samurai_batch.planning.orders import Order, Report
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.redaction import get_logger
from samurai_batch.runtime.pool import Answered, PoolEvent, PoolFailed, ReplicaDied, ReplicaReady, Worker

logger = get_logger(__name__)

Payload = TypeVar("Payload")

MAX_FAILED_STARTS = 3
"""After so many in a row no more are tried: the replicas that run go on without them."""

LOOK_EVERY_S = 5.0
"""How often a pool that takes all there is looks for new nodes."""

_ANNOUNCED = {
    NodeDeathInfo.EXPECTED_TERMINATION,
    NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED,
    NodeDeathInfo.AUTOSCALER_DRAIN_IDLE,
}
"""Why nodes end on purpose."""

# What says that the process is gone. Everything else an actor raises is a bug, and propagates.
_GONE = (RayActorError, NodeDiedError, OutOfMemoryError, OwnerDiedError, WorkerCrashedError)


@dataclass(frozen=True, kw_only=True)
class ReplicaResources:
    """What one replica asks of Ray; ``num_gpus`` may be a fraction."""

    num_cpus: float = 1.0
    num_gpus: float = 0.0


def connect(address: str | None) -> bool:
    """Join the cluster at ``address``, or the one a submitted job runs in, or start one on this machine.

    Returns whether this call made the connection, so that `disconnect` is up to the caller: it ends a cluster that was
    started here. Raises ConfigError if there is no cluster at the address.
    """
    if ray.is_initialized():
        return False
    address = address or os.environ.get("RAY_ADDRESS")
    try:
        with _own_signal_handlers():
            ray.init(address=address or "local", include_dashboard=False if address is None else None)
    except (ConnectionError, RuntimeError, ValueError) as error:
        if address is None:
            raise
        raise ConfigError(
            f"ray_address {address!r}: no Ray cluster answers there ({error}); start one, or leave it empty"
        ) from error
    return True


@contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Put back the handler of SIGTERM that `ray.init` replaces, where this thread may."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def disconnect() -> None:
    """Leave the cluster, and end it if it was started here."""
    ray.shutdown()


def has_gpus() -> bool:
    """Whether the cluster has GPUs as it stands now."""
    return _cluster_resources().get("GPU", 0.0) > 0


def num_replicas_that_fit(resources: ReplicaResources) -> int:
    """How many replicas the cluster has room for as it stands now, its driver's share not counted."""
    total = _cluster_resources()
    fits = [
        total.get(name, 0.0) // wanted
        for name, wanted in (("CPU", resources.num_cpus), ("GPU", resources.num_gpus))
        if wanted > 0
    ]
    return int(min(fits, default=1.0))


class _Actor:
    """The process around a worker."""

    def __init__(self, make_worker: Callable[[Any], Worker], payload: Any) -> None:
        self._worker = make_worker(payload)

    def ready(self) -> str:
        """The node that it is on; answered once the worker is built."""
        return str(ray.get_runtime_context().get_node_id())

    def run(self, order: Order) -> Report:
        """Carry out one order."""
        return self._worker.run(order)


@dataclass
class _Seat:
    """One actor, and what we wait for it to answer; None while it is idle."""

    replica_id: str
    actor: Any
    waiting_for: Any
    node_id: str | None = None

    @property
    def is_ready(self) -> bool:
        return self.node_id is not None


class RayPool(Generic[Payload]):
    """``num_replicas`` actors, each building its worker once from ``payload``.

    ``num_replicas`` None takes as many as there is room for, more as nodes join the cluster. With ``owns_connection``
    the pool disconnects from Ray when it is closed. Raises ConfigError if not even one replica fits.
    """

    def __init__(
        self,
        make_worker: Callable[[Payload], Worker],
        payload: Payload,
        num_replicas: int | None,
        resources: ReplicaResources,
        *,
        owns_connection: bool = False,
    ) -> None:
        fit = num_replicas_that_fit(resources)
        if fit < 1:
            raise ConfigError(
                f"a replica asks for {resources.num_cpus:g} CPUs and {resources.num_gpus:g} GPUs, and no node of this "
                f"cluster has them ({_describe_cluster()}); ask for less, or use another cluster"
            )
        self._grows = num_replicas is None
        self._next_look_s = time.monotonic() + LOOK_EVERY_S
        num_replicas = num_replicas or fit
        if fit < num_replicas:
            logger.warning("%d replicas asked for, room for %d now; the others wait for nodes", num_replicas, fit)
        self._make_worker = make_worker
        self._payload = ray.put(payload)
        self._resources = resources
        self._owns_connection = owns_connection
        self._num_made = 0
        self._num_failed_starts = 0
        self._events: list[PoolEvent] = []
        self._seats: dict[str, _Seat] = {}
        for _ in range(num_replicas):
            self._add()

    def submit(self, replica_id: str, order: Order) -> None:
        """Give an order to an idle replica. One that has died meanwhile is reported by `wait`."""
        seat = self._seats.get(replica_id)
        if seat is not None:
            seat.waiting_for = seat.actor.run.remote(order)

    def wait(self, timeout_s: float) -> list[PoolEvent]:
        """What has happened, in order; [] if nothing does within ``timeout_s``."""
        if self._grows and time.monotonic() >= self._next_look_s:
            self._grow()
        waiting = {seat.waiting_for: seat for seat in self._seats.values() if seat.waiting_for is not None}
        if waiting and not self._events:
            done, _ = ray.wait(list(waiting), num_returns=1, timeout=timeout_s, fetch_local=False)
            if done:  # and whatever else has come by now
                done, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=0, fetch_local=False)
            for reference in done:
                self._collect(waiting[reference])
        events, self._events = self._events, []
        return events

    def replace(self, replica_id: str) -> None:
        """Let an idle replica go, and start another in its place."""
        seat = self._seats.pop(replica_id, None)
        if seat is not None:
            ray.kill(seat.actor)
            self._add()

    def close(self) -> None:
        """Kill all actors; what they were doing is dropped."""
        for seat in self._seats.values():
            ray.kill(seat.actor)
        self._seats.clear()
        if self._owns_connection:
            disconnect()

    def _grow(self) -> None:
        """Take the room that nodes have brought. Where nodes have left, replicas wait for others to come."""
        self._next_look_s = time.monotonic() + LOOK_EVERY_S
        for _ in range(num_replicas_that_fit(self._resources) - len(self._seats)):
            self._add()

    def _add(self) -> None:
        replica_id = f"replica-{self._num_made}"
        self._num_made += 1
        options: dict[str, Any] = {
            "num_cpus": self._resources.num_cpus,
            "num_gpus": self._resources.num_gpus,
            "max_restarts": 0,
            "max_task_retries": 0,
        }
        actor_type: Any = ray.remote(**options)(_Actor)
        actor = actor_type.remote(self._make_worker, self._payload)
        self._seats[replica_id] = _Seat(replica_id, actor, actor.ready.remote())

    def _collect(self, seat: _Seat) -> None:
        """Take in the answer a seat waited for, or its death."""
        reference, seat.waiting_for = seat.waiting_for, None
        try:
            answer = ray.get(reference)
        except ActorUnavailableError as error:  # it may come back, but what it was doing cannot be told
            ray.kill(seat.actor)
            self._replace(seat, error)
        except _GONE as error:
            self._replace(seat, error)
        else:
            if seat.is_ready:
                self._events.append(Answered(seat.replica_id, answer))
            else:
                seat.node_id = answer
                self._num_failed_starts = 0
                self._events.append(ReplicaReady(seat.replica_id))

    def _replace(self, seat: _Seat, error: Exception) -> None:
        del self._seats[seat.replica_id]
        reason = _reason(error)
        if seat.node_id is not None:
            self._events.append(ReplicaDied(seat.replica_id, Failure(_how_it_ended(error, seat.node_id), reason)))
            self._add()
            return
        logger.error("%s could not be started: %s", seat.replica_id, reason)
        self._num_failed_starts += 1
        if self._num_failed_starts < MAX_FAILED_STARTS:
            self._add()
        elif not self._seats:
            self._events.append(PoolFailed(reason))


def _how_it_ended(error: Exception, node_id: str) -> FailureKind:
    """Whether a replica died by itself, was lost with its node, or its node was taken away on purpose.

    A node that is cut off without a word answers nobody at once, and is known to be dead a quarter of a minute later.
    """
    node = next((node for node in _nodes() if node["NodeID"] == node_id), None)
    is_gone = node is None or not node["Alive"]
    if isinstance(error, RayActorError) and error.preempted:
        return FailureKind.PREEMPTED
    if node is not None and is_gone and node["DeathReason"] in _ANNOUNCED:
        return FailureKind.PREEMPTED
    if is_gone or isinstance(error, ActorUnavailableError | NodeDiedError):
        return FailureKind.LOST
    return FailureKind.DIED


def _reason(error: Exception) -> str:
    """The last line of what Ray tells: the exception of a failed start, or how the process ended."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = error.__cause__
    if isinstance(cause, RayTaskError):
        lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _nodes() -> list[dict[str, Any]]:
    return list(ray.nodes())  # type: ignore[no-untyped-call]


def _cluster_resources() -> dict[str, float]:
    return dict(ray.cluster_resources())  # type: ignore[no-untyped-call]


def _describe_cluster() -> str:
    total = _cluster_resources()
    return f"it has {total.get('CPU', 0):g} CPUs and {total.get('GPU', 0):g} GPUs in all"
