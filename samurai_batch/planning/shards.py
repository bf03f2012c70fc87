"""Which tracks one order works on together, what that costs, and when a shard is split over more replicas.

Encoding a frame costs E seconds and propagating one track through it M, so a frame with n tracks costs E + n * M:
tracks of one video and direction share a shard as far as memory allows. The grouping depends on the prompts table
alone, so that a resumed run propagates the same batches as the run before it, with the same bits.

In k pieces a shard costs k * E + n * M a frame. It is split only where the job ends sooner for it: where the shard
alone would keep one replica longer than all remaining work keeps all replicas. The sum includes the frames that are
encoded twice, and moving tracks to a replica that has neither the video open nor the track states.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from samurai_batch.planning.chunks import last_frame
from samurai_batch.planning.orders import DetectMember
from samurai_batch.planning.rates import Rates
from samurai_batch.tasks import Leg, Track, Video

LEAST_GAIN = 0.05
"""The least share of the remaining time that a split must save; less than this is within the error of the rates."""


@dataclass(frozen=True)
class Shard:
    """Legs of one direction of one video that one replica propagates together."""

    video: Video
    reverse: bool
    legs: tuple[Leg, ...]


def legs_with_rows(track: Track) -> tuple[Leg, ...]:
    """The legs of a track that write rows; the backward leg of a track that starts on its lowest frame writes none."""
    return tuple(leg for leg in track.legs if not (leg.reverse and _lowest(leg) > leg.first_row))


def make_shards(tracks: Iterable[Track], max_tracks_per_shard: int) -> list[Shard]:
    """The shards of all tracks: as few per video and direction as the limit allows, and of even size.

    Legs that start near each other go together, so that they share as many encoded frames as possible.
    """
    all_legs = sorted((leg for track in tracks for leg in legs_with_rows(track)), key=_grouping_key)
    shards = []
    for _, group in groupby(all_legs, key=lambda leg: (leg.track.video.video_id, leg.reverse)):
        legs = tuple(group)
        bounds = even_bounds(len(legs), math.ceil(len(legs) / max_tracks_per_shard))
        shards += [Shard(legs[0].track.video, legs[0].reverse, legs[low:high]) for low, high in bounds]
    return shards


def num_covered(spans: Iterable[range]) -> int:
    """The number of frames in at least one of ``spans`` (ascending), which is the number of frames to encode.

    With a frame step it is the spans' common one, and the number is right up to one for each span.
    """
    covered = total = 0
    for span in sorted((span for span in spans if span), key=lambda span: span.start):
        total += len(range(max(span.start, covered), span.stop, span.step))
        covered = max(covered, span.stop)
    return total


def cost_s(spans: Collection[range], rates: Rates) -> float:
    """Seconds of one replica to propagate legs together over ``spans`` (ascending frames, one range per leg)."""
    return num_covered(spans) * rates.encode_s + sum(map(len, spans)) * rates.propagate_s


def even_bounds(num_items: int, num_parts: int) -> list[tuple[int, int]]:
    """(first, end) of each part of a sequence that is cut into parts whose sizes differ by at most one."""
    return list(pairwise(num_items * part // num_parts for part in range(num_parts + 1)))


def _lowest(leg: Leg) -> int:
    lowest = last_frame(leg, num_frames=None)
    assert lowest is not None
    return lowest


def _grouping_key(leg: Leg) -> tuple[str, bool, int, float, str]:
    end = math.inf if leg.end_frame is None else leg.end_frame
    return leg.track.video.video_id, leg.reverse, leg.start_frame, end, leg.track.object_id


def make_detect_batches(members: Iterable[DetectMember], videos_per_order: int) -> list[tuple[DetectMember, ...]]:
    """The members of each DetectOrder: all of one video (or picture) together, ``videos_per_order`` videos in each."""
    by_video: dict[str, list[DetectMember]] = {}
    for member in members:
        by_video.setdefault(member.track.video.video_id, []).append(member)
    videos = list(by_video.values())
    starts = range(0, len(videos), videos_per_order)
    return [tuple(one for video in videos[at : at + videos_per_order] for one in video) for at in starts]


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """The rest of the job: seconds of work left in all other shards, and the replicas that share it."""

    other_work_s: float
    num_replicas: int
    rates: Rates

    def finish_s(self, parts: Sequence[Sequence[range]]) -> float:
        """Seconds until the job ends if the shard's spans are propagated in these parts, each by one replica.

        The first part stays with its replica; the others are moved.
        """
        costs_s = [cost_s(part, self.rates) for part in parts]
        moved_s = [cost + self.rates.move_s(len(part)) for cost, part in zip(costs_s[1:], parts[1:], strict=True)]
        all_s = [costs_s[0], *moved_s]
        return max(*all_s, (self.other_work_s + sum(all_s)) / self.num_replicas)


def best_split(spans: Sequence[range], outlook: Outlook) -> list[range]:
    """The groups of legs, as ranges of indices into ``spans``, with which the job ends soonest; one group: no split.

    ``spans`` are the frames (ascending) that each leg has left; neighbours stay together. Of two splits that end at the
    same time the one with fewer groups wins.
    """
    whole = [range(len(spans))]
    alone_s = outlook.finish_s([spans])
    best, best_s = whole, alone_s * (1 - LEAST_GAIN)
    for num_parts in range(2, min(len(spans), outlook.num_replicas) + 1):
        groups = [range(low, high) for low, high in even_bounds(len(spans), num_parts)]
        finish_s = outlook.finish_s([[spans[index] for index in group] for group in groups])
        if finish_s < best_s:
            best, best_s = groups, finish_s
    return best
