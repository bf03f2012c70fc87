"""Which order goes to which idle replica next, and what every answer means.

A deterministic machine: the same calls in the same order give the same orders. It knows no clock, and of a
replica only its id. A piece of work is a video to open, a shard to follow through its next chunk, a track to
publish, or a look. Publishing goes first, then the shard a replica is in the middle of, then what waits: looks, for
nobody knows yet how much they find, then the costliest.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from samurai_batch.planning.book import Book, KnownVideo, PendingTrack
from samurai_batch.planning.orders import (
    Assignment,
    ChunkFollowed,
    FollowOrder,
    Looked,
    LookMember,
    LookOrder,
    OpenOrder,
    Order,
    OrderFailed,
    Outcome,
    Report,
    TrackPublished,
    VideoOpened,
)
from samurai_batch.planning.rates import RateMeter, Rates
from samurai_batch.planning.records import (
    LegRecord,
    LookRecord,
    Running,
    ShardRecord,
    TrackRecord,
    Tries,
    VideoRecord,
    Work,
)
from samurai_batch.planning.retry import Failure, FailureKind, RetryLimits, Verdict, decide
from samurai_batch.planning.shards import Shard, cost_s
from samurai_batch.planning.waiting import WaitingLine


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings:
    """What the job decides about scheduling."""

    chunk_frames: int
    keep_partial: bool
    limits: RetryLimits


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
        self._waiting: WaitingLine[VideoRecord | ShardRecord | LookRecord] = WaitingLine()
        self._resting: dict[str, ShardRecord] = {}
        self._video_at: dict[str, str] = {}
        self._running: dict[int, Running] = {}
        self._order_at: dict[str, int] = {}
        self._book = Book(settings.chunk_frames, settings.keep_partial)
        self.enter(shards, pending, videos)

    def enter(self, shards: Iterable[Shard], pending: Iterable[PendingTrack], videos: Mapping[str, KnownVideo]) -> None:
        """Take in more tracks, such as those that a look has found."""
        for video in self._book.enter(shards, pending, videos):
            facts = video.facts or videos[video.video.video_id].facts
            if facts is None:
                self._queue(video)
            else:
                self._queue_all(self._book.learn(video, facts))

    def enter_looks(self, looks: Iterable[Sequence[LookMember]]) -> None:
        """Take in tracks that are answered at once, those of one order together."""
        self._queue_all(self._book.enter_looks(looks))

    @property
    def is_finished(self) -> bool:
        """Whether every track is settled."""
        return self._book.num_open == 0

    @property
    def num_running(self) -> int:
        """Orders that no answer has come to yet."""
        return len(self._running)

    @property
    def track_frames_left(self) -> int:
        """Frames still to follow, summed over tracks; an estimate where videos are not opened yet."""
        return self._book.track_frames_left

    @property
    def rates(self) -> Rates:
        """The rates as measured so far."""
        return self._meter.rates

    @property
    def frames_encoded(self) -> int:
        """Frames encoded in this run, as far as answers have come."""
        return self._meter.frames_encoded

    @property
    def track_frames(self) -> int:
        """Frames followed in this run, summed over tracks, as far as answers have come."""
        return self._meter.track_frames

    def is_busy(self, replica_id: str) -> bool:
        """Whether an answer is still due from a replica."""
        return replica_id in self._order_at

    def take_outcomes(self) -> list[Outcome]:
        """What is decided as tracks are taken in: some do not fit what is known of their videos."""
        return self._book.take_outcomes()

    def assign(self, idle: Iterable[str]) -> list[Assignment]:
        """One order for each idle replica, as long as there is work."""
        assignments = []
        for replica_id in idle:
            if not (self._book.to_publish or self._resting or self._waiting):
                break  # a thousand idle replicas at the end of a job are not asked one by one
            order = self._next_order(replica_id)
            if order is not None:
                assignments.append(Assignment(replica_id, order))
        return assignments

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
                self._queue_all(self._book.learn(video, report.facts))
            case ChunkFollowed(), ShardRecord() as shard:
                self._meter.followed(report)
                self._followed(running, shard)
            case TrackPublished(), TrackRecord() as track:
                self._book.published(track, report.num_rows)
            case Looked(), LookRecord() as look:
                self._looked(running, look, report)
            case _:
                raise AssertionError(f"an answer of another kind to {running.order}: {report}")
        self._book.release(running.tracks)
        return self._book.take_outcomes()

    def replica_lost(self, replica_id: str, reason: str, *, preempted: bool) -> list[Outcome]:
        """A replica is gone: what it was doing, and the shard it would go on with, are free for others."""
        self._video_at.pop(replica_id, None)
        shard = self._resting.pop(replica_id, None)
        if shard is not None:
            self._queue(shard)
        order_id = self._order_at.get(replica_id)
        if order_id is not None:
            running = self._running[order_id]
            self._stop(running, seconds=0.0)
            self._failed(running, Failure(FailureKind.PREEMPTED if preempted else FailureKind.DIED, reason))
            self._book.release(running.tracks)
        return self._book.take_outcomes()

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
        if self._book.to_publish:
            return self._book.to_publish.popleft()
        resting = self._resting.pop(replica_id, None)
        if resting is not None:
            return resting
        return self._waiting.pop(self._video_at.get(replica_id), self.rates.open_s)

    def _begin(self, replica_id: str, work: Work) -> Running | None:
        """The order for a piece of work; None if its tracks have all been given up meanwhile."""
        chunk_frames = self._settings.chunk_frames
        match work:
            case TrackRecord():
                if not work.is_open:
                    return None
                return Running(replica_id, work.publish_order(next(self._numbers), chunk_frames), work)
            case VideoRecord():
                self._video_at[replica_id] = work.video.video_id
                return Running(replica_id, OpenOrder(next(self._numbers), work.video), work)
            case ShardRecord():
                if not work.prune(chunk_frames):
                    return None
                self._video_at[replica_id] = work.video.video.video_id
                order, legs = work.follow_order(next(self._numbers), chunk_frames)
                return Running(replica_id, order, work, legs)
            case LookRecord():
                self._video_at[replica_id] = work.video_id
                return Running(replica_id, work.look_order(next(self._numbers)), work)

    def _queue(self, work: Work) -> None:
        """Let a piece of work wait for any replica; a shard with nothing left to do is dropped."""
        match work:
            case TrackRecord():
                self._book.to_publish.append(work)
            case VideoRecord():
                costs = (self._cost_s(shard.members) for shard in work.unopened)
                self._waiting.push(work, work.video.video_id, max(costs))
            case ShardRecord():
                members = work.prune(self._settings.chunk_frames)
                if members:
                    self._waiting.push(work, work.video.video.video_id, self._cost_s(members))
            case LookRecord():
                self._waiting.push(work, work.video_id, math.inf)

    def _queue_all(self, works: Iterable[Work]) -> None:
        for work in works:
            self._queue(work)

    def _cost_s(self, members: Iterable[LegRecord]) -> float:
        return cost_s((member.frames_left(self._settings.chunk_frames) for member in members), self.rates)

    # -- taking answers in

    def _stop(self, running: Running, seconds: float) -> None:
        del self._running[running.order.order_id]
        del self._order_at[running.replica_id]
        tracks = running.tracks
        for track in tracks:
            track.num_running -= 1
            track.seconds += seconds / len(tracks)

    def _followed(self, running: Running, shard: ShardRecord) -> None:
        assert isinstance(running.order, FollowOrder)
        shard.tries = Tries()
        self._book.advance(running.legs, running.order.chunk)
        if shard.prune(self._settings.chunk_frames):
            self._resting[running.replica_id] = shard

    def _looked(self, running: Running, look: LookRecord, report: Looked) -> None:
        """Each track by itself: one that failed is tried again, or given up, without the others."""
        for track, alone, answer in zip(look.tracks, look.parted(len(look.tracks)), report.answers, strict=True):
            if isinstance(answer, Failure):
                self._failed(replace(running, work=alone), answer)
            else:
                self._book.published(track, answer)

    def _failed(self, running: Running, failure: Failure) -> None:
        if _is_new_truncation(running.order, failure):
            assert isinstance(running.work, ShardRecord)
            self._book.truncate(running.work.video, failure)
            self._queue(running.work)
            return
        self._take_note(running, failure.kind)
        verdict = decide(
            failure.kind,
            attempts=running.work.tries.attempts,
            deaths=running.work.tries.deaths,
            num_tracks=len(running.tracks),
            restarted=all(track.has_restarted for track in running.tracks),
            can_part=isinstance(running.work, LookRecord),
            limits=self._settings.limits,
        )
        self._obey(verdict, running, failure)

    def _take_note(self, running: Running, kind: FailureKind) -> None:
        if kind is FailureKind.PREEMPTED:
            return
        if kind is FailureKind.DIED:
            running.work.tries.deaths += 1
        else:
            running.work.tries.attempts += 1
        for track in _tracks_at_stake(running):
            track.num_failed_orders += 1

    def _obey(self, verdict: Verdict, running: Running, failure: Failure) -> None:
        work = running.work
        match verdict:
            case Verdict.AGAIN:
                self._queue(work)
            case Verdict.SPLIT if isinstance(work, LookRecord):
                self._queue_all(work.parted(len(work.tracks) if failure.kind is FailureKind.DIED else 2))
            case Verdict.SPLIT:
                assert isinstance(work, ShardRecord)
                self._split(work, running.legs)
            case Verdict.RESTART:
                self._restart(running)
            case Verdict.GIVE_UP:
                self._book.give_up(_tracks_at_stake(running), _summed_up(running, failure))
                work.tries = Tries()
                if isinstance(work, ShardRecord):
                    self._queue(work)
                elif isinstance(work, VideoRecord):
                    work.unopened = []

    def _split(self, shard: ShardRecord, legs: list[LegRecord]) -> None:
        """Put half of the legs that failed together into a shard of their own; either half has one try more."""
        shard.tries.attempts -= 1
        moved = legs[len(legs) // 2 :]
        tries = Tries(shard.tries.attempts, shard.tries.deaths)
        self._queue_all([ShardRecord(shard.video, moved, tries), shard])

    def _restart(self, running: Running) -> None:
        """Begin one track again: the leg that failed, or both if its parts do not join."""
        (track,) = running.tracks
        legs = running.legs or track.legs
        self._book.rewind(track, legs)
        track.tries = Tries()
        self._queue_all(ShardRecord(track.video, [leg]) for leg in legs)
        if not isinstance(running.work, TrackRecord):
            self._queue(running.work)


def _is_new_truncation(order: Order, failure: Failure) -> bool:
    """Whether a failure tells something new: a reader that stops below the frames it was asked for."""
    return (
        failure.kind is FailureKind.TRUNCATED
        and isinstance(order, FollowOrder)
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
    elif tries.attempts > 1:
        message = f"{_describe(running.order)} failed {tries.attempts} times, the last time with: {failure.message}"
    else:
        return failure
    return Failure(failure.kind, message, failure.frame_reached)


def _describe(order: Order) -> str:
    match order:
        case OpenOrder():
            return "opening the video"
        case FollowOrder():
            low = order.chunk * order.chunk_frames
            return f"following frames {low} to {min(low + order.chunk_frames, order.num_frames) - 1}"
        case LookOrder():
            return "answering the prompt"
        case _:
            return "publishing the mask table"
