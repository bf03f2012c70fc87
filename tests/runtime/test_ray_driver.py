import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from samurai_batch import storage
from samurai_batch.ledger.status import exit_code
from samurai_batch.masks import read_masks
from tests.runtime.discovery_world import WORLD
from tests.runtime.fakes import FakeTracker, run_tracks, write_video
from tests.runtime.ray_driver import discovery_in, tracks_in

pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("ray")]

LIMIT_S = 600.0
ROOT = Path(__file__).parents[2]


def start(folder: Path, kind: str = "boxes") -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.runtime.ray_driver", str(folder), kind]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pids_of_replicas(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.glob("pids/*")]


def wait_until_frame(folder: Path, frame_index: int) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not any(int(path.read_text() or 0) >= frame_index for path in folder.glob("pids/*")):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def interrupt(folder: Path, number: signal.Signals, kind: str = "boxes") -> int:
    """Start a run, signal it in the middle, and return how it ended."""
    for name in "ab":
        write_video(folder, name, 60)
    if kind == "boxes":
        run_tracks(tracks_in(folder), folder / "undisturbed")
    else:
        tracks, detections = discovery_in(folder)
        run_tracks(tracks, folder / "undisturbed", FakeTracker(mask_of=WORLD.mask_of), detections=detections)
    with start(folder, kind) as driver:
        wait_until_frame(folder, 33)
        driver.send_signal(number)
        code = driver.wait(timeout=LIMIT_S)
    assert storage.list_names(str(folder / "out" / "_work"))
    return code


def assert_same_rows(folder: Path) -> None:
    done, expected = (read_masks(str(folder / name)) for name in ("out", "undisturbed"))
    found, right = (rows.assign(segmentation=rows["segmentation"].map(str)) for rows in (done, expected))
    pd.testing.assert_frame_equal(found, right)


def test_a_killed_driver_is_resumed_by_the_same_command(tmp_path: Path) -> None:
    assert interrupt(tmp_path, signal.SIGKILL) == -signal.SIGKILL
    first_pids = pids_of_replicas(tmp_path)
    with start(tmp_path) as again:
        assert again.wait(timeout=LIMIT_S) == 0
    assert_same_rows(tmp_path)
    assert not [pid for pid in first_pids if is_alive(pid)]


def test_a_killed_discovery_goes_on_to_the_same_ids_and_rows(tmp_path: Path) -> None:
    assert interrupt(tmp_path, signal.SIGKILL, "discovery") == -signal.SIGKILL
    assert storage.list_names(str(tmp_path / "out" / "_ledger" / "discovery")), "no window was decided before the kill"
    with start(tmp_path, "discovery") as again:
        assert again.wait(timeout=LIMIT_S) == 0
    assert_same_rows(tmp_path)
    ids = set(read_masks(str(tmp_path / "out"))["object_id"])
    assert ids >= {"d#car-0-0"}
    assert len(ids) >= 3


def test_a_driver_that_is_stopped_ends_before_its_job_and_is_resumed(tmp_path: Path) -> None:
    assert interrupt(tmp_path, signal.SIGTERM) == 1
    assert not [pid for pid in pids_of_replicas(tmp_path) if is_alive(pid)]
    assert exit_code(run_tracks(tracks_in(tmp_path), tmp_path / "out")) == 0
    assert_same_rows(tmp_path)
