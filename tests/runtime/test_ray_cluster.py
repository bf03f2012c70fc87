"""A job on several nodes under a schedule of kills: workers, a node, the driver; and a node that joins."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from samurai_batch import storage
from samurai_batch.ledger.schema import RunRecord
from samurai_batch.ledger.status import exit_code
from samurai_batch.ledger.store import list_runs, read_run
from samurai_batch.manifest import write_prompts
from samurai_batch.masks import read_masks
from samurai_batch.planning.retry import FailureKind
from samurai_batch.prompts import Rle
from samurai_batch.rle import decode_mask
from samurai_batch.runtime.run import run_job
from samurai_batch.tasks import Track, Video
from tests.runtime import cluster_driver, loss_driver
from tests.runtime.cluster_driver import cluster_job
from tests.runtime.clusters import ClusterUnderTest, cluster_for
from tests.runtime.fakes import NoProgress, box_track
from tests.runtime.gate import OPEN, Gate
from tests.runtime.test_jobs import write_frames
from tests.waiting import LIMIT_S, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.xdist_group("ray")]

NUM_VIDEOS, TRACKS_PER_VIDEO, NUM_FRAMES, CHUNK_FRAMES = 6, 4, 24, 6
KILLS = ("worker", "worker", "driver", "worker", "node", "worker", "worker", "driver", "worker", "worker")


def make_tracks(folder: Path) -> list[Track]:
    tracks = []
    for number in range(NUM_VIDEOS):
        video = Video(f"v{number}", write_frames(str(folder / f"videos/v{number}"), number, NUM_FRAMES))
        tracks += [box_track(video, "one"), box_track(video, "two", 3), box_track(video, "back", 20, "backward")]
        tracks.append(box_track(video, "both", 10, "both"))
    return tracks


def has_done(cluster: ClusterUnderTest, gate: Gate, num_frames: int) -> bool:
    return cluster.is_alive() and gate.num_frames >= num_frames


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
    records = [read_run(storage, output, run_id) for run_id in list_runs(storage, output)]
    return [record for record in records if record is not None]


@pytest.mark.usefixtures("one_thread")
def test_ten_kills_change_no_row_and_cost_a_chunk_each(tmp_path: Path) -> None:
    write_prompts(str(tmp_path / "prompts.parquet"), make_tracks(tmp_path))
    undisturbed = run_job(cluster_job(tmp_path, "undisturbed", pool="local"), progress=NoProgress())
    assert exit_code(undisturbed) == 0

    gate = Gate(str(tmp_path / "gate"))
    step = undisturbed.totals.stats.frames_encoded // (len(KILLS) + 1)
    gate.let_through(step)
    with cluster_for(tmp_path, cluster_driver.__name__) as cluster:
        for number, what in enumerate(KILLS, start=1):
            wait_for(partial(has_done, cluster, gate, number * step), f"work before the {what} is killed")
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
    num_twice = gate.num_frames - undisturbed.totals.stats.frames_encoded
    assert num_twice <= len(KILLS) * CHUNK_FRAMES * cluster_job(tmp_path, "out").max_tracks_per_shard


def test_ray_says_whether_a_replica_died_or_was_lost_with_its_node_or_the_node_was_taken_away(tmp_path: Path) -> None:
    said = tmp_path / "said"

    def has_said(cluster: ClusterUnderTest, lines: list[str]) -> bool:
        return cluster.is_alive() and said.exists() and sorted(said.read_text().splitlines()) == sorted(lines)

    lines = ["at work"] * 4
    with cluster_for(tmp_path, loss_driver.__name__, num_nodes=4) as cluster:
        wait_for(partial(has_said, cluster, lines), "four replicas")
        for how, kind in (
            ("drained", FailureKind.PREEMPTED),
            ("shut down", FailureKind.PREEMPTED),
            ("cut off", FailureKind.LOST),
        ):
            if how == "drained":
                cluster.drain(cluster.nodes[-1])
            cluster.cluster.remove_node(cluster.nodes.pop(), allow_graceful=how == "shut down")
            lines.append(kind)
            wait_for(partial(has_said, cluster, lines), f"a replica that is said to be {kind}")
        cluster.kill("worker")
        lines += [FailureKind.DIED, "at work"]  # another one starts on the node that is left
        wait_for(partial(has_said, cluster, lines), "a replica that is said to have died")
