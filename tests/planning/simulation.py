"""A simple simulation around the scheduler: replicas answer, fail and die at random."""

import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from samurai_batch.planning.chunks import frames_to_propagate
from samurai_batch.planning.job_state import KnownVideo, PendingTrack
from samurai_batch.planning.orders import (
    ChunkPropagated,
    Detected,
    DetectOrder,
    DiscoverOrder,
    OpenOrder,
    Order,
    OrderFailed,
    Outcome,
    PropagateOrder,
    PublishOrder,
    Report,
    TrackPublished,
    TrackSettled,
    VideoOpened,
    WorkInvalidated,
)
from samurai_batch.planning.rates import Rates
from samurai_batch.planning.resume import NOTHING_SAVED
from samurai_batch.planning.retry import REPLICA_GONE, Failure, FailureKind, RetryLimits
from samurai_batch.planning.scheduler import Scheduler, ScheduleSettings
from samurai_batch.planning.shards import make_shards
from samurai_batch.planning.validation import VideoFacts
from samurai_batch.stats import WorkStats
from samurai_batch.tasks import Leg, Track

RATES = Rates(encode_s=1.0, propagate_s=0.25, open_s=2.0)


@dataclass
class Scenario:
    """Records what has been propagated, and checks every order against it."""

    num_frames: dict[str, int]
    missing_from: dict[str, int] = field(default_factory=dict)
    propagated: dict[tuple[str, bool], list[int]] = field(default_factory=lambda: defaultdict(list))
    busy: set[tuple[str, bool]] = field(default_factory=set)
    settled: dict[str, TrackSettled] = field(default_factory=dict)
    rows: dict[str, range] = field(default_factory=dict)

    def begin(self, order: Order) -> None:
        for name in self._names(order):
            assert name not in self.busy, "another replica works on this leg"
            self.busy.add(name)

    def end(self, order: Order) -> None:
        self.busy -= set(self._names(order))

    def carry_out(self, order: Order) -> Report:
        """The report of a replica without faults."""
        match order:
            case OpenOrder():
                facts = VideoFacts(self.num_frames[order.video.video_id], 48, 64)
                return VideoOpened(order.order_id, facts, 1.0)
            case PropagateOrder():
                return self._propagate(order)
            case PublishOrder():
                self.rows[order.fingerprint] = order.rows
                return TrackPublished(order.order_id, len(order.rows), 1.0)
            case DetectOrder():
                return Detected(order.order_id, (0,) * len(order.members), 1.0)
            case DiscoverOrder():
                raise AssertionError("tests/simulation tries discoveries")

    def take_in(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, TrackSettled):
                assert outcome.fingerprint not in self.settled, "a track is settled once"
                assert not {(outcome.fingerprint, False), (outcome.fingerprint, True)} & self.busy
                self.settled[outcome.fingerprint] = outcome
            elif isinstance(outcome, WorkInvalidated):
                self.propagated.pop((outcome.fingerprint, outcome.reverse), None)

    def _propagate(self, order: PropagateOrder) -> Report:
        frames = frames_to_propagate(order.legs, order.chunk, order.chunk_frames, order.num_frames)
        assert frames, "no order without frames"
        missing_from = self.missing_from.get(order.video.video_id, order.num_frames)
        if max(frames) >= missing_from:
            reached = max(missing_from, min(frames))
            return OrderFailed(order.order_id, Failure(FailureKind.TRUNCATED, "truncated", reached), 1.0)
        for leg in order.legs:
            done = self.propagated[leg.fingerprint, order.reverse]
            mine = [index for index in frames if leg.covers(index)]
            done[:] = done[: done.index(mine[0])] if mine[0] in done else done  # a chunk may be propagated again
            done += mine
        return ChunkPropagated(
            order_id=order.order_id,
            stats=WorkStats(
                frames_encoded=len(frames),
                track_frames=sum(leg.covers(index) for leg in order.legs for index in frames),
                stage_s={"encode": len(frames) * 1.0, "propagate": len(frames) * 0.25},
            ),
            seconds=1.0,
        )

    @staticmethod
    def _names(order: Order) -> list[tuple[str, bool]]:
        match order:
            case PropagateOrder():
                return [(leg.fingerprint, order.reverse) for leg in order.legs]
            case PublishOrder():
                return [(order.fingerprint, False), (order.fingerprint, True)]
            case OpenOrder():
                return []
            case DetectOrder():
                return [(member.fingerprint, False) for member in order.members]
            case DiscoverOrder():
                raise AssertionError("tests/simulation tries discoveries")


def make_scheduler(
    tracks: list[Track],
    *,
    chunk_frames: int = 10,
    limit: int = 4,
    keep_partial: bool = False,
    known: dict[str, KnownVideo] | None = None,
) -> Scheduler:
    pending = [PendingTrack(track, fingerprint_of(track), NOTHING_SAVED) for track in tracks]
    return Scheduler(
        make_shards(tracks, limit),
        pending,
        {track.video.video_id: KnownVideo(50) for track in tracks} | (known or {}),
        ScheduleSettings(chunk_frames=chunk_frames, keep_partial=keep_partial, limits=RetryLimits()),
        RATES,
    )


def fingerprint_of(track: Track) -> str:
    return f"{track.video.video_id}/{track.object_id}"


def run(scheduler: Scheduler, scenario: Scenario, num_replicas: int, chance: random.Random, *, trouble: float) -> int:
    """Run to the end with late and repeated answers, errors and deaths; returns the number of orders."""
    scenario.take_in(scheduler.take_outcomes())
    idle = [f"r{number}" for number in range(num_replicas)]
    running: dict[str, Order] = {}
    old_reports: list[tuple[str, Report]] = []
    num_orders = num_made = 0
    while not scheduler.is_finished:
        for assignment in scheduler.assign(idle):
            idle.remove(assignment.replica_id)
            running[assignment.replica_id] = assignment.order
            scenario.begin(assignment.order)
            num_orders += 1
        assert running, "at least one replica works"
        replica_id = chance.choice(sorted(running))
        order = running.pop(replica_id)
        report = scenario.carry_out(order) if chance.random() > trouble / 2 else None
        scenario.end(order)
        if report is None or chance.random() < trouble / 2:
            num_made += 1
            idle.append(f"s{num_made}")
            kind = FailureKind.PREEMPTED if chance.random() < 0.5 else FailureKind.DIED
            scenario.take_in(scheduler.replica_lost(replica_id, Failure(kind, "killed")))
        elif chance.random() < trouble:
            kind = chance.choice([kind for kind in FailureKind if kind not in _NOT_ANSWERED])
            idle.append(replica_id)
            scenario.take_in(
                scheduler.handle_report(replica_id, OrderFailed(order.order_id, Failure(kind, "boom"), 1.0))
            )
        else:
            idle.append(replica_id)
            scenario.take_in(scheduler.handle_report(replica_id, report))
        if report is not None:
            old_reports.append((replica_id, report))
        if old_reports and chance.random() < trouble:
            assert scheduler.handle_report(*chance.choice(old_reports)) == []
    return num_orders


_NOT_ANSWERED = {*REPLICA_GONE, FailureKind.TRUNCATED}


def frames_of(leg: Leg, num_frames: int) -> list[int]:
    frames = [index for index in range(num_frames) if leg.covers(index)]
    return frames[::-1] if leg.reverse else frames
