"""A real Ray of two nodes, which declare GPUs by hand: placement, fractions, hiding, starts that fail, and checks."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from samurai_batch.errors import ConfigError
from samurai_batch.job import make_job
from samurai_batch.ledger.status import exit_code
from samurai_batch.runtime import capacity, ray_cluster
from samurai_batch.runtime.assembly import ReplicaPlan, make_replica_process
from samurai_batch.runtime.capacity import even_share
from samurai_batch.runtime.node_checks import check_nodes
from samurai_batch.runtime.pool import PoolFailed, ReplicaReady
from samurai_batch.runtime.ray_pool import RayPool, ReplicaResources, connect, disconnect
from tests.operations.test_doctor import doctor
from tests.runtime.clusters import ray_cluster_of
from tests.runtime.fakes import box_track, run_tracks, write_video
from tests.runtime.light_workers import WorkerPlan, see_gpus
from tests.runtime.ray_worker import make_worker, worker_of_one_node
from tests.waiting import wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.xdist_group("ray")]

CPUS = 6
"""Of each of the two nodes."""


@pytest.fixture(scope="module")
def nodes() -> Iterator[str]:
    """The address of a cluster whose nodes have 2 and 1 GPUs; the head has none."""
    with ray_cluster_of((CPUS, 2), (CPUS, 1)) as cluster:
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


def test_each_replica_has_a_gpu_of_its_own(nodes: str) -> None:
    seen = gpus_of(None, ReplicaResources(num_cpus=1.0, num_gpus=even_share(0.6)), 3)
    assert set(seen.values()) == {1}
    assert Counter(one.split()[0] for one in seen).most_common(1)[0][1] == 2


def test_two_halves_share_one_gpu_and_no_half_lies_on_two(nodes: str) -> None:
    seen = gpus_of(None, ReplicaResources(num_cpus=1.0, num_gpus=0.5), 6)
    assert sorted(seen.values()) == [2, 2, 2]
    assert all(len(one.split()[1].split(",")) == 1 for one in seen)


def test_a_replica_does_not_start_on_a_gpu_that_pytorch_cannot_use(nodes: str, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_replica_that_reserves_no_gpu_sees_none(nodes: str) -> None:
    seen = gpus_of(2, ReplicaResources(num_cpus=1.0), 2)
    assert {one.partition(" ")[2] for one in seen} == {""}


@pytest.mark.parametrize("num_replicas", [None, 1])
def test_two_halves_are_no_room_for_a_whole(nodes: str, num_replicas: int | None) -> None:
    with pytest.raises(ConfigError, match=r"needs 12 CPUs, and no node .* 1 node of 6 CPUs and 2 GPUs"):
        RayPool(make_worker, WorkerPlan("", ""), num_replicas, ReplicaResources(num_cpus=2.0 * CPUS))
    assert ray_cluster.has_autoscaler() is not True


def test_a_node_on_which_no_replica_starts_leaves_the_work_to_the_other(nodes: str, tmp_path: Path) -> None:
    tracks = [box_track(write_video(tmp_path, name, 40), "x") for name in "abc"]
    (tmp_path / "pids").mkdir()
    plan = WorkerPlan(str(tmp_path / "out"), str(tmp_path / "pids"), frame_s=0.02)
    summary = run_tracks(
        tracks,
        tmp_path / "out",
        make_pool=lambda: RayPool(worker_of_one_node, plan, None, ReplicaResources(num_cpus=float(CPUS))),
    )
    assert exit_code(summary) == 0
    assert (tmp_path / "good-node").exists()
    assert len(list(Path(plan.pids).iterdir())) == 1


def test_the_doctor_checks_every_node(nodes: str, tmp_path: Path) -> None:
    code, told = doctor("--ray-address", nodes, "--output", str(tmp_path))
    cluster, *each = told.split("\nnode ")
    assert cluster.startswith("this machine, where the job starts:\n")
    assert "replicas   room for 3 of 1 CPUs and 1 GPUs" in cluster
    by_room = {room: one for one in each for room in ("2", "1", "none") if f", room for {room}:\n" in one}
    assert len(by_room) == len(each) == 3
    assert all("  ok       python " in one for one in each)
    for room in ("2", "1"):
        assert "problem  CUDA " in by_room[room], "the GPUs are declared and not there"
        assert f"ok       output     {tmp_path}: reads, writes" in by_room[room]
    assert "problem" not in by_room["none"], "the head has no room, so that it needs no GPU"
    assert code == 1


def test_the_doctor_finds_no_problem_where_the_job_needs_no_gpu(nodes: str) -> None:
    code, told = doctor("--ray-address", nodes, "--set", "device=cpu")
    assert code == 0
    assert f"room for {2 * CPUS} of 1 CPUs" in told


def test_a_job_whose_reserved_gpus_cannot_be_used_starts_no_replica(nodes: str) -> None:
    job = make_job({"prompts": "p", "output": "o", "device": "cuda", "dtype": "float32"})
    with pytest.raises(ConfigError, match=r"(?s)no replica could work here: node .*: CUDA: .*; or set device: cpu"):
        check_nodes(job, ReplicaResources(num_cpus=1.0, num_gpus=1.0))
    check_nodes(job.model_copy(update={"device": "cpu"}), ReplicaResources(num_cpus=1.0))
