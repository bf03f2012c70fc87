"""How large a cluster one driver can serve: the real scheduler with replicas that only take time.

There is no storage and no row: an order takes the seconds that its frames cost. The results are the makespan, its lower
bound, and how many orders per second the scheduler assigns on one core.
"""

import heapq
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from samurai_batch.planning.chunks import frames_to_propagate
from samurai_batch.planning.job_state import KnownVideo, PendingTrack
from samurai_batch.planning.orders import (
    ChunkPropagated,
    OpenOrder,
    Order,
    PropagateOrder,
    PublishOrder,
    Report,
    TrackPublished,
    TrackSettled,
    VideoOpened,
)
from samurai_batch.planning.rates import Rates
from samurai_batch.planning.resume import NOTHING_SAVED
from samurai_batch.planning.retry import Failure, FailureKind, RetryLimits
from samurai_batch.planning.scheduler import Scheduler, ScheduleSettings
from samurai_batch.planning.shards import make_shards
from samurai_batch.planning.validation import VideoFacts
from samurai_batch.prompts import BoxPrompt
from samurai_batch.stats import WorkStats
from samurai_batch.tasks import Track, Video

RATES = Rates(encode_s=0.04, propagate_s=0.01, open_s=3.0)
FIRST_RATES = Rates(encode_s=1.0, propagate_s=0.25, open_s=1.0)
PUBLISH_S = 0.2
START_S = 60.0
CHUNK_FRAMES = 200
MOST_TRACKS_PER_SHARD = 8
BYTES_PER_FRAME_SPREAD = 2.0


@dataclass(frozen=True)
class Answer:
    """Results of one simulation; ``plan_s`` and ``run_s`` are CPU seconds, including the simulation's."""

    num_orders: int
    makespan_s: float
    lower_bound_s: float
    run_s: float
    plan_s: float
    num_preempted: int
    num_splits: int

    @property
    def excess(self) -> float:
        return self.makespan_s / self.lower_bound_s - 1

    @property
    def orders_per_s(self) -> float:
        return self.num_orders / self.run_s

    def __str__(self) -> str:
        return (
            f"{self.num_orders} orders, {self.num_preempted} preemptions, {self.num_splits} splits; "
            f"planned in {self.plan_s:.1f} s; {self.orders_per_s:,.0f} decisions/s; "
            f"makespan {self.makespan_s:,.0f} s, lower bound {self.lower_bound_s:,.0f} s: {self.excess:+.2%}"
        )


@dataclass
class CapacityScenario:
    """Each of the replicas is preempted once in ``preempted_every_s`` on average, and replaced a minute later.

    With ``one_video_of`` frames, all tracks are of one video, from its first frame to its last.
    """

    num_replicas: int
    num_tracks: int
    preempted_every_s: float = 4 * 3600.0
    seed: int = 0
    one_video_of: int | None = None
    lengths: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._tracks = list(
            self._draw_tracks() if self.one_video_of is None else self._tracks_of_one(self.one_video_of)
        )
        self._numbers = count()

    def _draw_tracks(self) -> Iterator[Track]:
        """Videos of lognormal length (median two minutes, some of hours), most of them with a few tracks."""
        chance, left, number = self._chance, self.num_tracks, 0
        while left:
            video = Video(f"v{number}", f"v{number}.mp4")
            self.lengths[video.video_id] = num_frames = min(int(chance.lognormvariate(8.0, 1.0)) + 30, 400_000)
            num_tracks = min(left, 1 + int(chance.expovariate(1 / 3)))
            for track in range(num_tracks):
                prompted = chance.choice([0, 0, chance.randrange(num_frames)])
                direction = chance.choice(["forward", "forward", "both"])
                yield Track(
                    video=video,
                    object_id=str(track),
                    prompts=(BoxPrompt(prompted, (1.0, 1.0, 9.0, 9.0)),),
                    direction=direction,  # type: ignore[arg-type]
                )
            left -= num_tracks
            number += 1

    def _tracks_of_one(self, num_frames: int) -> Iterator[Track]:
        self.lengths["v"] = num_frames
        for track in range(self.num_tracks):
            yield Track(video=Video("v", "v.mp4"), object_id=str(track), prompts=(BoxPrompt(0, (1.0, 1.0, 9.0, 9.0)),))

    def run(self) -> Answer:
        """Simulate the whole job, event by event."""
        started_s = time.process_time()
        scheduler = self.make_scheduler()
        plan_s = time.process_time() - started_s
        run = _Run(self, scheduler)
        started_s = time.process_time()
        makespan_s = run.to_the_end()
        return Answer(
            num_orders=run.num_orders,
            makespan_s=makespan_s,
            lower_bound_s=self._lower_bound_s(),
            run_s=time.process_time() - started_s,
            plan_s=plan_s,
            num_preempted=run.num_preempted,
            num_splits=scheduler.num_splits,
        )

    def make_scheduler(self) -> Scheduler:
        chance = self._chance
        known = {
            video_id: KnownVideo(int(num_frames * chance.uniform(1 / BYTES_PER_FRAME_SPREAD, BYTES_PER_FRAME_SPREAD)))
            for video_id, num_frames in self.lengths.items()
        }
        return Scheduler(
            make_shards(self._tracks, MOST_TRACKS_PER_SHARD),
            [PendingTrack(track, f"{track.video.video_id}/{track.object_id}", NOTHING_SAVED) for track in self._tracks],
            known,
            ScheduleSettings(chunk_frames=CHUNK_FRAMES, keep_partial=False, limits=RetryLimits()),
            FIRST_RATES,
        )

    def _lower_bound_s(self) -> float:
        """The larger of: all work spread evenly with no frame encoded twice, and the longest track alone."""
        total_s = longest_s = 0.0
        for shard in make_shards(self._tracks, MOST_TRACKS_PER_SHARD):
            num_frames = self.lengths[shard.video.video_id]
            spans = [_num_frames(leg.start_frame, leg.reverse, num_frames) for leg in shard.legs]
            total_s += max(spans) * RATES.encode_s + sum(spans) * RATES.propagate_s
            longest_s = max(longest_s, max(spans) * (RATES.encode_s + RATES.propagate_s))
        total_s += len(self._tracks) * PUBLISH_S + len(self.lengths) * RATES.open_s
        return max(total_s / self.num_replicas, longest_s)

    def seconds_of(self, order: Order, has_open: set[str]) -> tuple[float, Report]:
        """The seconds an order takes a replica that has these videos open, and its report."""
        match order:
            case OpenOrder():
                has_open.add(order.video.video_id)
                facts = VideoFacts(self.lengths[order.video.video_id], 720, 1280)
                return RATES.open_s, VideoOpened(order.order_id, facts, RATES.open_s)
            case PublishOrder():
                return PUBLISH_S, TrackPublished(order.order_id, len(order.rows), PUBLISH_S)
            case PropagateOrder():
                return self._propagate(order, has_open)
            case _:
                raise AssertionError(f"no detections in this simulation: {order}")

    def _propagate(self, order: PropagateOrder, has_open: set[str]) -> tuple[float, Report]:
        frames = frames_to_propagate(order.legs, order.chunk, order.chunk_frames, order.num_frames)
        low, high = frames[0], frames[-1]
        low, high = min(low, high), max(low, high)
        track_frames = sum(_overlap(leg.reverse, leg.start_frame, low, high) for leg in order.legs)
        encode_s, propagate_s = len(frames) * RATES.encode_s, track_frames * RATES.propagate_s
        seconds = encode_s + propagate_s
        if order.video.video_id not in has_open:
            has_open.add(order.video.video_id)
            seconds += RATES.open_s
        stage_s = {"encode": encode_s, "propagate": propagate_s}
        stats = WorkStats(frames_encoded=len(frames), track_frames=track_frames, stage_s=stage_s)
        return seconds, ChunkPropagated(order_id=order.order_id, stats=stats, seconds=seconds)

    def next_preemption_s(self) -> float:
        return self._chance.expovariate(1 / self.preempted_every_s)


class _Run:
    """One simulated run: a heap of the events at which replicas start, answer and are preempted."""

    def __init__(self, scenario: CapacityScenario, scheduler: Scheduler) -> None:
        self._scenario = scenario
        self._scheduler = scheduler
        self._numbers = count()
        self._events: list[tuple[float, int, str, Report | None]] = []
        self._idle: dict[str, None] = {}
        self._videos: dict[str, set[str]] = {}
        self.num_orders = self.num_preempted = 0
        for _ in range(scenario.num_replicas):
            self._plan(0.0, f"r{next(self._numbers)}", None)

    def to_the_end(self) -> float:
        now_s = 0.0
        while not self._scheduler.is_finished:
            now_s, _, replica_id, report = heapq.heappop(self._events)
            if report is not None:
                self._answered(replica_id, report)
            elif replica_id in self._videos:
                self._preempted(now_s, replica_id)
            else:
                self._videos[replica_id] = set()
                self._idle[replica_id] = None
                self._plan(now_s + self._scenario.next_preemption_s(), replica_id, None)
            self._give(now_s)
        return now_s

    def _answered(self, replica_id: str, report: Report) -> None:
        if replica_id in self._videos:
            outcomes = self._scheduler.handle_report(replica_id, report)
            assert all(one.status == "done" for one in outcomes if isinstance(one, TrackSettled))
            self._idle[replica_id] = None

    def _preempted(self, now_s: float, replica_id: str) -> None:
        self.num_preempted += 1
        del self._videos[replica_id]
        self._idle.pop(replica_id, None)
        self._scheduler.replica_lost(replica_id, Failure(FailureKind.PREEMPTED, "spot"))
        self._plan(now_s + START_S, f"r{next(self._numbers)}", None)

    def _give(self, now_s: float) -> None:
        for assignment in self._scheduler.assign(self._idle):
            self.num_orders += 1
            del self._idle[assignment.replica_id]
            seconds, report = self._scenario.seconds_of(assignment.order, self._videos[assignment.replica_id])
            self._plan(now_s + seconds, assignment.replica_id, report)

    def _plan(self, moment_s: float, replica_id: str, report: Report | None) -> None:
        heapq.heappush(self._events, (moment_s, next(self._numbers), replica_id, report))


def _num_frames(start_frame: int, reverse: bool, num_frames: int) -> int:
    return start_frame + 1 if reverse else num_frames - start_frame


def _overlap(reverse: bool, start_frame: int, low: int, high: int) -> int:
    return max(0, min(high, start_frame) - low + 1 if reverse else high - max(low, start_frame) + 1)


def parse_size(text: str) -> tuple[int, int]:
    """``1000x100000``: replicas and tracks."""
    replicas, _, tracks = text.partition("x")
    return int(replicas), int(tracks)


__all__ = ["Answer", "CapacityScenario", "parse_size"]
