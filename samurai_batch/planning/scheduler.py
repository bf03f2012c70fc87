"""Which order goes to which idle replica next, and what every answer means.

A deterministic machine: the same calls in the same order give the same orders. It knows no clock, and of a
replica only its id. A piece of work is a video to open, a shard to follow through its next chunk, a track to
publish, or a look. Publishing goes first, then the shard a replica is in the middle of, then what waits: looks, for
nobody knows yet how much they find, then the costliest. Between two chunks a shard may be split: where it ran so far
it goes on with some of its tracks, the others wait for whoever is free.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from samurai_batch.planning.backlog import Backlog
from samurai_batch.planning.job_state import JobState, KnownVideo, PendingTrack
from samurai_batch.planning.orders import (
    Assignment,
    ChunkPropagated,
    Detected,
    DetectMember,
    DetectOrder,
    OpenOrder,
    Order,
    OrderFailed,
    Outcome,
    PropagateOrder,
    Report,
    TrackPublished,
    VideoOpened,
)
from samurai_batch.planning.rates import RateMeter, Rates
from samurai_batch.planning.records import (
    DetectRecord,
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
    """What the job decides about scheduling; without ``split_shards``, tracks that are followed together stay so."""

    chunk_frames: int
    keep_partial: bool
    limits: RetryLimits
    split_shards: bool = True


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
        self.enter(shards, pending, videos)

    def enter(self, shards: Iterable[Shard], pending: Iterable[PendingTrack], videos: Mapping[str, KnownVideo]) -> None:
        """Take in more tracks, such as those that a look has found."""
        for video in self._job.enter(shards, pending, videos):
            known = videos[video.video.video_id]
            facts = video.facts or known.facts
            if facts is None:
                self._backlog.wait(video)
                continue
            ready = self._job.learn(video, facts)
            if (cut := video.cut or known.cut) is not None:
                self._job.truncate(video, cut)
            self._backlog.wait_all(ready)

    def enter_detections(self, looks: Iterable[Sequence[DetectMember]]) -> None:
        """Take in tracks that are answered at once, those of one order together."""
        self._backlog.wait_all(self._job.enter_detections(looks))

    @property
    def is_finished(self) -> bool:
        """Whether every track is settled."""
        return self._job.num_open == 0

    @property
    def num_running(self) -> int:
        """Orders that no answer has come to yet."""
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        """Orders that any replica could be given now; more may come of them."""
        return len(self._job.to_publish) + self._backlog.num_waiting

    @property
    def track_frames_left(self) -> int:
        """Frames still to follow, summed over tracks; an estimate where videos are not opened yet."""
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
        """Whether an answer is still due from a replica."""
        return replica_id in self._order_at

    def take_outcomes(self) -> list[Outcome]:
        """What is decided as tracks are taken in: some do not fit what is known of their videos."""
        return self._job.take_outcomes()

    def assign(self, idle: Collection[str]) -> list[Assignment]:
        """One order for each idle replica, as long as there is work.

        Those in the middle of a shard are asked first: what they give away can go to the others at once.
        """
        self._backlog.num_replicas = len(idle) + len(self._order_at)
        at_a_shard = [replica_id for replica_id in self._backlog.in_the_middle if replica_id in idle]
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

    def reported(self, replica_id: str, report: Report) -> list[Outcome]:
        """Take in an answer. One that comes late, or twice, changes nothing."""
        running = self._running.get(report.order_id)
        if running is None or running.replica_id != replica_id:
            return []
        self._stop(running, report.seconds)
        match report, running.work:
            case OrderFailed(), _:
                self._failed(running, report.failure)
            case VideoOpened(), VideoRecord() as video:
                self._meter.opened(report.seconds)
                self._backlog.wait_all(self._job.learn(video, report.facts))
            case ChunkPropagated(), ShardRecord() as shard:
                self._meter.propagated(report, len(running.legs))
                self._followed(running, shard)
            case TrackPublished(), TrackRecord() as track:
                self._job.published(track, report.num_rows)
            case Detected(), DetectRecord() as look:
                self._detected(running, look, report)
            case _:
                raise AssertionError(f"an answer of another kind to {running.order}: {report}")
        self._job.release(running.tracks)
        return self._job.take_outcomes()

    def replica_lost(self, replica_id: str, failure: Failure) -> list[Outcome]:
        """A replica is gone: what it was doing, and the shard it would go on with, are free for others.

        ``failure`` is of kind DIED, LOST or PREEMPTED.
        """
        self._backlog.replica_lost(replica_id)
        order_id = self._order_at.get(replica_id)
        if order_id is not None:
            running = self._running[order_id]
            self._stop(running, seconds=0.0)
            self._failed(running, failure)
            self._job.release(running.tracks)
        return self._job.take_outcomes()

    # -- giving work out

    def _next_order(self, replica_id: str) -> Order | None:
        while (work := self._choose(replica_id)) is not None:
            running = self._begin(replica_id, work)
            if running is not None:
                self._running[running.order.order_id] = running
                self._order_at[replica_id] = running.order.order_id
                for track in running.tracks:
                    track.num_running += 1
                return running.order
        return None

    def _choose(self, replica_id: str) -> Work | None:
        return self._job.to_publish.popleft() if self._job.to_publish else self._backlog.take(replica_id)

    def _begin(self, replica_id: str, work: Work) -> Running | None:
        """The order for a piece of work; None if its track has been given up meanwhile."""
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

    def _queue(self, work: Work) -> None:
        """Let a piece of work wait for any replica."""
        if isinstance(work, TrackRecord):
            self._job.to_publish.append(work)
        else:
            self._backlog.wait(work)

    # -- taking answers in

    def _stop(self, running: Running, seconds: float) -> None:
        del self._running[running.order.order_id]
        del self._order_at[running.replica_id]
        tracks = running.tracks
        for track in tracks:
            track.num_running -= 1
            track.seconds += seconds / len(tracks)

    def _followed(self, running: Running, shard: ShardRecord) -> None:
        assert isinstance(running.order, PropagateOrder)
        shard.tries = Tries()
        self._job.advance(running.legs, running.order.chunk)
        self._backlog.rest(running.replica_id, shard)

    def _detected(self, running: Running, look: DetectRecord, report: Detected) -> None:
        """Each track by itself: one that failed is tried again, or given up, without the others."""
        for track, alone, answer in zip(look.tracks, look.parted(len(look.tracks)), report.answers, strict=True):
            if isinstance(answer, Failure):
                self._failed(replace(running, work=alone), answer)
            else:
                self._job.published(track, answer)

    def _failed(self, running: Running, failure: Failure) -> None:
        if _is_new_truncation(running.order, failure):
            assert isinstance(running.work, ShardRecord)
            self._job.truncate(running.work.video, failure)
            self._queue(running.work)
            return
        self._take_note(running, failure.kind)
        verdict = decide(
            failure.kind,
            attempts=running.work.tries.attempts,
            deaths=running.work.tries.deaths,
            losses=running.work.tries.losses,
            num_tracks=len(running.tracks),
            restarted=all(track.has_restarted for track in running.tracks),
            can_part=isinstance(running.work, DetectRecord),
            limits=self._settings.limits,
        )
        self._apply(verdict, running, failure)

    def _take_note(self, running: Running, kind: FailureKind) -> None:
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
        for track in _tracks_at_stake(running):
            track.num_failed_orders += 1

    def _apply(self, verdict: Verdict, running: Running, failure: Failure) -> None:
        work = running.work
        match verdict:
            case Verdict.AGAIN:
                self._queue(work)
            case Verdict.SPLIT if isinstance(work, DetectRecord):
                self._backlog.wait_all(work.parted(len(work.tracks) if failure.kind in REPLICA_GONE else 2))
            case Verdict.SPLIT:
                assert isinstance(work, ShardRecord)
                self._split(work, running.legs)
            case Verdict.RESTART:
                self._restart(running)
            case Verdict.GIVE_UP:
                self._job.give_up(_tracks_at_stake(running), _summed_up(running, failure))
                work.tries = Tries()
                if isinstance(work, ShardRecord):
                    self._queue(work)
                elif isinstance(work, VideoRecord):
                    self._backlog.forget(work.unopened)
                    work.unopened = []

    def _split(self, shard: ShardRecord, legs: list[LegRecord]) -> None:
        """Put half of the legs that failed together into a shard of their own; either half has one try more."""
        shard.tries.attempts -= 1
        moved = legs[len(legs) // 2 :]
        tries = replace(shard.tries)
        self._backlog.wait_all([ShardRecord(shard.video, moved, tries), shard])

    def _restart(self, running: Running) -> None:
        """Begin one track again: the leg that failed, or both if its parts do not join."""
        (track,) = running.tracks
        legs = running.legs or track.legs
        self._job.rewind(track, legs)
        track.tries = Tries()
        self._backlog.wait_all(ShardRecord(track.video, [leg]) for leg in legs)
        if not isinstance(running.work, TrackRecord):
            self._queue(running.work)


def _is_new_truncation(order: Order, failure: Failure) -> bool:
    """Whether a failure tells something new: a reader that stops below the frames it was asked for."""
    return (
        failure.kind is FailureKind.TRUNCATED
        and isinstance(order, PropagateOrder)
        and failure.frame_reached is not None
        and failure.frame_reached < order.num_frames
    )


def _tracks_at_stake(running: Running) -> list[TrackRecord]:
    return running.work.tracks if isinstance(running.work, VideoRecord) else running.tracks


def _summed_up(running: Running, failure: Failure) -> Failure:
    """The failure that ends the tracks, with what led to it."""
    tries = running.work.tries
    if failure.kind is FailureKind.DIED:
        message = f"{_describe(running.order)} ended {tries.deaths} replicas, the last one with: {failure.message}"
    elif failure.kind is FailureKind.LOST:
        message = f"{_describe(running.order)} lost {tries.losses} replicas, the last one with: {failure.message}"
    elif tries.attempts > 1:
        message = f"{_describe(running.order)} failed {tries.attempts} times, the last time with: {failure.message}"
    else:
        return failure
    return Failure(failure.kind, message, failure.frame_reached)


def _describe(order: Order) -> str:
    match order:
        case OpenOrder():
            return "opening the video"
        case PropagateOrder():
            low = order.chunk * order.chunk_frames
            return f"following frames {low} to {min(low + order.chunk_frames, order.num_frames) - 1}"
        case DetectOrder():
            return "answering the prompt"
        case _:
            return "publishing the mask table"
