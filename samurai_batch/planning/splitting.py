"""Whether a shard is spread over more replicas: measured rates and spans in, groups of tracks out.

Tracks of one video share the encoder, so a shard is cheapest in one piece: n tracks cost E + n * M a frame, in k
pieces k * E + n * M. It is split only where the job as a whole ends sooner: where this shard alone would keep one
replica longer than all that is left keeps all of them together. The encoding that is done twice, and moving tracks
to a replica that has neither video nor states, are part of the sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from samurai_batch.planning.rates import Rates
from samurai_batch.planning.shards import cost_s, even_bounds

LEAST_GAIN = 0.05
"""A split that saves less than this share of the time left is within what rates can be measured to."""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What there is beside a shard: seconds of work left in all other shards, and the replicas that share it."""

    other_work_s: float
    num_replicas: int
    rates: Rates

    def finish_s(self, parts: Sequence[Sequence[range]]) -> float:
        """When the job is over if the shard's spans are followed in these parts: never before its longest part.

        The first part stays where it is; the others are moved.
        """
        costs_s = [cost_s(part, self.rates) for part in parts]
        moved_s = [cost + self.rates.move_s(len(part)) for cost, part in zip(costs_s[1:], parts[1:], strict=True)]
        all_s = [costs_s[0], *moved_s]
        return max(*all_s, (self.other_work_s + sum(all_s)) / self.num_replicas)


def best_split(spans: Sequence[range], outlook: Outlook) -> list[range]:
    """The groups, as ranges of indices into ``spans``, in which the job ends soonest; one group for "leave it".

    ``spans`` are the frames (ascending) each leg has still to follow; legs that stand next to each other stay
    together. Among equals the fewest groups win.
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
