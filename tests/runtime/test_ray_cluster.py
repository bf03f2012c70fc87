"""A job on several nodes under a schedule of kills: workers, a node, the driver; and a node that joins."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from samurai_batch import storage
from samurai_batch.manifest import write_prompts
from samurai_batch.masks import read_masks
from samurai_batch.rle import decode_mask
from samurai_batch.runtime.ledger import RunRecord, read_run, runs_uri
from samurai_batch.runtime.run import run_job
from samurai_batch.runtime.summary import exit_code
from samurai_batch.tasks import Rle, Track, Video
from tests.runtime.cluster_driver import cluster_job
from tests.runtime.fakes import NoWatch, box_track
from tests.runtime.gate import OPEN, Gate
from tests.runtime.test_jobs import write_frames

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.xdist_group("ray")]

ROOT = Path(__file__).parents[2]
NUM_VIDEOS, TRACKS_PER_VIDEO, NUM_FRAMES, CHUNK_FRAMES = 6, 4, 24, 6
KILLS = ("worker", "worker", "driver", "worker", "node", "worker", "worker", "driver", "worker", "worker")
LIMIT_S = 150.0


def make_tracks(folder: Path) -> list[Track]:
    tracks = []
    for number in range(NUM_VIDEOS):
        video = Video(f"v{number}", write_frames(str(folder / f"videos/v{number}"), number, NUM_FRAMES))
        tracks += [box_track(video, "one"), box_track(video, "two", 3), box_track(video, "back", 20, "backward")]
        tracks.append(box_track(video, "both", 10, "both"))
    return tracks


class ClusterUnderTest:
    """Raylets of one machine, a driver process, and the replicas that they run."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self.folder = folder
        self._temporary = tempfile.mkdtemp(prefix="ray")  # short: sockets lie below it, and other clusters beside it
        self.cluster = Cluster(initialize_head=True, head_node_args=_node(num_cpus=0) | {"temp_dir": self._temporary})
        self.nodes = [self.cluster.add_node(**_node(num_cpus=1)) for _ in range(2)]
        self.driver = self.start_driver()

    def start_driver(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.runtime.cluster_driver", str(self.folder), self.cluster.address]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with (self.folder / "driver.log").open("ab") as log:
            return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    def kill(self, what: str) -> None:
        match what:
            case "worker":
                os.kill(self.workers()[0], signal.SIGKILL)
            case "node":
                self.cluster.remove_node(self.nodes.pop(0), allow_graceful=False)
                self.nodes.append(self.cluster.add_node(**_node(num_cpus=1)))
            case "driver":
                self.driver.kill()
                self.driver.wait()
                wait_for(lambda: not self.workers(), "the replicas of the dead driver to end")
                self.driver = self.start_driver()

    def has_done(self, gate: Gate, num_frames: int) -> bool:
        assert self.driver.poll() is None, (self.folder / "driver.log").read_text()[-3000:]
        return gate.num_frames >= num_frames

    def workers(self) -> list[int]:
        """Processes of replicas, as children of our raylets."""
        raylets = {process.process.pid for node in self.nodes for process in node.all_processes["raylet"]}
        return [pid for pid, parent, name in _processes() if parent in raylets and name.startswith(b"ray::_Actor")]

    def close(self) -> None:
        self.driver.kill()
        self.driver.wait()
        self.cluster.shutdown()  # type: ignore[no-untyped-call]
        shutil.rmtree(self._temporary)


def _node(num_cpus: int) -> dict[str, Any]:
    return {"num_cpus": num_cpus, "object_store_memory": 80 * 2**20, "include_dashboard": False}


def _processes() -> Iterator[tuple[int, int, bytes]]:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(path.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            yield int(path.name), parent, path.joinpath("cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile


@contextmanager
def cluster_for(folder: Path) -> Iterator[ClusterUnderTest]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # raylets hand it to their workers
        cluster = ClusterUnderTest(folder)
        try:
            yield cluster
        finally:
            cluster.close()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waiting for {what}"
        time.sleep(0.05)


def rows_of(output: str) -> pd.DataFrame:
    return read_masks(output).reset_index(drop=True)


def mask_of(segmentation: dict[str, Any] | None, row: Any) -> np.ndarray:
    if segmentation is None:
        return np.zeros((row.height, row.width), bool)
    return np.asarray(decode_mask(Rle(row.height, row.width, segmentation["counts"])))


def least_iou(rows: pd.DataFrame, others: pd.DataFrame) -> float:
    ious = []
    for row, other in zip(rows.itertuples(), others.itertuples(), strict=True):
        mask, expected = mask_of(row.segmentation, row), mask_of(other.segmentation, other)  # type: ignore[arg-type]
        union = np.logical_or(mask, expected).sum()
        ious.append(np.logical_and(mask, expected).sum() / union if union else 1.0)
    return min(ious)


def runs_of(output: str) -> list[RunRecord]:
    found = [read_run(storage, f"{runs_uri(output)}/{name}") for name in storage.list_names(runs_uri(output))]
    return [record for record in found if record is not None]


def test_ten_kills_change_no_row_and_cost_a_chunk_each(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    write_prompts(str(tmp_path / "prompts.parquet"), make_tracks(tmp_path))
    undisturbed = run_job(cluster_job(tmp_path, "undisturbed", pool="local"), watch=NoWatch())
    assert exit_code(undisturbed) == 0

    gate = Gate(str(tmp_path / "gate"))
    step = undisturbed.totals.frames_encoded // (len(KILLS) + 1)
    gate.let_through(step)
    with cluster_for(tmp_path) as cluster:
        for number, what in enumerate(KILLS, start=1):
            wait_for(partial(cluster.has_done, gate, number * step), f"work before the {what} is killed")
            wait_for(lambda: bool(cluster.workers()), "a replica to kill")
            cluster.kill(what)
            gate.let_through((number + 1) * step if number < len(KILLS) else OPEN)
        assert cluster.driver.wait(timeout=LIMIT_S) == 0, (tmp_path / "driver.log").read_text()[-3000:]

    output = str(tmp_path / "out")
    assert not storage.list_names(f"{output}/_work")
    rows, expected = rows_of(output), rows_of(undisturbed.output)
    keys = ["video_id", "object_id", "frame_index", "timestamp_s", "height", "width", "prompted"]
    pd.testing.assert_frame_equal(rows[keys], expected[keys])
    if sum(record.totals.splits for record in runs_of(output)) == 0:
        same = ["area", "mask_score", "object_score", "motion_score", "mask_index", "segmentation"]
        pd.testing.assert_frame_equal(rows[same], expected[same])
    assert least_iou(rows, expected) >= 0.999
    num_twice = gate.num_frames - undisturbed.totals.frames_encoded
    assert num_twice <= len(KILLS) * CHUNK_FRAMES * cluster_job(tmp_path, "out").max_tracks_per_shard
