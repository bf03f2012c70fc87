"""A cluster of two nodes of one CPU each, and a head of none, that nobody adds nodes to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from samurai_batch.errors import ConfigError
from samurai_batch.ledger.status import exit_code
from samurai_batch.runtime import ray_cluster
from samurai_batch.runtime.ray_pool import RayPool, ReplicaResources, connect, disconnect
from tests.runtime.clusters import ray_cluster_of
from tests.runtime.fakes import box_track, run_tracks, write_video
from tests.runtime.light_workers import WorkerPlan
from tests.runtime.ray_worker import make_worker, worker_of_one_node

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.xdist_group("ray")]


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[None]:
    with ray_cluster_of((1, 0), (1, 0)) as cluster:
        connect(cluster.address)
        try:
            yield
        finally:
            disconnect()


@pytest.mark.usefixtures("two_nodes")
@pytest.mark.parametrize("num_replicas", [None, 1])
def test_two_halves_are_no_room_for_a_whole(num_replicas: int | None) -> None:
    with pytest.raises(ConfigError, match=r"needs 2 CPUs, and no node .* 2 nodes of 1 CPUs and 0 GPUs"):
        RayPool(make_worker, WorkerPlan("", ""), num_replicas, ReplicaResources(num_cpus=2.0))
    assert ray_cluster.has_autoscaler() is not True


@pytest.mark.usefixtures("two_nodes")
def test_a_node_on_which_no_replica_starts_leaves_the_work_to_the_other(tmp_path: Path) -> None:
    tracks = [box_track(write_video(tmp_path, name, 40), "x") for name in "abc"]
    (tmp_path / "pids").mkdir()
    plan = WorkerPlan(str(tmp_path / "out"), str(tmp_path / "pids"), frame_s=0.02)
    summary = run_tracks(
        tracks,
        tmp_path / "out",
        make_pool=lambda: RayPool(worker_of_one_node, plan, None, ReplicaResources(num_cpus=1.0)),
    )
    assert exit_code(summary) == 0
    assert (tmp_path / "good-node").exists()
    assert len(list(Path(plan.pids).iterdir())) == 1
