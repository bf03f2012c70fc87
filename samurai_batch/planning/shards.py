"""Which tracks are followed together, and what that costs.

Encoding a frame costs E, following one track on it M, so a frame with n tracks costs E + n * M: tracks of one
video and direction share a shard as far as memory allows. The grouping depends on the prompts table alone, so
that a resumed run follows the same batches as the one before it, and gets the same bits.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from samurai_batch.planning.rates import Rates
from samurai_batch.tasks import Leg, Track, Video


@dataclass(frozen=True)
class Shard:
    """Legs of one direction of one video, followed together by one replica."""

    video: Video
    reverse: bool
    members: tuple[tuple[Track, Leg], ...]


def legs_with_rows(track: Track) -> tuple[Leg, ...]:
    """The legs of a track that leave rows: going both ways from the lowest frame, there is nothing behind it."""
    return tuple(leg for leg in track.legs if not (leg.reverse and _lowest(leg) > leg.first_row))


def make_shards(tracks: Iterable[Track], max_tracks_per_shard: int) -> list[Shard]:
    """The shards of all tracks: as few per video and direction as the limit allows, and of even size.

    Legs that start near each other go together, so that they share as many frames as they can.
    """
    pairs = [(track, leg) for track in tracks for leg in legs_with_rows(track)]
    pairs.sort(key=_grouping_key)
    shards = []
    for _, group in groupby(pairs, key=lambda pair: (pair[0].video.video_id, pair[1].reverse)):
        members = tuple(group)
        video, reverse = members[0][0].video, members[0][1].reverse
        shards += [Shard(video, reverse, part) for part in _even_parts(members, max_tracks_per_shard)]
    return shards


def num_covered(spans: Iterable[range]) -> int:
    """Frames that lie in at least one of ``spans`` (ascending): so many are encoded."""
    covered = total = 0
    for span in sorted((span for span in spans if span), key=lambda span: span.start):
        total += max(0, span.stop - max(span.start, covered))
        covered = max(covered, span.stop)
    return total


def cost_s(spans: Collection[range], rates: Rates) -> float:
    """Seconds to follow legs over ``spans`` (ascending frames, one range per leg) together on one replica."""
    return num_covered(spans) * rates.encode_s + sum(map(len, spans)) * rates.propagate_s


def even_bounds(num_items: int, num_parts: int) -> list[tuple[int, int]]:
    """Where to cut a sequence into parts whose sizes differ by one at most: (first, end) of each."""
    return list(pairwise(num_items * part // num_parts for part in range(num_parts + 1)))


def _lowest(leg: Leg) -> int:
    assert leg.end_frame is not None
    return leg.end_frame


def _grouping_key(pair: tuple[Track, Leg]) -> tuple[str, bool, int, float, str]:
    track, leg = pair
    end = math.inf if leg.end_frame is None else leg.end_frame
    return track.video.video_id, leg.reverse, leg.start_frame, end, track.object_id


def _even_parts(members: Sequence[tuple[Track, Leg]], limit: int) -> list[tuple[tuple[Track, Leg], ...]]:
    num_parts = math.ceil(len(members) / limit)
    return [tuple(members[low:high]) for low, high in even_bounds(len(members), num_parts)]
