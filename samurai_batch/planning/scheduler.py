"""Which order goes to which idle replica next, and what every answer means.

Deterministic: the same calls in the same order give the same orders. There is no clock, and replicas are known by id
only. A piece of work is a video to open, a shard to propagate through its next chunk, a track to publish, or a batch of
prompts to detect. Publishing goes first, then the shard that is paused at the replica, then detections, then the
costliest work in the queue. Between two chunks a shard may be split: its replica keeps some of the tracks, and the
others go to whichever replica is idle.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from samurai_batch.planning.backlog import Backlog
from samurai_batch.planning.discovery_windows import Discoveries
from samurai_batch.planning.job_state import JobState, KnownVideo, PendingDiscovery, PendingTrack
from samurai_batch.planning.orders import (
    Assignment,
    ChunkPropagated,
    Detected,
    DetectMember,
    Discovered,
    OpenOrder,
    Order,
    OrderFailed,
    Outcome,
    PropagateOrder,
    Report,
    TrackPublished,
    VideoOpened,
    is_new_truncation,
)
from samurai_batch.planning.rates import RateMeter, Rates
from samurai_batch.planning.records import (
    DetectRecord,
    DiscoveryRecord,
    LegRecord,
    Running,
    ShardRecord,
    TrackRecord,
    Tries,
    VideoRecord,
    Work,
)
from samurai_batch.planning.retry import REPLICA_GONE, Failure, FailureKind, RetryLimits, Verdict, decide
from samurai_batch.planning.shards import Shard


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings:
    """The job's settings of scheduling; without ``split_shards``, the tracks of a shard stay together."""

    chunk_frames: int
    keep_partial: bool
    limits: RetryLimits
    split_shards: bool = True
    max_tracks_per_shard: int = 8


class Scheduler:
    """Holds all pending tracks of a job until each is settled.

    ``shards`` group the tracks of the whole prompts table; those that are not in ``pending`` are left out.
    """

    def __init__(
        self,
        shards: Iterable[Shard],
        pending: Iterable[PendingTrack],
        videos: Mapping[str, KnownVideo],
        settings: ScheduleSettings,
        rates: Rates,
    ) -> None:
        self._settings = settings
        self._meter = RateMeter(rates)
        self._numbers = count(1)
        self._backlog = Backlog(self._meter, settings.split_shards)
        self._running: dict[int, Running] = {}
        self._order_at: dict[str, int] = {}
        self._job = JobState(settings.chunk_frames, settings.keep_partial)
        self._discoveries = Discoveries(self._job, self._backlog, settings.chunk_frames, settings.max_tracks_per_shard)
        self.add_tracks(shards, pending, videos)

    def add_tracks(
        self, shards: Iterable[Shard], pending: Iterable[PendingTrack], videos: Mapping[str, KnownVideo]
    ) -> None:
        """Add tracks, at the start of a job or after their detection."""
        for video in self._job.add_tracks(shards, pending, videos):
            known = videos[video.video.video_id]
            facts = video.facts or known.facts
            if facts is None:
                self._backlog.add(video)
                continue
            ready = self._job.set_facts(video, facts)
            if (truncation := video.truncation or known.truncation) is not None:
                self._job.truncate(video, truncation)
            self._backlog.add_all(ready)

    def add_detections(self, batches: Iterable[Sequence[DetectMember]]) -> None:
        """Add tracks that DetectOrders answer, one order for each batch."""
        self._backlog.add_all(self._job.add_detections(batches))

    def add_discoveries(self, discoveries: Iterable[PendingDiscovery], videos: Mapping[str, KnownVideo]) -> None:
        """Add discover prompts, whose tracks are not known yet."""
        self._discoveries.add(discoveries, videos)

    @property
    def is_finished(self) -> bool:
        """Whether every track is settled."""
        return self._job.num_open == 0

    @property
    def num_running(self) -> int:
        """Orders without a report so far."""
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        """Orders that could be given to any replica now; their reports may lead to more."""
        return len(self._job.to_publish) + self._backlog.num_waiting

    @property
    def track_frames_left(self) -> int:
        """Remaining frames, summed over tracks; an estimate while videos are not open."""
        return self._job.track_frames_left

    @property
    def rates(self) -> Rates:
        """The rates as measured so far."""
        return self._meter.rates

    @property
    def num_splits(self) -> int:
        """How often tracks were moved to another replica so that the job ends sooner."""
        return self._backlog.num_splits

    def is_busy(self, replica_id: str) -> bool:
        """Whether a replica is carrying out an order."""
        return replica_id in self._order_at

    def take_outcomes(self) -> list[Outcome]:
        """Outcomes of adding tracks: some do not fit what is known of their videos."""
        return self._job.take_outcomes()

    def assign(self, idle: Collection[str]) -> list[Assignment]:
        """One order for each idle replica, as long as there is work.

        Replicas with a paused shard go first: tracks that are split off can go to the others in the same call.
        """
        self._backlog.num_replicas = len(idle) + len(self._order_at)
        at_a_shard = [replica_id for replica_id in self._backlog.replicas_with_shards if replica_id in idle]
        assignments = [*self._assign_each(at_a_shard)]
        served = {assignment.replica_id for assignment in assignments}
        return [*assignments, *self._assign_each(one for one in idle if one not in served)]

    def _assign_each(self, replica_ids: Iterable[str]) -> Iterator[Assignment]:
        for replica_id in replica_ids:
            if not (self._job.to_publish or self._backlog):
                return  # a thousand idle replicas at the end of a job are not asked one by one
            order = self._next_order(replica_id)
            if order is not None:
                yield Assignment(replica_id, order)

    def handle_report(self, replica_id: str, report: Report) -> list[Outcome]:
        """Apply a report. One that comes late, or twice, changes nothing."""
        running = self._running.get(report.order_id)
        if running is None or running.replica_id != replica_id:
            return []
        self._order_ended(running, report.seconds)
        match report, running.work:
            case OrderFailed(), _:
                self._order_failed(running, report.failure)
            case VideoOpened(), VideoRecord() as video:
                self._meter.opened(report.seconds)
                self._backlog.add_all(self._job.set_facts(video, report.facts))
                self._discoveries.begin(video)
            case ChunkPropagated(), ShardRecord() as shard:
                self._meter.propagated(report, len(running.legs))
                self._chunk_propagated(running, shard)
            case TrackPublished(), TrackRecord() as track:
                self._job.published(track, report.num_rows)
            case Detected(), DetectRecord() as batch:
                self._detected(running, batch, report)
            case Discovered(), DiscoveryRecord() as discovery:
                self._discoveries.decided(discovery, report)
            case _:
                raise AssertionError(f"a report of the wrong kind for {running.order}: {report}")
        self._tracks_moved_on(running)
        return self._job.take_outcomes()

    def replica_lost(self, replica_id: str, failure: Failure) -> list[Outcome]:
        """A replica is gone: its order, and the shard that is paused at it, go to others.

        ``failure`` is of kind DIED, LOST or PREEMPTED.
        """
        self._backlog.replica_lost(replica_id)
        order_id = self._order_at.get(replica_id)
        if order_id is not None:
            running = self._running[order_id]
            self._order_ended(running, seconds=0.0)
            self._order_failed(running, failure)
            self._tracks_moved_on(running)
        return self._job.take_outcomes()

    # -- giving work out

    def _next_order(self, replica_id: str) -> Order | None:
        while True:
            work = self._job.to_publish.popleft() if self._job.to_publish else self._backlog.next_work(replica_id)
            if work is None:
                return None
            running = self._make_order(replica_id, work)
            if running is not None:
                self._running[running.order.order_id] = running
                self._order_at[replica_id] = running.order.order_id
                for track in running.tracks:
                    track.num_running += 1
                return running.order

    def _make_order(self, replica_id: str, work: Work) -> Running | None:
        """The order for a piece of work; None if its track has failed in the meantime."""
        order_id, chunk_frames = next(self._numbers), self._settings.chunk_frames
        match work:
            case TrackRecord():
                if not work.is_open:
                    return None
                return Running(replica_id, work.publish_order(order_id, chunk_frames), work)
            case VideoRecord():
                return Running(replica_id, OpenOrder(order_id, work.video), work)
            case ShardRecord():
                order, legs = work.propagate_order(order_id, chunk_frames)
                return Running(replica_id, order, work, legs)
            case DetectRecord():
                return Running(replica_id, work.detect_order(order_id), work)
            case DiscoveryRecord():
                if not work.track.is_open:
                    return None
                return Running(replica_id, work.discover_order(order_id, chunk_frames), work)

    def _queue(self, work: Work) -> None:
        """Queue a piece of work for any replica."""
        if isinstance(work, TrackRecord):
            self._job.to_publish.append(work)
        else:
            self._backlog.add(work)

    # -- reports and failures

    def _order_ended(self, running: Running, seconds: float) -> None:
        del self._running[running.order.order_id]
        del self._order_at[running.replica_id]
        tracks = running.tracks
        for track in tracks:
            track.num_running -= 1
            track.seconds += seconds / len(tracks)

    def _tracks_moved_on(self, running: Running) -> None:
        self._job.order_ended(running.tracks)
        if isinstance(running.work, ShardRecord | DetectRecord):
            for video in {track.video for track in running.tracks}:
                self._discoveries.proceed(video)

    def _chunk_propagated(self, running: Running, shard: ShardRecord) -> None:
        assert isinstance(running.order, PropagateOrder)
        shard.tries = Tries()
        self._job.advance(running.legs, running.order.chunk)
        self._backlog.pause(running.replica_id, shard)

    def _detected(self, running: Running, batch: DetectRecord, report: Detected) -> None:
        """Apply the answer of each track separately: one that failed is retried or given up alone."""
        for track, alone, answer in zip(batch.tracks, batch.split(len(batch.tracks)), report.answers, strict=True):
            if isinstance(answer, Failure):
                self._order_failed(replace(running, work=alone), answer)
            else:
                self._job.published(track, answer)

    def _order_failed(self, running: Running, failure: Failure) -> None:
        if is_new_truncation(running.order, failure):
            assert isinstance(running.work, ShardRecord)
            self._job.truncate(running.work.video, failure)
            self._queue(running.work)
            return
        self._count_failure(running, failure.kind)
        verdict = decide(
            failure.kind,
            attempts=running.work.tries.attempts,
            deaths=running.work.tries.deaths,
            losses=running.work.tries.losses,
            num_tracks=len(running.tracks),
            restarted=all(track.has_restarted for track in running.tracks),
            can_split=isinstance(running.work, DetectRecord),
            limits=self._settings.limits,
        )
        self._apply_verdict(verdict, running, failure)

    def _count_failure(self, running: Running, kind: FailureKind) -> None:
        tries = running.work.tries
        match kind:
            case FailureKind.PREEMPTED:
                return
            case FailureKind.DIED:
                tries.deaths += 1
            case FailureKind.LOST:
                tries.losses += 1
            case _:
                tries.attempts += 1
        for track in running.affected_tracks:
            track.num_failed_orders += 1

    def _apply_verdict(self, verdict: Verdict, running: Running, failure: Failure) -> None:
        work = running.work
        match verdict:
            case Verdict.AGAIN:
                self._queue(work)
            case Verdict.SPLIT if isinstance(work, DetectRecord):
                self._backlog.add_all(work.split(len(work.tracks) if failure.kind in REPLICA_GONE else 2))
            case Verdict.SPLIT:
                assert isinstance(work, ShardRecord)
                self._halve(work, running.legs)
            case Verdict.RESTART:
                self._restart(running)
            case Verdict.GIVE_UP:
                self._job.give_up(running.affected_tracks, running.final_failure(failure))
                work.tries = Tries()
                if isinstance(work, ShardRecord):
                    self._queue(work)
                elif isinstance(work, VideoRecord):
                    self._backlog.drop(work.unopened)
                    work.unopened = []

    def _halve(self, shard: ShardRecord, legs: list[LegRecord]) -> None:
        """Move half of the legs that failed together to a new shard; each half has one attempt more."""
        shard.tries.attempts -= 1
        moved = legs[len(legs) // 2 :]
        tries = replace(shard.tries)
        self._backlog.add_all([ShardRecord(shard.video, moved, tries), shard])

    def _restart(self, running: Running) -> None:
        """Start one track again: the leg that failed, or both legs if its parts do not join."""
        (track,) = running.tracks
        if isinstance(running.work, DiscoveryRecord):
            self._discoveries.restart(running.work)
            return
        legs = running.legs or track.legs
        self._job.rewind(track, legs)
        track.tries = Tries()
        self._backlog.add_all(ShardRecord(track.video, [leg]) for leg in legs)
        if not isinstance(running.work, TrackRecord):
            self._queue(running.work)
