"""Replicas as Ray actors.

The payload (the weights) is put into the object store once and fetched once per node. Orders and reports are a few
kilobytes; frames, masks and track states never pass through Ray. An actor waits for a node with room, then builds its
worker there, then takes orders. One that dies is told as ReplicaDied and replaced by a new one, under a new id, as
soon as the cluster has room for it; `capacity.StartPolicy` says when a failed start is tried again.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import ray
from ray.exceptions import (
    ActorUnavailableError,
    NodeDiedError,
    OutOfMemoryError,
    OwnerDiedError,
    RayActorError,
    RayTaskError,
    RuntimeEnvSetupError,
    WorkerCrashedError,
)

from samurai_batch.errors import ConfigError
from samurai_batch.planning.orders import Order, Report
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.redaction import get_logger
from samurai_batch.runtime import ray_cluster
from samurai_batch.runtime.capacity import ReplicaResources, StartPolicy, describe_nodes, num_replicas_that_fit
from samurai_batch.runtime.pool import Answered, PoolEvent, PoolFailed, PoolWaits, ReplicaDied, ReplicaReady, Worker
from samurai_batch.runtime.ray_cluster import connect, disconnect

__all__ = ["RayPool", "ReplicaResources", "connect", "disconnect"]

logger = get_logger(__name__)

Payload = TypeVar("Payload")

CHECK_NODES_EVERY_S = 5.0
"""Interval between checks for new nodes."""

TELL_AFTER_S = 5.0
"""After so long without a node it is told what a replica waits for; a process takes some seconds to start."""

AUTOSCALER_TELLS_WITHIN_S = 15.0
"""A cluster that has just started may not tell at once that it grows."""

# What says that the process is gone. Everything else an actor raises is a bug, and propagates.
_GONE = (RayActorError, NodeDiedError, OutOfMemoryError, OwnerDiedError, WorkerCrashedError)
_NOT_STARTED = (*_GONE, RayTaskError, RuntimeEnvSetupError)
"""What a start may end with; an error of the worker's own constructor comes as a RayTaskError."""


class _Actor:
    """The process around a worker."""

    def place(self) -> str:
        """The node that it is on; answered once there is one with room for it. Hides GPUs that are not reserved."""
        context = ray.get_runtime_context()
        if not context.get_accelerator_ids().get("GPU"):
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before anything in this process can start CUDA
        return str(context.get_node_id())

    def build(self, make_worker: Callable[[Any], Worker], payload: Any) -> str:
        """Build the worker; returns the name of its device."""
        self._worker = make_worker(payload)
        return self._worker.device

    def run(self, order: Order) -> Report:
        """Carry out one order."""
        return self._worker.run(order)


@dataclass
class _ActorSlot:
    """One actor, and what we wait for it to answer; None while it is idle."""

    replica_id: str
    actor: Any
    waiting_for: Any
    requested_at_s: float
    nodes_then: frozenset[str]
    node_id: str | None = None
    is_ready: bool = False
    has_had_orders: bool = False


@dataclass
class _ActorSlots:
    """All actors of a pool, by what they are at."""

    by_id: dict[str, _ActorSlot] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.by_id)

    @property
    def ready(self) -> list[_ActorSlot]:
        return [slot for slot in self.by_id.values() if slot.is_ready]

    @property
    def without_node(self) -> list[_ActorSlot]:
        return [slot for slot in self.by_id.values() if slot.node_id is None]

    @property
    def waiting(self) -> dict[Any, _ActorSlot]:
        return {slot.waiting_for: slot for slot in self.by_id.values() if slot.waiting_for is not None}


class RayPool(Generic[Payload]):
    """``num_replicas`` actors, each building its worker once from ``payload``.

    ``num_replicas`` None takes as many as the nodes have room for, more as nodes join. Where an autoscaler adds nodes
    on demand, it asks for at least one, and while all are busy and work waits for as many more as are there. With
    ``owns_connection`` the pool disconnects from Ray when it is closed. Raises ConfigError if no node has room for a
    replica and nothing adds nodes; `wait` raises it if an autoscaler says that none of its node types has room.
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
        self._resources = resources
        self._num_replicas = num_replicas
        self._room = num_replicas_that_fit(ray_cluster.node_resources(), resources)
        self._has_autoscaler = self._check_that_it_can_start()
        if num_replicas is not None and self._room < num_replicas:
            logger.warning("%d replicas requested, %d fit now; the others wait", num_replicas, self._room)
        self._make_worker = make_worker
        self._payload = ray.put(payload)
        self._owns_connection = owns_connection
        self._policy = StartPolicy()
        self._refusals = ray_cluster.Refusals()
        self._next_check_s = time.monotonic() + CHECK_NODES_EVERY_S
        self._num_made = 0
        self._num_wanted = 0
        self._told_waiting = ""
        self._has_failed = False
        self._events: list[PoolEvent] = []
        self._slots = _ActorSlots()
        self._fill()

    def submit(self, replica_id: str, order: Order) -> None:
        """Give an order to an idle replica. One that has died meanwhile is reported by `wait`."""
        slot = self._slots.by_id.get(replica_id)
        if slot is not None:
            if not slot.has_had_orders:  # only now: one that is ready may die at once
                self._policy.succeeded()
            slot.has_had_orders = True
            slot.waiting_for = slot.actor.run.remote(order)

    def want(self, num_orders: int) -> None:
        """So many orders wait for a replica."""
        self._num_wanted = num_orders

    def wait(self, timeout_s: float) -> list[PoolEvent]:
        """What has happened, in order; [] if nothing does within ``timeout_s``."""
        if time.monotonic() >= self._next_check_s:
            self._check_nodes()
        self._fill()
        waiting = self._slots.waiting
        if not waiting and not self._events:
            time.sleep(timeout_s)  # until a start may be tried again
        if waiting and not self._events:
            done, _ = ray.wait(list(waiting), num_returns=1, timeout=timeout_s, fetch_local=False)
            if done:  # and whatever else has come by now
                done, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=0, fetch_local=False)
            for reference in done:
                self._collect(waiting[reference])
        self._give_up_if_hopeless()
        self._report_waiting()
        events, self._events = self._events, []
        return events

    def replace(self, replica_id: str) -> None:
        """Let an idle replica go, and start another in its place."""
        slot = self._slots.by_id.pop(replica_id, None)
        if slot is not None:
            ray.kill(slot.actor)
            self._add(ray_cluster.living_nodes())

    def close(self) -> None:
        """Kill all actors; what they were doing is dropped."""
        self._refusals.close()
        for slot in self._slots.by_id.values():
            ray.kill(slot.actor)
        self._slots.by_id.clear()
        if self._owns_connection:
            disconnect()

    # -- how many, and when

    def _check_that_it_can_start(self) -> bool:
        """Whether an autoscaler adds nodes. Raises ConfigError if there is no room and nothing does."""
        has_autoscaler = ray_cluster.has_autoscaler()
        deadline_s = time.monotonic() + AUTOSCALER_TELLS_WITHIN_S
        while self._room == 0 and has_autoscaler is None and time.monotonic() < deadline_s:
            time.sleep(0.5)
            has_autoscaler = ray_cluster.has_autoscaler()
            self._room = num_replicas_that_fit(ray_cluster.node_resources(), self._resources)
        if self._room == 0 and not has_autoscaler:
            raise ConfigError(
                f"a replica needs {self._resources}, and no node of this cluster has them "
                f"({describe_nodes(ray_cluster.node_resources())}); request less, or use another cluster"
            )
        return bool(has_autoscaler)

    def _check_nodes(self) -> None:
        """Update how many replicas fit. Raises ConfigError if the autoscaler can never add a fitting node."""
        self._next_check_s = time.monotonic() + CHECK_NODES_EVERY_S
        room = num_replicas_that_fit(ray_cluster.node_resources(), self._resources)
        if room > self._room and self._policy.num_failed:
            self._policy = StartPolicy()  # a node without failed starts
        self._room = room
        slots = self._slots
        if len(slots) == len(slots.without_node) and self._refusals.has_refused(self._resources.as_ray()):
            raise ConfigError(
                f"a replica needs {self._resources}, and this cluster's autoscaler has no node type that holds "
                "them; request less, or add such a node type"
            )
        self._withdraw(slots.without_node[: max(0, len(slots) - self._target())])

    def _target(self) -> int:
        """How many replicas there are to be, those that wait for a node included."""
        if self._num_replicas is not None:
            return self._num_replicas
        slots = self._slots
        num_placed = len(slots) - len(slots.without_node)
        is_all_busy = num_placed > 0 and all(slot.waiting_for is not None for slot in slots.ready)
        num_more = min(self._num_wanted, num_placed) if self._has_autoscaler and is_all_busy else 0
        return max(self._room, num_placed + num_more, 1)

    def _fill(self) -> None:
        """Start what is missing, if it is time to."""
        num_missing = self._target() - len(self._slots)
        if num_missing > 0 and self._policy.may_start(time.monotonic(), num_ready=len(self._slots.ready)):
            nodes = ray_cluster.living_nodes()
            for _ in range(num_missing):
                self._add(nodes)

    def _add(self, nodes: frozenset[str]) -> None:
        replica_id = f"replica-{self._num_made}"
        self._num_made += 1
        options: dict[str, Any] = {
            "num_cpus": self._resources.num_cpus,
            "num_gpus": self._resources.num_gpus,
            "max_restarts": 0,
            "max_task_retries": 0,
        }
        actor_type: Any = ray.remote(**options)(_Actor)
        actor = actor_type.remote()
        self._slots.by_id[replica_id] = _ActorSlot(replica_id, actor, actor.place.remote(), time.monotonic(), nodes)

    def _give_up_if_hopeless(self) -> None:
        """Tell, once, that no replica can be started."""
        now_s, num_ready = time.monotonic(), len(self._slots.ready)
        if self._policy.cancels_waiting(now_s, num_ready=num_ready):
            self._withdraw(self._slots.without_node)
        num_starting = len(self._slots) - num_ready
        if not self._has_failed and self._policy.gives_up(now_s, num_starting=num_starting, num_ready=num_ready):
            self._has_failed = True
            self._events.append(PoolFailed(self._policy.reason))

    def _withdraw(self, slots: Sequence[_ActorSlot]) -> None:
        for slot in slots:
            ray.kill(slot.actor)
            del self._slots.by_id[slot.replica_id]

    def _report_waiting(self) -> None:
        limit_s = time.monotonic() - TELL_AFTER_S
        late = [slot for slot in self._slots.by_id.values() if not slot.is_ready and slot.requested_at_s < limit_s]
        number = len([slot for slot in late if slot.node_id is None])
        is_short = self._has_autoscaler and len(self._slots) > self._room
        what = ""
        if number:
            whom = "a node of the autoscaler" if is_short else "free resources"
            what = f"{whom} for {_replicas(number)} ({self._resources} each)"
        elif late:
            what = f"{_replicas(len(late))} to load the model"
        if what != self._told_waiting:
            self._told_waiting = what
            self._events.append(PoolWaits(what))

    # -- what comes back

    def _collect(self, slot: _ActorSlot) -> None:
        """Take in the answer that a slot waited for, or the death of its actor."""
        reference, slot.waiting_for = slot.waiting_for, None
        ends = _GONE if slot.is_ready else _NOT_STARTED
        try:
            answer = ray.get(reference)
        except ActorUnavailableError as error:  # it may come back, but what it was doing cannot be told
            ray.kill(slot.actor)
            self._lost(slot, error)
        except ends as error:
            self._lost(slot, error)
        else:
            self._advance(slot, answer)

    def _advance(self, slot: _ActorSlot, answer: Any) -> None:
        if slot.is_ready:
            self._events.append(Answered(slot.replica_id, answer))
        elif slot.node_id is None:
            slot.node_id = answer
            self._policy.begun(time.monotonic())
            slot.waiting_for = slot.actor.build.remote(self._make_worker, self._payload)
        else:
            slot.is_ready = True
            self._events.append(ReplicaReady(slot.replica_id, answer))

    def _lost(self, slot: _ActorSlot, error: Exception) -> None:
        """A replica is gone, or could not be started; `_fill` brings another when it is time."""
        del self._slots.by_id[slot.replica_id]
        reason = ray_cluster.why_it_ended(error)
        kind = FailureKind.DIED if slot.node_id is None else ray_cluster.kind_of_end(error, slot.node_id)
        if slot.is_ready:
            self._events.append(ReplicaDied(slot.replica_id, Failure(kind, reason)))
        if slot.node_id is None and slot.nodes_then - ray_cluster.living_nodes():
            logger.info("%s may have been placed on a node that is gone; it is requested again", slot.replica_id)
        elif kind == FailureKind.DIED and not slot.has_had_orders:
            logger.error("%s could not be started: %s", slot.replica_id, reason)
            self._policy.failed(time.monotonic(), reason)
        if not slot.is_ready:
            ray.kill(slot.actor)  # where only its constructor has failed, the process still stands
        self._next_check_s = min(self._next_check_s, time.monotonic() + 1.0)


def _replicas(number: int) -> str:
    return f"{number} replica{'s' if number > 1 else ''}"
