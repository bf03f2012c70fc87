"""What is left to do, and which of it a free replica gets: shards at rest between two chunks, and work that waits.

A shard goes on where it is, for there its video is open. That ends where the job would end later for it: a shard
that alone takes longer than all replicas take for everything left gives tracks away, and a replica in the middle of a
short one gives way to a long one that waits.
"""

import math
from collections.abc import Iterable

from samurai_batch.planning.chunks import step
from samurai_batch.planning.rates import RateMeter, Rates
from samurai_batch.planning.records import DetectRecord, ShardRecord, Tries, VideoRecord
from samurai_batch.planning.shards import LEAST_GAIN, Outlook, best_split, num_covered
from samurai_batch.planning.work_queue import WorkQueue

MOST_DRIFT = 1.25
"""What waits is put in order again when rates have changed by this factor."""


class Backlog:
    """Work on videos and shards that no replica is at. Costs are seconds of one replica, by measured rates.

    ``num_replicas`` share the work; whoever gives work out keeps it up to date. ``num_splits`` counts how often a
    shard has given tracks away so that the job ends sooner.
    """

    def __init__(self, meter: RateMeter, split_shards: bool) -> None:
        self._split_shards = split_shards
        self._meter = meter
        self._ordered_by = meter.rates
        self._waiting: WorkQueue[VideoRecord | ShardRecord | DetectRecord] = WorkQueue()
        self._resting: dict[str, ShardRecord] = {}
        self._video_at: dict[str, str] = {}
        self._frames_to_encode = self._frames_to_propagate = 0
        self.num_replicas = 0
        self.num_splits = 0

    def __bool__(self) -> bool:
        return bool(self._waiting or self._resting)

    @property
    def num_waiting(self) -> int:
        """Pieces of work that wait for any replica."""
        return len(self._waiting)

    @property
    def in_the_middle(self) -> Iterable[str]:
        """The replicas at which a shard rests."""
        return self._resting

    # -- what comes in

    def wait(self, work: VideoRecord | ShardRecord | DetectRecord) -> None:
        """Let a piece of work wait for any replica; a shard with nothing left to do is dropped."""
        for shard in _shards_of(work):
            self._count(shard)
        if not isinstance(work, ShardRecord) or self._keep_open_legs(work):
            self._waiting.push(work, _video_id(work), self._cost_s(work))

    def wait_all(self, works: Iterable[VideoRecord | ShardRecord | DetectRecord]) -> None:
        """Let pieces of work wait, the first first among equals."""
        for work in works:
            self.wait(work)

    def rest(self, replica_id: str, shard: ShardRecord) -> None:
        """A shard has done a chunk: it goes on at the same replica, if there is anything left."""
        if self._keep_open_legs(shard):
            self._count(shard)
            self._resting[replica_id] = shard

    def replica_lost(self, replica_id: str) -> None:
        """The shard that rests at a replica waits for others; the video it had open is closed."""
        self._video_at.pop(replica_id, None)
        shard = self._resting.pop(replica_id, None)
        if shard is not None:
            self.wait(shard)

    def forget(self, shards: Iterable[ShardRecord]) -> None:
        """These will never be followed."""
        for shard in shards:
            shard.legs = []
            self._count(shard)

    # -- what goes out

    def take(self, replica_id: str) -> VideoRecord | ShardRecord | DetectRecord | None:
        """The piece of work this replica does best next; a shard has given away what others had better do."""
        self._put_in_order()
        while (work := self._choose(replica_id)) is not None:
            if not isinstance(work, ShardRecord) or self._keep_open_legs(work):
                self._video_at[replica_id] = _video_id(work)
                if isinstance(work, ShardRecord) and self._split_shards:
                    self._spread(work)
                return work
        return None

    def _choose(self, replica_id: str) -> VideoRecord | ShardRecord | DetectRecord | None:
        resting = self._resting.pop(replica_id, None)
        if resting is not None:
            if not self._gives_way(resting):
                return resting
            self.wait(resting)
        return self._waiting.pop(self._video_at.get(replica_id), self._meter.rates.open_s)

    def _gives_way(self, resting: ShardRecord) -> bool:
        """Whether something waits that would keep the job from ending, while this shard would not."""
        share_s = self._work_s / max(self.num_replicas, 1)
        return self._waiting.most_s * (1 - LEAST_GAIN) > share_s > self._cost_s(resting) * (1 + LEAST_GAIN)

    def _spread(self, shard: ShardRecord) -> None:
        """Let others follow some of a shard's tracks if the job ends sooner so; not while it is being tried again."""
        own_s, work_s = self._cost_s(shard), self._work_s
        if own_s * self.num_replicas <= work_s or shard.tries != Tries() or not self._meter.has_propagated:
            return
        legs = sorted(shard.legs, key=lambda leg: leg.next_chunk * step(leg.leg.reverse))
        outlook = Outlook(
            other_work_s=max(0.0, work_s - own_s), num_replicas=self.num_replicas, rates=self._meter.rates
        )
        groups = best_split([leg.left for leg in legs], outlook)
        self.num_splits += len(groups) - 1
        self.wait_all(ShardRecord(shard.video, [legs[index] for index in group]) for group in groups[1:])
        self._keep_open_legs(shard)

    # -- what it costs

    @property
    def _work_s(self) -> float:
        rates = self._meter.rates
        return self._frames_to_encode * rates.encode_s + self._frames_to_propagate * rates.propagate_s

    def _cost_s(self, work: VideoRecord | ShardRecord | DetectRecord) -> float:
        """What a piece of work takes before it is over; a look is begun first: nobody knows how much it finds."""
        if isinstance(work, DetectRecord):
            return math.inf
        rates, shards = self._meter.rates, _shards_of(work)
        return max(one.num_to_encode * rates.encode_s + one.num_to_propagate * rates.propagate_s for one in shards)

    def _keep_open_legs(self, shard: ShardRecord) -> bool:
        """Forget members that have nothing left to do; whether any are left."""
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

    def _put_in_order(self) -> None:
        """Costs of what waits were told by the rates of then; where those have changed much, the order is another."""
        if _have_drifted(self._ordered_by, self._meter.rates):
            self._ordered_by = self._meter.rates
            self._waiting.put_in_order(self._cost_s)


def _shards_of(work: VideoRecord | ShardRecord | DetectRecord) -> list[ShardRecord]:
    match work:
        case ShardRecord():
            return [work]
        case VideoRecord():
            return work.unopened
        case DetectRecord():
            return []


def _video_id(work: VideoRecord | ShardRecord | DetectRecord) -> str:
    match work:
        case VideoRecord():
            return work.video.video_id
        case ShardRecord():
            return work.video.video.video_id
        case DetectRecord():
            return work.video_id


def _have_drifted(old: Rates, new: Rates) -> bool:
    pairs = ((old.encode_s, new.encode_s), (old.propagate_s, new.propagate_s))
    return any(not before / MOST_DRIFT <= now <= before * MOST_DRIFT for before, now in pairs)
