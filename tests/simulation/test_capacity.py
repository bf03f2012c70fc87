"""Simulations of a large cluster; `make simulate CAPACITY=1000x100000` runs larger ones."""

import tracemalloc

import pytest

from tests.simulation.capacity import CHUNK_FRAMES, RATES, CapacityScenario


@pytest.mark.parametrize(("num_replicas", "num_tracks", "most"), [(40, 1500, 0.03), (60, 300, 0.03)])
def test_the_makespan_is_close_to_its_lower_bound(num_replicas: int, num_tracks: int, most: float) -> None:
    answer = CapacityScenario(num_replicas, num_tracks).run()
    assert answer.excess <= most, str(answer)


def test_without_preemptions_one_replica_loses_next_to_nothing() -> None:
    answer = CapacityScenario(1, 20, preempted_every_s=1e12).run()
    assert (answer.num_preempted, answer.num_splits) == (0, 0)
    assert answer.excess <= 0.01, str(answer)


def test_preemptions_delay_a_job_by_less_than_a_tenth() -> None:
    calm = CapacityScenario(30, 600, preempted_every_s=1e12).run()
    rough = CapacityScenario(30, 600, preempted_every_s=3600.0).run()
    assert rough.num_preempted > 10
    assert rough.makespan_s <= 1.1 * calm.makespan_s, f"{calm}\n{rough}"


def test_the_scheduler_needs_little_over_a_kilobyte_per_track() -> None:
    scenario = CapacityScenario(10, 2000)
    tracemalloc.start()
    scheduler = scenario.make_scheduler()
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert not scheduler.is_finished
    assert kept / 2000 < 1400


@pytest.mark.parametrize("num_replicas", [2, 4])
def test_a_long_video_is_done_as_soon_as_the_cost_model_says(num_replicas: int) -> None:
    """One replica does the first chunk, which measures rates; then each encodes all frames and propagates its share."""
    num_frames = 20_000
    alone, shared = (CapacityScenario(n, 8, 1e12, one_video_of=num_frames).run() for n in (1, num_replicas))
    first_s = CHUNK_FRAMES * (RATES.encode_s + 8 * RATES.propagate_s)
    rest_s = (num_frames - CHUNK_FRAMES) * (RATES.encode_s + 8 / num_replicas * RATES.propagate_s)
    assert shared.num_splits == num_replicas - 1
    assert shared.makespan_s == pytest.approx(first_s + rest_s, rel=0.01)
    assert shared.makespan_s < alone.makespan_s
