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
from tests.runtime.fakes import run_tracks, write_video
from tests.runtime.ray_driver import tracks_in

pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("ray")]

LIMIT_S = 600.0
ROOT = Path(__file__).parents[2]


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.runtime.ray_driver", str(folder)]
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


def interrupt(folder: Path, number: signal.Signals) -> int:
    """Start a run, signal it in the middle, and return how it ended."""
    for name in "ab":
        write_video(folder, name, 60)
    run_tracks(tracks_in(folder), folder / "undisturbed")
    with start(folder) as driver:
        wait_until_frame(folder, 33)
        driver.send_signal(number)
        code = driver.wait(timeout=LIMIT_S)
    assert storage.list_names(str(folder / "out" / "_work"))
    return code


def assert_same_rows(folder: Path) -> None:
    pd.testing.assert_frame_equal(read_masks(str(folder / "out")), read_masks(str(folder / "undisturbed")))


def test_a_killed_driver_is_resumed_by_the_same_command(tmp_path: Path) -> None:
    assert interrupt(tmp_path, signal.SIGKILL) == -signal.SIGKILL
    first_pids = pids_of_replicas(tmp_path)
    with start(tmp_path) as again:
        assert again.wait(timeout=LIMIT_S) == 0
    assert_same_rows(tmp_path)
    assert not [pid for pid in first_pids if is_alive(pid)]


def test_a_driver_that_is_stopped_ends_before_its_job_and_is_resumed(tmp_path: Path) -> None:
    assert interrupt(tmp_path, signal.SIGTERM) == 1
    assert not [pid for pid in pids_of_replicas(tmp_path) if is_alive(pid)]
    assert exit_code(run_tracks(tracks_in(tmp_path), tmp_path / "out")) == 0
    assert_same_rows(tmp_path)
