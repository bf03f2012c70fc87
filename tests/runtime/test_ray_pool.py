import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import ray

from samurai_batch.errors import ConfigError, SamuraiBatchError
from samurai_batch.ledger.status import exit_code
from samurai_batch.masks import read_masks
from samurai_batch.runtime import capacity
from samurai_batch.runtime import ray_pool as ray_pool_module
from samurai_batch.runtime.pool import Pool, PoolEvent, PoolFailed, PoolWaits, ReplicaDied, ReplicaReady
from samurai_batch.runtime.ray_pool import RayPool, ReplicaResources
from tests.runtime.fakes import box_track, run_tracks, write_video
from tests.runtime.light_workers import WorkerPlan, failing_worker, see_gpus, worker_that_dies
from tests.runtime.ray_worker import make_worker
from tests.waiting import wait_for

pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("ray"), pytest.mark.usefixtures("ray_cluster")]

RESOURCES = ReplicaResources(num_cpus=0.5)


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed starts are tried again at once; tests/runtime/test_starts.py has the times."""
    monkeypatch.setattr(capacity, "LONGEST_PAUSE_S", 0.1)


def ray_pool(plan: WorkerPlan, num_replicas: int = 2) -> Callable[[], Pool]:
    return lambda: RayPool(make_worker, plan, num_replicas, RESOURCES)


def test_two_actors_do_the_job_and_one_killed_on_the_way_changes_nothing(tmp_path: Path) -> None:
    videos = [write_video(tmp_path, name, 60) for name in "ab"]
    tracks = [box_track(video, name, 20, "both") for video in videos for name in "xy"]
    run_tracks(tracks, tmp_path / "undisturbed")
    plan = WorkerPlan(str(tmp_path / "out"), str(tmp_path / "pids"), held_at=33)

    def kill_one() -> None:
        wait_for(lambda: bool(plan.is_at(33)), "a replica in the middle of a chunk")
        os.kill(plan.is_at(33)[0], signal.SIGKILL)
        plan.go.touch()

    killer = threading.Thread(target=kill_one)
    killer.start()
    summary = run_tracks(tracks, tmp_path / "out", make_pool=ray_pool(plan))
    killer.join()
    assert exit_code(summary) == 0
    assert summary.totals.replicas_lost == 1
    pd.testing.assert_frame_equal(read_masks(str(tmp_path / "out")), read_masks(str(tmp_path / "undisturbed")))


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("num_replicas", [None, 1, 2, 8])
def test_replicas_that_cannot_start_end_the_run_with_the_reason(tmp_path: Path, num_replicas: int | None) -> None:
    plan = WorkerPlan(str(tmp_path / "out"), str(tmp_path / "pids"), frame_s=0.2)
    track = box_track(write_video(tmp_path, "a", 15), "x")
    with pytest.raises(SamuraiBatchError, match="no replica could be started: RuntimeError: no such device and a"):
        run_tracks([track], tmp_path / "out", make_pool=lambda: RayPool(failing_worker, plan, num_replicas, RESOURCES))
    num_tries = len(list(Path(plan.pids).iterdir()))
    assert 2 <= num_tries <= 60


@pytest.mark.usefixtures("short_pauses")
def test_replicas_whose_processes_die_while_they_are_built_end_the_run(tmp_path: Path) -> None:
    plan = WorkerPlan(str(tmp_path / "out"), str(tmp_path / "pids"))
    track = box_track(write_video(tmp_path, "a", 15), "x")
    with pytest.raises(SamuraiBatchError, match="no replica could be started: "):
        run_tracks([track], tmp_path / "out", make_pool=lambda: RayPool(worker_that_dies, plan, None, RESOURCES))


class Greedy:
    def hold(self) -> None:
        pass


def test_a_cluster_full_of_others_is_waited_for_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_pool_module, "TELL_AFTER_S", 0.0)
    num_cpus = ray.cluster_resources()["CPU"]  # type: ignore[no-untyped-call]
    greedy_type: Any = ray.remote(num_cpus=num_cpus)(Greedy)
    greedy = greedy_type.remote()
    ray.get(greedy.hold.remote())
    pool = RayPool(see_gpus, None, 1, RESOURCES)  # type: ignore[arg-type]  # it is given no order
    told: list[PoolEvent] = []
    while PoolWaits("free resources for 1 replica (0.5 CPUs each)") not in told:
        told += pool.wait(0.5)
    assert not [event for event in told if isinstance(event, ReplicaReady)]
    ray.kill(greedy)
    while PoolWaits("") not in told:
        told += pool.wait(0.5)
    assert [event.replica_id for event in told if isinstance(event, ReplicaReady)] == ["replica-0"]
    pool.close()


@pytest.mark.usefixtures("short_pauses")
def test_replicas_that_die_before_they_are_given_anything_count_as_not_started() -> None:
    pool = RayPool(see_gpus, None, 1, RESOURCES)  # type: ignore[arg-type]  # it is given no order
    told: list[PoolEvent] = []
    while not any(isinstance(event, PoolFailed) for event in told):
        events = pool.wait(0.5)
        for event in events:
            if isinstance(event, ReplicaReady):
                pool._slots.by_id[event.replica_id].waiting_for = die_in(pool, event.replica_id)
        told += events
    assert 2 <= len([event for event in told if isinstance(event, ReplicaDied)]) <= 3
    pool.close()


def die_in(pool: "RayPool[None]", replica_id: str) -> object:
    """Let the process of an idle replica end by itself."""
    return pool._slots.by_id[replica_id].actor.__ray_call__.remote(lambda _: os._exit(1))


def test_a_request_for_more_than_the_cluster_has_is_refused(tmp_path: Path) -> None:
    plan = WorkerPlan(str(tmp_path / "out"), str(tmp_path / "pids"))
    with pytest.raises(ConfigError, match="needs 1 CPUs and 4 GPUs"):
        RayPool(make_worker, plan, 1, ReplicaResources(num_cpus=1, num_gpus=4))
