"""How long a plan takes on a number of replicas, and what it costs, by the rates that an earlier run has measured.

Rates depend on machine, model and image size: measure them by a pilot run of a few videos on the GPUs to be used.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from samurai_batch import storage
from samurai_batch.ledger.store import list_runs, read_run
from samurai_batch.planning.rates import Rates
from samurai_batch.runtime.dry_run import PlannedShard


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What a plan takes: ``work_s`` of replicas in all, and ``seconds`` from beginning to end."""

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
    """The time of ``shards``, the longest first, each on the replica that is idle first.

    It is an upper bound if tracks of one shard cover different frames. ``price_per_hour`` is that of one replica's
    machine; all machines are paid for until the last replica has ended.
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
    """The rates of the newest run that has propagated any track, and its id. Raises LedgerError, StorageError."""
    for run_id in reversed(list_runs(storage, output)):
        record = read_run(storage, output, run_id)
        if record is not None and record.rates is not None and record.totals.stats.track_frames:
            return record.rates, record.run_id
    return None


def _shard_s(shard: PlannedShard, rates: Rates) -> float:
    return rates.open_s + shard.num_frames * (rates.encode_s + shard.num_tracks * rates.propagate_s)
