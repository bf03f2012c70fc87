import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from samurai_batch.errors import ConfigError, SamuraiBatchError
from samurai_batch.masks import read_masks
from samurai_batch.runtime.pool import Pool
from samurai_batch.runtime.ray_pool import RayPool, ReplicaResources
from samurai_batch.runtime.summary import exit_code
from tests.runtime.fakes import box_track, run_tracks, write_video
from tests.runtime.ray_worker import WorkerPlan, failing_worker, make_worker

pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("ray"), pytest.mark.usefixtures("ray_cluster")]

RESOURCES = ReplicaResources(num_cpus=0.5)


def ray_pool(plan: WorkerPlan, num_replicas: int = 2) -> Callable[[], Pool]:
    return lambda: RayPool(make_worker, plan, num_replicas, RESOURCES)


def test_two_actors_do_the_job_and_one_killed_on_the_way_changes_nothing(tmp_path: Path) -> None:
    videos = [write_video(tmp_path, name, 60) for name in "ab"]
    tracks = [box_track(video, name, 20, "both") for video in videos for name in "xy"]
    run_tracks(tracks, tmp_path / "undisturbed")
    plan = WorkerPlan(str(tmp_path / "out"), str(tmp_path / "pids"), frame_s=0.02)

    def kill_one() -> None:
        pids = Path(plan.pids)
        while not pids.exists() or not [path for path in pids.iterdir() if path.read_text() == "33"]:
            time.sleep(0.005)
        os.kill(int(next(path.name for path in pids.iterdir() if path.read_text() == "33")), signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    summary = run_tracks(tracks, tmp_path / "out", make_pool=ray_pool(plan))
    killer.join()
    assert exit_code(summary) == 0
    assert summary.totals.replicas_lost == 1
    pd.testing.assert_frame_equal(read_masks(str(tmp_path / "out")), read_masks(str(tmp_path / "undisturbed")))


def test_replicas_that_cannot_start_end_the_run_with_the_reason(tmp_path: Path) -> None:
    plan = WorkerPlan(str(tmp_path / "out"), str(tmp_path / "pids"))
    track = box_track(write_video(tmp_path, "a", 15), "x")
    with pytest.raises(SamuraiBatchError, match="no replica could be started: RuntimeError: no such device"):
        run_tracks([track], tmp_path / "out", make_pool=lambda: RayPool(failing_worker, plan, 2, RESOURCES))


def test_asking_for_more_than_the_cluster_has_is_refused(tmp_path: Path) -> None:
    plan = WorkerPlan(str(tmp_path / "out"), str(tmp_path / "pids"))
    with pytest.raises(ConfigError, match="asks for 1 CPUs and 4 GPUs"):
        RayPool(make_worker, plan, 1, ReplicaResources(num_cpus=1, num_gpus=4))
