"""A driver that is killed or stopped while its replicas, on a cluster that goes on, are in the middle of a chunk."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from samurai_batch import storage
from samurai_batch.ledger.status import exit_code
from samurai_batch.masks import read_masks
from tests.runtime.clusters import ROOT, ray_cluster_of
from tests.runtime.discovery_world import WORLD
from tests.runtime.fakes import FakeTracker, run_tracks, write_video
from tests.runtime.ray_driver import discovery_in, plan_in, tracks_in
from tests.waiting import LIMIT_S, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("ray")]

Start = Callable[[Path, str], "subprocess.Popen[bytes]"]


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Starts a driver on one cluster for all tests."""
    with ray_cluster_of((2, 0)) as cluster:

        def start_driver(folder: Path, kind: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "tests.runtime.ray_driver", str(folder), kind, cluster.address]
            return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})

        yield start_driver


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def is_in_the_middle(driver: "subprocess.Popen[bytes]", folder: Path) -> bool:
    assert driver.poll() is None, "the driver ended before it was disturbed"
    return bool(plan_in(folder).is_at(33))


def interrupt(start: Start, folder: Path, number: signal.Signals, kind: str = "boxes") -> int:
    """Start a run, signal it while a replica is held, wait until its replicas have ended, and return how it ended."""
    for name in "ab":
        write_video(folder, name, 60)
    if kind == "boxes":
        run_tracks(tracks_in(folder), folder / "undisturbed")
    else:
        tracks, detections = discovery_in(folder)
        run_tracks(tracks, folder / "undisturbed", FakeTracker(mask_of=WORLD.mask_of), detections=detections)
    with start(folder, kind) as driver:
        wait_for(partial(is_in_the_middle, driver, folder), "a replica in the middle of a chunk")
        driver.send_signal(number)
        code = driver.wait(timeout=LIMIT_S)
    replicas = [int(path.name) for path in folder.glob("pids/*")]
    wait_for(lambda: not any(map(is_alive, replicas)), "the replicas of the driver to end")
    plan_in(folder).go.touch()
    assert storage.list_names(str(folder / "out" / "_work"))
    return code


def resume(start: Start, folder: Path, kind: str = "boxes") -> None:
    with start(folder, kind) as again:
        assert again.wait(timeout=LIMIT_S) == 0


def assert_same_rows(folder: Path) -> None:
    done, expected = (read_masks(str(folder / name)) for name in ("out", "undisturbed"))
    found, right = (rows.assign(segmentation=rows["segmentation"].map(str)) for rows in (done, expected))
    pd.testing.assert_frame_equal(found, right)


def test_a_killed_driver_takes_its_replicas_with_it_and_is_resumed_by_the_same_command(
    start: Start, tmp_path: Path
) -> None:
    assert interrupt(start, tmp_path, signal.SIGKILL) == -signal.SIGKILL
    resume(start, tmp_path)
    assert_same_rows(tmp_path)


def test_a_killed_discovery_goes_on_to_the_same_ids_and_rows(start: Start, tmp_path: Path) -> None:
    assert interrupt(start, tmp_path, signal.SIGKILL, "discovery") == -signal.SIGKILL
    assert storage.list_names(str(tmp_path / "out" / "_ledger" / "discovery")), "no window was decided before the kill"
    resume(start, tmp_path, "discovery")
    assert_same_rows(tmp_path)
    ids = set(read_masks(str(tmp_path / "out"))["object_id"])
    assert ids >= {"d#car-0-0"}
    assert len(ids) >= 3


def test_a_driver_that_is_stopped_ends_before_its_job_and_is_resumed(start: Start, tmp_path: Path) -> None:
    assert interrupt(start, tmp_path, signal.SIGTERM) == 1
    assert exit_code(run_tracks(tracks_in(tmp_path), tmp_path / "out")) == 0
    assert_same_rows(tmp_path)
