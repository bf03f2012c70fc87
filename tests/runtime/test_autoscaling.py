"""Jobs on a cluster that is scaled to zero when they begin."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from samurai_batch.errors import ConfigError
from samurai_batch.ledger.status import exit_code
from samurai_batch.runtime import ray_cluster, ray_pool
from samurai_batch.runtime.pool import PoolFailed, PoolWaits
from samurai_batch.runtime.ray_pool import RayPool, ReplicaResources, connect, disconnect
from tests.runtime.autoscaling import autoscaling_cluster
from tests.runtime.clusters import ROOT
from tests.runtime.fakes import box_track, run_tracks, write_video
from tests.runtime.light_workers import WorkerPlan, see_gpus
from tests.runtime.ray_worker import worker_beside_another
from tests.waiting import wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.xdist_group("ray")]


@pytest.fixture(params=[1, 2], scope="module")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A driver on a head of 0 CPUs, whose autoscaler adds up to two nodes of 1 CPU."""
    from ray._private.authentication_test_utils import reset_auth_token_state  # the lowest Ray has no such module

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("PYTHONPATH", str(ROOT))
        reset_auth_token_state()  # a process that has met a cluster with a token goes on using it
        with autoscaling_cluster(tmp_path_factory.mktemp("head"), request.param) as address:
            connect(address)
            yield address
            disconnect()
    reset_auth_token_state()


def test_what_no_node_type_holds_is_refused(cluster: str) -> None:
    pool = RayPool(see_gpus, None, 1, ReplicaResources(num_cpus=3.0))  # type: ignore[arg-type]  # it is never started
    with pytest.raises(ConfigError, match="needs 3 CPUs, and this cluster's autoscaler has no node type"):
        wait_for(lambda: bool(pool.wait(0.5)) and False, "the autoscaler's word")
    pool.close()


def test_a_job_waits_for_its_first_node_and_requests_more_while_work_waits(
    cluster: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ray_cluster.has_autoscaler()
    monkeypatch.setattr(ray_pool, "TELL_AFTER_S", 0.0)
    monkeypatch.setattr(ray_pool, "CHECK_NODES_EVERY_S", 1.0)
    tracks = [box_track(write_video(tmp_path, name, 30), "x") for name in "abcd"]
    plan = WorkerPlan(str(tmp_path / "out"), str(tmp_path / "pids"))
    with caplog.at_level(logging.INFO):
        summary = run_tracks(
            tracks,
            tmp_path / "out",
            make_pool=lambda: RayPool(worker_beside_another, plan, None, ReplicaResources(num_cpus=1.0)),
        )
    assert exit_code(summary) == 0
    assert "waiting for a node of the autoscaler for 1 replica (1 CPUs each)" in caplog.text
    assert len(list(Path(plan.pids).iterdir())) == 2


def test_waiting_ends_when_nothing_waits(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_pool, "TELL_AFTER_S", 0.0)
    pool = RayPool(see_gpus, None, 1, ReplicaResources(num_cpus=1.0))  # type: ignore[arg-type]  # it is given no order
    waits: list[str] = []
    while not waits or waits[-1]:
        events = pool.wait(0.5)
        assert not any(isinstance(event, PoolFailed) for event in events), events
        waits += [event.what for event in events if isinstance(event, PoolWaits)]
    for_a_node = [what for what in waits if what.endswith("for 1 replica (1 CPUs each)")]  # none if one is still there
    assert waits in ([*for_a_node, "1 replica to load the model", ""], [*for_a_node, ""])
    assert len(for_a_node) <= 1
    pool.close()
