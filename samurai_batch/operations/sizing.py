"""How long a plan takes on so many replicas, and what it costs: from rates that an earlier run has measured.

The rates are of that run's machines, model and picture size: a pilot on a few videos, on the GPUs meant, gives them.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from samurai_batch import storage
from samurai_batch.planning.rates import Rates
from samurai_batch.runtime.dry_run import PlannedShard
from samurai_batch.runtime.ledger import read_run, runs_uri
from samurai_batch.storage import join


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What a plan takes. ``work_s`` is replica time; ``seconds`` go from the first shard to the last."""

    replicas: int
    work_s: float
    seconds: float
    cost: float | None

    def describe(self) -> str:
        """One line for people."""
        cost = "" if self.cost is None else f", cost {self.cost:.2f}"
        return (
            f"expected on {self.replicas} replicas: {self.seconds / 3600:.2f} h, "
            f"{self.work_s / 3600:.2f} replica-hours of work{cost}"
        )


def expect(
    shards: Sequence[PlannedShard], rates: Rates, replicas: int, price_per_hour: float | None = None
) -> Expectation:
    """The time of ``shards``, each given to the replica that is free first, the longest first.

    An upper bound where tracks of one shard cover different frames. ``price_per_hour`` is that of one replica's
    machine; all of them are paid for until the last one has ended.
    """
    assert replicas >= 1, replicas
    costs_s = sorted((_shard_s(shard, rates) for shard in shards), reverse=True)
    free_at_s = [0.0] * min(replicas, max(1, len(costs_s)))
    for cost_s in costs_s:
        heapq.heapreplace(free_at_s, free_at_s[0] + cost_s)
    seconds = max(free_at_s)
    cost = None if price_per_hour is None else price_per_hour * len(free_at_s) * seconds / 3600
    return Expectation(replicas=replicas, work_s=sum(costs_s), seconds=seconds, cost=cost)


def measured_rates(output: str) -> tuple[Rates, str] | None:
    """The rates of the newest run of an output that followed anything, and its id. Raises LedgerError, StorageError."""
    folder = runs_uri(output)
    names = [name for name in storage.list_names(folder) if name.endswith(".json") and not name.startswith("_")]
    for name in sorted(names, reverse=True):
        record = read_run(storage, join(folder, name))
        if record is not None and record.rates is not None and record.totals.stats.track_frames:
            return record.rates, record.run_id
    return None


def _shard_s(shard: PlannedShard, rates: Rates) -> float:
    return rates.open_s + shard.num_frames * (rates.encode_s + shard.num_tracks * rates.propagate_s)
