"""Simulated replicas on simulated nodes: the real `Replica`, on a simulated timeline."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from samurai_batch.planning.orders import ChunkPropagated, Order, PropagateOrder, Report
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.prompts import BoxPrompt, FrameDetection
from samurai_batch.runtime.pool import Answered, PoolEvent, PoolFailed, ReplicaDied, ReplicaReady
from samurai_batch.runtime.replica import Replica
from samurai_batch.tasks import Leg, Track
from samurai_batch.video import VideoSource
from tests.runtime.fakes import FakeTracker, video_opener
from tests.simulation.accounts import Accounts
from tests.simulation.faults import ERRORS, Faults, ReplicaWeather
from tests.simulation.jobs import RULES, SimulatedJob, detect_window, look_up
from tests.simulation.stores import Killed, MemoryStore, StoreView
from tests.simulation.timeline import Timeline

REPLICAS_PER_NODE = 2
KILLED = Failure(FailureKind.DIED, "killed")
OUT_OF_REACH = Failure(FailureKind.LOST, "lost contact")
NODE_LOST = Failure(FailureKind.LOST, "its node is gone")
PREEMPTED = Failure(FailureKind.PREEMPTED, "its node left")


@dataclass(frozen=True)
class Cluster:
    """Where replicas run. Tracks in ``poisoned`` (video, object) kill every replica that propagates them."""

    timeline: Timeline
    store: MemoryStore
    chance: random.Random
    output: str
    num_nodes: int
    most_legs_in_memory: int
    poisoned: frozenset[tuple[str, str]]
    job: SimulatedJob
    trace: Callable[[str], None]


class SimulatedReplica:
    """A replica, and the faults of its current order."""

    def __init__(self, replica_id: str, node: int, cluster: Cluster, faults: Faults) -> None:
        self.replica_id = replica_id
        self.node = node
        self.is_lost = False
        self._cluster = cluster
        self._faults = faults
        self.weather = ReplicaWeather(cluster.chance, faults)
        self.view = StoreView(cluster.store, self.weather)
        self._worker = Replica(
            propagate=FakeTracker(before_frame=self._before_frame, mask_of=cluster.job.mask_of).propagate,
            detect=self._look_up,
            rules=RULES,
            detect_window=self._detect_window,
            open_video=video_opener(self.view.read_bytes),
            store=self.view,
            output=cluster.output,
            metadata={"run_id": "simulated"},
            num_transfers=1,
        )

    def carry_out(self, order: Order, seconds: float) -> Answered | None:
        """The answer; None if the replica dies during the order."""
        try:
            report = self._worker.run(order)
        except Killed:
            return None
        return Answered(self.replica_id, _timed(report, seconds))

    def _look_up(self, source: VideoSource, track: Track) -> list[BoxPrompt]:
        found = look_up(source, track)
        self._fail_by_chance([track])
        return found

    def _detect_window(self, source: VideoSource, track: Track) -> list[FrameDetection]:
        found = detect_window(self._cluster.job, source, track)
        self._fail_by_chance([track])
        return found

    def _before_frame(self, index: int, legs: Sequence[Leg]) -> None:
        if len(legs) > self._cluster.most_legs_in_memory:
            raise MemoryError
        self._fail_by_chance([leg.track for leg in legs])

    def _fail_by_chance(self, tracks: Sequence[Track]) -> None:
        keys = {(track.video.video_id, track.object_id) for track in tracks}
        if self._faults.poison and keys & self._cluster.poisoned:
            raise Killed
        if self._cluster.chance.random() < self._faults.error / 4:
            raise self._cluster.chance.choice(ERRORS)("boom")


class SimulatedPool:
    """The pool of one driver. ``on_wait`` may stop, suspend or kill the driver."""

    def __init__(
        self,
        cluster: Cluster,
        faults: Faults,
        name: str,
        on_wait: Callable[[], None],
        on_order: Callable[[Order], None],
    ) -> None:
        self.accounts = Accounts()
        self._cluster = cluster
        self._chance = cluster.chance
        self._faults = faults
        self._name = name
        self._on_wait = on_wait
        self._on_order = on_order
        self._events: list[PoolEvent] = []
        self._replicas: dict[str, SimulatedReplica] = {}
        self._num_starting = 0
        self._num_started = 0
        self._is_closed = False
        for node in range(cluster.num_nodes):
            self._add_node(node)

    # -- the driver's side

    def submit(self, replica_id: str, order: Order) -> None:
        self._cluster.trace(f"{replica_id} <- {_brief(order)}")
        self._on_order(order)
        self.accounts.given(replica_id, order)
        replica = self._replicas.get(replica_id)
        if replica is not None:  # otherwise it has died, and the driver will be told
            self._begin(replica, order)

    def wait(self, timeout_s: float) -> list[PoolEvent]:
        self._on_wait()
        self._cluster.timeline.advance(timeout_s, until=lambda: bool(self._events))
        events, self._events = self._events, []
        for event in events:
            self._cluster.trace(f"-> {event}")
            match event:
                case Answered(replica_id, report):
                    self.accounts.answered(replica_id, report)
                case ReplicaDied(replica_id):
                    self.accounts.lost(replica_id)
        return events

    def replace(self, replica_id: str) -> None:
        assert replica_id not in self.accounts.orders, f"{replica_id} is replaced during an order"
        replica = self._replicas.pop(replica_id, None)
        if replica is not None:
            replica.is_lost = True
            self._start(replica.node)

    def close(self) -> None:
        """End the replicas, some of them only after their current order."""
        self._is_closed = True
        for replica in self._replicas.values():
            replica.is_lost = self._chance.random() < 0.7

    # -- the cluster's side

    def _add_node(self, node: int) -> None:
        for _ in range(REPLICAS_PER_NODE):
            self._start(node)

    def _start(self, node: int) -> None:
        self._num_starting += 1
        self._cluster.timeline.plan(self._chance.uniform(1, 20), partial(self._started, node))

    def _started(self, node: int) -> None:
        self._num_starting -= 1
        if self._is_closed:
            return
        if self._chance.random() < self._faults.failed_start:
            if not self._replicas and not self._num_starting:
                self._events.append(PoolFailed("no memory"))
            return
        self._num_started += 1
        replica_id = f"{self._name}-{self._num_started}@{node}"
        self._replicas[replica_id] = SimulatedReplica(replica_id, node, self._cluster, self._faults)
        self._events.append(ReplicaReady(replica_id))
        if self._happens(self._faults.idle_death):
            self._cluster.timeline.plan(self._chance.uniform(0, 60), partial(self._lose, replica_id, KILLED))

    def _begin(self, replica: SimulatedReplica, order: Order) -> None:
        seconds = self._chance.uniform(1, 10)
        if self._happens(self._faults.slow):
            seconds *= 30
        if self._happens(self._faults.node_loss):
            self._cluster.timeline.plan(self._chance.uniform(0, 20), partial(self._lose_node, replica.node))
        if self._happens(self._faults.straggler):
            self._straggle(replica, order, seconds)
        else:
            replica.weather.die_at(None)
            if self._happens(self._faults.death):
                replica.weather.die_at(self._chance.randint(1, 8), after=self._chance.random() < 0.5)
            self._cluster.timeline.plan(seconds, partial(self._end, replica, order, seconds))
            if self._happens(self._faults.preemption):
                lose = partial(self._lose, replica.replica_id, PREEMPTED)
                self._cluster.timeline.plan(self._chance.uniform(0, 2 * seconds), lose)

    def _end(self, replica: SimulatedReplica, order: Order, seconds: float) -> None:
        """Carry out the order and answer it, unless the replica dies before, during or after its writes."""
        if replica.is_lost:
            return
        answer = replica.carry_out(order, seconds)
        if answer is None or self._happens(self._faults.death / 2):
            self._lose(replica.replica_id, KILLED)
            return
        self._events.append(answer)
        if self._happens(self._faults.double_answer):
            self._cluster.timeline.plan(self._chance.uniform(0, 10), partial(self._answer_again, answer))

    def _answer_again(self, event: PoolEvent) -> None:
        self._events.append(event)

    def _straggle(self, replica: SimulatedReplica, order: Order, seconds: float) -> None:
        """The replica is taken for dead but continues: it reads now, and writes and answers later."""
        timeline = self._cluster.timeline
        failure = PREEMPTED if self._chance.random() < 0.5 else OUT_OF_REACH

        def read() -> None:
            replica.view.postpone()
            answer = replica.carry_out(order, seconds)
            changes = replica.view.take_postponed()
            timeline.plan(self._chance.uniform(0, 60), partial(write, changes, answer))

        def write(changes: Sequence[Callable[[], None]], answer: Answered | None) -> None:
            if self._is_closed:
                return
            self._cluster.trace(f"straggler {replica.replica_id} writes {_brief(order)}")
            for change in changes:
                change()
            if answer is not None:
                self._events.append(answer)

        timeline.plan(seconds, read)
        lost_after_s = self._chance.uniform(0, 2 * seconds)
        timeline.plan(lost_after_s, partial(self._lose, replica.replica_id, failure))

    def _lose_node(self, node: int) -> None:
        for replica in [replica for replica in self._replicas.values() if replica.node == node]:
            self._lose(replica.replica_id, NODE_LOST)

    def _lose(self, replica_id: str, failure: Failure) -> None:
        replica = self._replicas.pop(replica_id, None)
        if replica is not None:
            replica.is_lost = True
            self._events.append(ReplicaDied(replica_id, failure))
            self._start(replica.node)

    def _happens(self, likelihood: float) -> bool:
        return self._chance.random() < likelihood


def _timed(report: Report, seconds: float) -> Report:
    """The report with simulated durations, most of which is encoding."""
    if not isinstance(report, ChunkPropagated):
        return replace(report, seconds=seconds)
    stats = report.stats
    encode_s = seconds * stats.frames_encoded / (stats.frames_encoded + stats.track_frames / 2)
    simulated = replace(stats, stage_s={"encode": encode_s, "propagate": seconds - encode_s})
    return replace(report, seconds=seconds, stats=simulated)


def _brief(order: Order) -> str:
    if isinstance(order, PropagateOrder):
        names = ",".join(leg.track.object_id for leg in order.legs)
        way = "backward" if order.reverse else "forward"
        return (
            f"#{order.order_id} {order.video.video_id}/{names} {way} chunk {order.chunk} of {order.num_frames} frames"
        )
    return f"#{order.order_id} {type(order).__name__} {getattr(order, 'track', '')}"
