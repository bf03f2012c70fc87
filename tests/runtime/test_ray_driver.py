import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from samurai_batch import storage
from samurai_batch.masks import read_masks
from tests.runtime.fakes import run_tracks, write_video
from tests.runtime.ray_driver import tracks_in

pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("ray")]

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
    deadline = time.monotonic() + 60
    while not any(path.read_text() == str(frame_index) for path in folder.glob("pids/*")):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_driver_killed_on_the_way_is_resumed_by_the_same_command(tmp_path: Path, number: signal.Signals) -> None:
    for name in "ab":
        write_video(tmp_path, name, 60)
    run_tracks(tracks_in(tmp_path), tmp_path / "undisturbed")
    with start(tmp_path) as driver:
        wait_until_frame(tmp_path, 33)
        driver.send_signal(number)
        driver.wait(timeout=10)
    assert driver.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 1)
    assert storage.list_names(str(tmp_path / "out" / "_work"))
    first_pids = pids_of_replicas(tmp_path)
    with start(tmp_path) as again:
        assert again.wait(timeout=120) == 0
    pd.testing.assert_frame_equal(read_masks(str(tmp_path / "out")), read_masks(str(tmp_path / "undisturbed")))
    assert not [pid for pid in first_pids if is_alive(pid)]
