"""GPUs on a real Ray of two nodes, which declare them by hand: placement, fractions, and hiding."""

from collections import Counter
from collections.abc import Iterator

import pytest

from samurai_batch.job import make_job
from samurai_batch.runtime import capacity
from samurai_batch.runtime.assembly import ReplicaPlan, make_replica_process
from samurai_batch.runtime.capacity import even_share
from samurai_batch.runtime.pool import PoolFailed, ReplicaReady
from samurai_batch.runtime.ray_pool import RayPool, ReplicaResources, connect, disconnect
from tests.runtime.clusters import ray_cluster_of
from tests.runtime.light_workers import see_gpus
from tests.waiting import wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.xdist_group("ray")]


@pytest.fixture(scope="module")
def gpu_nodes() -> Iterator[str]:
    """The address of a cluster whose nodes have 2 and 1 GPUs; the head has none."""
    with ray_cluster_of((6, 2), (6, 1)) as cluster:
        connect(cluster.address)
        try:
            yield cluster.address
        finally:
            disconnect()


def gpus_of(num_replicas: int | None, resources: ReplicaResources, num_ready: int) -> Counter[str]:
    """How many replicas see which GPUs of which node, once so many are ready."""
    pool = RayPool(see_gpus, None, num_replicas, resources)  # type: ignore[arg-type]  # it is given no order
    ready: list[str] = []

    def are_ready() -> bool:
        ready.extend(event.device for event in pool.wait(0.5) if isinstance(event, ReplicaReady))
        return len(ready) >= num_ready

    try:
        wait_for(are_ready, f"{num_ready} replicas")
        assert len(pool._slots) == num_ready
    finally:
        pool.close()
    return Counter(ready)


def test_each_replica_has_a_gpu_of_its_own(gpu_nodes: str) -> None:
    seen = gpus_of(None, ReplicaResources(num_cpus=1.0, num_gpus=even_share(0.6)), 3)
    assert set(seen.values()) == {1}
    assert Counter(one.split()[0] for one in seen).most_common(1)[0][1] == 2


def test_two_halves_share_one_gpu_and_no_half_lies_on_two(gpu_nodes: str) -> None:
    seen = gpus_of(None, ReplicaResources(num_cpus=1.0, num_gpus=0.5), 6)
    assert sorted(seen.values()) == [2, 2, 2]
    assert all(len(one.split()[1].split(",")) == 1 for one in seen)


def test_a_replica_does_not_start_on_a_gpu_that_pytorch_cannot_use(
    gpu_nodes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """These GPUs are declared and not there: nothing computes on the CPU in their place."""
    monkeypatch.setattr(capacity, "LONGEST_PAUSE_S", 0.1)  # between tries
    job = make_job({"prompts": "p", "output": "o", "device": "cuda"})
    plan = ReplicaPlan(job, weights=None, metadata={})  # type: ignore[arg-type]  # never used
    pool = RayPool(make_replica_process, plan, 1, ReplicaResources(num_cpus=1.0, num_gpus=1.0))
    told: list[str] = []

    def has_failed() -> bool:
        events = pool.wait(0.5)
        assert not [event for event in events if isinstance(event, ReplicaReady)]
        told.extend(event.reason for event in events if isinstance(event, PoolFailed))
        return bool(told)

    try:
        wait_for(has_failed, "the end of all starts")
    finally:
        pool.close()
    assert told[0].startswith("ConfigError: device is cuda, which cannot be used here: no NVIDIA driver answers")


def test_a_replica_that_reserves_no_gpu_sees_none(gpu_nodes: str) -> None:
    seen = gpus_of(2, ReplicaResources(num_cpus=1.0), 2)
    assert {one.partition(" ")[2] for one in seen} == {""}
