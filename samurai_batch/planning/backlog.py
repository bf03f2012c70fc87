"""The work that no replica is carrying out, and which of it an idle replica gets.

Between two chunks a shard is paused at its replica, which has the video open, and continues there, with two exceptions.
If the shard alone would take longer than all remaining work takes all replicas, some of its tracks are split off for
others. And a replica with a short shard yields to a long piece of work that would otherwise delay the end of the job.
"""

import math
from collections.abc import Iterable

from samurai_batch.planning.chunks import step
from samurai_batch.planning.rates import RateMeter, Rates
from samurai_batch.planning.records import DetectRecord, DiscoveryRecord, ShardRecord, Tries, VideoRecord
from samurai_batch.planning.shards import LEAST_GAIN, Outlook, best_split, num_covered
from samurai_batch.planning.work_queue import WorkQueue

Queued = VideoRecord | ShardRecord | DetectRecord | DiscoveryRecord
"""Work that any replica may take."""

MAX_DRIFT = 1.25
"""The queue is sorted anew when a rate has changed by this factor."""


class Backlog:
    """Work on videos and shards that no replica is carrying out. Costs are seconds of one replica, by measured rates.

    ``num_replicas`` share the work; the scheduler keeps it up to date. ``num_splits`` counts the groups of tracks that
    were split off a shard so that the job ends sooner.
    """

    def __init__(self, meter: RateMeter, split_shards: bool) -> None:
        self._split_shards = split_shards
        self._meter = meter
        self._ordered_by = meter.rates
        self._waiting: WorkQueue[Queued] = WorkQueue()
        self._paused: dict[str, ShardRecord] = {}
        self._video_at: dict[str, str] = {}
        self._frames_to_encode = self._frames_to_propagate = 0
        self.num_replicas = 0
        self.num_splits = 0

    def __bool__(self) -> bool:
        return bool(self._waiting or self._paused)

    @property
    def num_waiting(self) -> int:
        """Pieces of work that any replica may take."""
        return len(self._waiting)

    @property
    def replicas_with_shards(self) -> Iterable[str]:
        """The replicas at which a shard is paused."""
        return self._paused

    # -- adding work

    def add(self, work: Queued) -> None:
        """Queue a piece of work for any replica; a shard without frames left is dropped."""
        for shard in _shards_of(work):
            self._count(shard)
        if not isinstance(work, ShardRecord) or self._has_frames_left(work):
            self._waiting.push(work, _video_id(work), self._cost_s(work))

    def add_all(self, works: Iterable[Queued]) -> None:
        """Queue pieces of work; of two with the same cost the first goes first."""
        for work in works:
            self.add(work)

    def pause(self, replica_id: str, shard: ShardRecord) -> None:
        """Keep a shard that has finished a chunk at its replica, if it has frames left."""
        if self._has_frames_left(shard):
            self._count(shard)
            self._paused[replica_id] = shard

    def replica_lost(self, replica_id: str) -> None:
        """Queue the shard that was paused at a lost replica for others; the replica has no video open any more."""
        self._video_at.pop(replica_id, None)
        shard = self._paused.pop(replica_id, None)
        if shard is not None:
            self.add(shard)

    def drop(self, shards: Iterable[ShardRecord]) -> None:
        """Drop shards whose tracks have failed."""
        for shard in shards:
            shard.legs = []
            self._count(shard)

    # -- giving work out

    def next_work(self, replica_id: str) -> Queued | None:
        """The piece of work that this replica should do next; tracks that others should take are split off it."""
        self._reorder()
        while (work := self._choose(replica_id)) is not None:
            if not isinstance(work, ShardRecord) or self._has_frames_left(work):
                self._video_at[replica_id] = _video_id(work)
                if isinstance(work, ShardRecord) and self._split_shards:
                    self._split(work)
                return work
        return None

    def _choose(self, replica_id: str) -> Queued | None:
        paused = self._paused.pop(replica_id, None)
        if paused is not None:
            if not self._should_yield(paused):
                return paused
            self.add(paused)
        return self._waiting.pop(self._video_at.get(replica_id), self._meter.rates.open_s)

    def _should_yield(self, paused: ShardRecord) -> bool:
        """Whether a waiting piece of work would delay the end of the job, and this shard would not."""
        share_s = self._work_s / max(self.num_replicas, 1)
        return self._waiting.max_cost_s * (1 - LEAST_GAIN) > share_s > self._cost_s(paused) * (1 + LEAST_GAIN)

    def _split(self, shard: ShardRecord) -> None:
        """Queue some of a shard's tracks for others if the job ends sooner for it; not while the shard is retried."""
        own_s, work_s = self._cost_s(shard), self._work_s
        if own_s * self.num_replicas <= work_s or shard.tries != Tries() or not self._meter.has_propagated:
            return
        legs = sorted(shard.legs, key=lambda leg: leg.next_chunk * step(leg.leg.reverse))
        outlook = Outlook(
            other_work_s=max(0.0, work_s - own_s), num_replicas=self.num_replicas, rates=self._meter.rates
        )
        groups = best_split([leg.left for leg in legs], outlook)
        self.num_splits += len(groups) - 1
        self.add_all(ShardRecord(shard.video, [legs[index] for index in group]) for group in groups[1:])
        self._has_frames_left(shard)

    # -- costs

    @property
    def _work_s(self) -> float:
        rates = self._meter.rates
        return self._frames_to_encode * rates.encode_s + self._frames_to_propagate * rates.propagate_s

    def _cost_s(self, work: Queued) -> float:
        """Seconds until a piece of work is done. Detections and decisions go first, as more tracks may follow."""
        if isinstance(work, DetectRecord | DiscoveryRecord):
            return math.inf
        rates, shards = self._meter.rates, _shards_of(work)
        costs_s = [one.num_to_encode * rates.encode_s + one.num_to_propagate * rates.propagate_s for one in shards]
        return max(costs_s, default=math.inf)

    def _has_frames_left(self, shard: ShardRecord) -> bool:
        """Drop the legs without frames left; returns whether any remain."""
        num_before = len(shard.legs)
        if len(shard.prune()) != num_before:
            self._count(shard)
        return bool(shard.legs)

    def _count(self, shard: ShardRecord) -> None:
        legs = shard.legs
        num_to_propagate = num_to_encode = sum(len(leg.left) for leg in legs)
        if len(legs) > 1:
            num_to_encode = num_covered(leg.left for leg in legs)
        self._frames_to_encode += num_to_encode - shard.num_to_encode
        self._frames_to_propagate += num_to_propagate - shard.num_to_propagate
        shard.num_to_encode, shard.num_to_propagate = num_to_encode, num_to_propagate

    def _reorder(self) -> None:
        """Sort the queue anew if the rates have changed much since its costs were computed."""
        if _have_drifted(self._ordered_by, self._meter.rates):
            self._ordered_by = self._meter.rates
            self._waiting.reorder(self._cost_s)


def _shards_of(work: Queued) -> list[ShardRecord]:
    match work:
        case ShardRecord():
            return [work]
        case VideoRecord():
            return work.unopened
        case DetectRecord() | DiscoveryRecord():
            return []


def _video_id(work: Queued) -> str:
    match work:
        case VideoRecord():
            return work.video.video_id
        case ShardRecord() | DiscoveryRecord():
            return work.video.video.video_id
        case DetectRecord():
            return work.video_id


def _have_drifted(old: Rates, new: Rates) -> bool:
    pairs = ((old.encode_s, new.encode_s), (old.propagate_s, new.propagate_s))
    return any(not before / MAX_DRIFT <= now <= before * MAX_DRIFT for before, now in pairs)
