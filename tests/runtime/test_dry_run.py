from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samurai_batch import storage
from samurai_batch.ledger.schema import Totals
from samurai_batch.ledger.store import write_run
from samurai_batch.planning.rates import Rates
from samurai_batch.runtime.dry_run import PlannedShard, expect, measured_rates
from samurai_batch.stats import WorkStats
from tests.runtime.records import run_record

RATES = Rates(encode_s=0.1, propagate_s=0.02, open_s=1.0)


def shard(num_tracks: int, num_frames: int) -> PlannedShard:
    return PlannedShard("v", False, num_tracks, num_frames, False)


SHARDS = st.lists(st.builds(shard, st.integers(1, 8), st.integers(1, 10_000)), min_size=1, max_size=20)


def test_a_shard_costs_what_the_sizing_page_says() -> None:
    found = expect([shard(3, 36_000), shard(1, 100)], RATES, replicas=2, price_per_hour=1.5)
    longest_s = 1 + 36_000 * (0.1 + 3 * 0.02)
    assert found.seconds == pytest.approx(longest_s)
    assert found.work_s == pytest.approx(longest_s + 1 + 100 * 0.12)
    assert found.cost == pytest.approx(2 * 1.5 * longest_s / 3600)
    assert found.describe() == "expected on 2 replicas: 96 min; work of all replicas: 96 min, cost 4.80"
    assert expect([shard(1, 100)], RATES, replicas=1).describe().startswith("expected on 1 replica: 13 s; ")
    assert expect([shard(3, 360_000)], RATES, replicas=1).describe().startswith("expected on 1 replica: 16.0 h; ")


@given(SHARDS, st.integers(1, 30))
def test_the_time_lies_between_what_must_be_and_what_one_replica_takes(
    shards: list[PlannedShard], replicas: int
) -> None:
    found, alone = expect(shards, RATES, replicas), expect(shards, RATES, 1)
    longest_s = max(expect([one], RATES, 1).seconds for one in shards)
    assert found.work_s == pytest.approx(alone.seconds)
    assert found.seconds <= alone.seconds * (1 + 1e-9)
    assert found.seconds >= max(longest_s, alone.seconds / replicas) * (1 - 1e-9)


def test_nothing_to_do_takes_no_time() -> None:
    assert expect([], RATES, 4, 2.0).cost == 0.0


def test_rates_are_those_of_the_newest_run_that_tracked_anything(tmp_path: Path) -> None:
    output = str(tmp_path)
    assert measured_rates(output) is None
    for name, track_frames in (("1", 10), ("2", 20), ("3", 0)):
        record = run_record(
            name, totals=Totals(stats=WorkStats(track_frames=track_frames)), rates=Rates(float(name), 1.0, 1.0)
        )
        write_run(storage, output, record)
    assert measured_rates(output) == (Rates(2.0, 1.0, 1.0), "2")
