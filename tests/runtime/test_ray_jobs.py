"""Whole jobs with real networks on one local Ray: the tables of a local pool, pictures, and one that ends replicas."""

from pathlib import Path

import pandas as pd
import pytest

from samurai_batch.ledger.status import exit_code
from samurai_batch.masks import read_masks
from samurai_batch.runtime.assembly import ReplicaPlan
from samurai_batch.runtime.pool import Pool
from samurai_batch.runtime.ray_pool import RayPool, ReplicaResources
from samurai_batch.runtime.run import run_job
from tests.images.small import picture as drawn
from tests.runtime.fakes import NoProgress
from tests.runtime.poisoned import POISON, make_poisoned_replica
from tests.runtime.test_jobs import make_config, make_tracks, rows_of
from tests.runtime.test_segmenting import (
    assert_nothing_is_done_again,
    assert_the_five_bad_ones_failed,
    fill,
    job,
    put,
)

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.xdist_group("ray"),
    pytest.mark.usefixtures("ray_cluster", "one_thread"),
]


def test_ray_replicas_give_what_a_local_one_gives(tmp_path: Path) -> None:
    root = str(tmp_path)
    tracks = make_tracks(root)
    local, on_ray = make_config(root, "out"), make_config(root, "ray", pool="ray", replicas=2)
    run_job(local, tracks=tracks, progress=NoProgress())
    assert exit_code(run_job(on_ray, tracks=tracks, progress=NoProgress())) == 0
    pd.testing.assert_frame_equal(rows_of(on_ray), rows_of(local))


def test_two_hundred_pictures_on_ray_five_of_them_bad(tmp_path: Path) -> None:
    config = job(fill(str(tmp_path / "in"), 195), str(tmp_path / "out"), pool="ray", replicas=2)
    summary = run_job(config)
    assert (summary.totals.tracks, summary.totals.stats.frames_encoded) == (200, 195)
    assert_the_five_bad_ones_failed(summary, 195)
    rows = read_masks(config.output)
    assert len(rows) == summary.totals.rows
    assert set(rows["video_id"]) <= {f"good {index:03}.png" for index in range(195)}
    assert_nothing_is_done_again(config, summary)


def test_a_picture_that_ends_its_replicas_is_given_up_after_three_and_takes_no_other_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("a.png", POISON, "c.png"):
        put(f"{folder}/{name}", drawn(24, 40))
    config = job(str(folder), str(tmp_path / "out"), pool="ray")

    def make_pool(plan: ReplicaPlan) -> Pool:
        return RayPool(make_poisoned_replica, plan, 1, ReplicaResources(num_cpus=0.5))

    summary = run_job(config, make_pool=make_pool)
    (problem,) = summary.problems
    assert problem.video_id == POISON
    assert problem.error.startswith("answering the prompt ended 3 replicas, the last one with: ")
    assert (summary.totals.tracks_done, summary.totals.replicas_lost) == (2, 3)
