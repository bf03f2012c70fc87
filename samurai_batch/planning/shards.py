"""Which tracks are followed together, and what that costs.

Encoding a frame costs E, following one track on it M, so a frame with n tracks costs E + n * M: tracks of one
video and direction share a shard as far as memory allows. The grouping depends on the prompts table alone, so
that a resumed run follows the same batches as the one before it, and gets the same bits.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import groupby, pairwise

from samurai_batch.planning.rates import Rates
from samurai_batch.tasks import Leg, Track, Video


@dataclass(frozen=True)
class Shard:
    """Legs of one direction of one video that one replica propagates together."""

    video: Video
    reverse: bool
    legs: tuple[Leg, ...]


def legs_with_rows(track: Track) -> tuple[Leg, ...]:
    """The legs of a track that leave rows: going both ways from the lowest frame, there is nothing behind it."""
    return tuple(leg for leg in track.legs if not (leg.reverse and _lowest(leg) > leg.first_row))


def make_shards(tracks: Iterable[Track], max_tracks_per_shard: int) -> list[Shard]:
    """The shards of all tracks: as few per video and direction as the limit allows, and of even size.

    Legs that start near each other go together, so that they share as many frames as they can.
    """
    all_legs = sorted((leg for track in tracks for leg in legs_with_rows(track)), key=_grouping_key)
    shards = []
    for _, group in groupby(all_legs, key=lambda leg: (leg.track.video.video_id, leg.reverse)):
        legs = tuple(group)
        bounds = even_bounds(len(legs), math.ceil(len(legs) / max_tracks_per_shard))
        shards += [Shard(legs[0].track.video, legs[0].reverse, legs[low:high]) for low, high in bounds]
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


def _grouping_key(leg: Leg) -> tuple[str, bool, int, float, str]:
    end = math.inf if leg.end_frame is None else leg.end_frame
    return leg.track.video.video_id, leg.reverse, leg.start_frame, end, leg.track.object_id
