"""Whole jobs with the real tracker: a small untrained network over small folders of frames."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.job import JobConfig, make_job
from samurai_batch.ledger.lease import SystemClock
from samurai_batch.ledger.status import exit_code
from samurai_batch.manifest import write_prompts
from samurai_batch.masks import file_metadata, mask_table_uri, read_masks
from samurai_batch.runtime import assembly
from samurai_batch.runtime.assembly import ReplicaPlan, make_replica
from samurai_batch.runtime.dry_run import plan_job
from samurai_batch.runtime.pool import LocalPool, PoolEvent
from samurai_batch.runtime.run import new_run_id, run_job
from samurai_batch.tasks import Track, Video
from tests.runtime.fakes import NoProgress, box_track

NUM_FRAMES = 11


pytestmark = pytest.mark.usefixtures("one_thread")


def write_frames(folder_uri: str, seed: int, num_frames: int = NUM_FRAMES) -> str:
    rng = np.random.default_rng(seed)
    background = rng.integers(0, 255, (48, 64, 3), np.uint8)
    for index in range(num_frames):
        picture = background.copy()
        picture[10 + index : 30 + index, 10:30] = 200
        data = io.BytesIO()
        Image.fromarray(picture).save(data, "png")
        storage.write_bytes(f"{folder_uri}/{index:03}.png", data.getvalue())
    return folder_uri


def make_tracks(root: str) -> list[Track]:
    first, second = (Video(name, write_frames(f"{root}/videos/{name}", seed)) for seed, name in enumerate("ab"))
    return [
        box_track(first, "one"),
        box_track(first, "two", 6, "both"),
        box_track(second, "one", 4, "backward"),
        box_track(second, "ü/..", 2),
    ]


def make_config(root: str, output: str, **more: object) -> JobConfig:
    fields = {"model": "nano", "weights": "untrained:0", "image_size": 64, "chunk_frames": 4, "pool": "local"}
    return make_job({"prompts": f"{root}/prompts.parquet", "output": f"{root}/{output}", **fields, **more})


def rows_of(config: JobConfig) -> pd.DataFrame:
    rows = read_masks(config.output)
    return rows.assign(segmentation=rows["segmentation"].map(str))


class ImpatientPool(LocalPool[ReplicaPlan]):
    """Somebody loses patience after the fifth event."""

    def __init__(self, plan: ReplicaPlan) -> None:
        super().__init__(make_replica, plan)
        self._num_left = 5

    def wait(self, timeout_s: float) -> list[PoolEvent]:
        if self._num_left <= 0:
            raise KeyboardInterrupt
        events = super().wait(timeout_s)
        self._num_left -= len(events)
        return events


@pytest.mark.slow
def test_a_job_leaves_the_same_tables_however_it_is_run(tmp_path: Path) -> None:
    root = str(tmp_path)
    write_prompts(f"{root}/prompts.parquet", make_tracks(root))
    config = make_config(root, "out")
    assert plan_job(config).num_new == 4
    summary = run_job(config, progress=NoProgress())
    assert exit_code(summary) == 0
    assert summary.totals.rows == len(rows_of(config)) == 11 + 11 + 5 + 9
    assert plan_job(config).num_done == 4

    stopped = make_config(root, "stopped")
    watch = NoProgress()

    with pytest.raises(KeyboardInterrupt):
        run_job(stopped, progress=watch, make_pool=ImpatientPool)
    assert storage.list_names(f"{stopped.output}/_work")
    assert exit_code(run_job(stopped, progress=watch)) == 0
    pd.testing.assert_frame_equal(rows_of(stopped), rows_of(config))
    assert not storage.list_names(f"{stopped.output}/_work")


@pytest.mark.slow
def test_a_table_says_how_it_was_made(tmp_path: Path) -> None:
    root = str(tmp_path)
    config = make_config(root, "out", mode="sam2", tracker={"fill_hole_area": 0})
    summary = run_job(config, tracks=make_tracks(root)[:1], progress=NoProgress())
    metadata = file_metadata(storage.read_bytes(mask_table_uri(config.output, "a", "one")))
    assert metadata["run_id"] == summary.run_id
    assert metadata["model"] == "nano"
    assert '"mode": "sam2"' in metadata["tracker_settings"]
    assert '"fill_hole_area": 0' in metadata["tracker_settings"]
    assert len(metadata["fingerprint"]) == len(metadata["weights_digest"]) == 64


@pytest.mark.slow
@pytest.mark.server
def test_prompts_videos_and_tables_may_all_lie_on_s3(tmp_path: Path, s3_uri: str) -> None:
    tracks = make_tracks(str(tmp_path))
    run_job(make_config(str(tmp_path), "out"), tracks=tracks, progress=NoProgress())
    write_prompts(f"{s3_uri}/prompts.parquet", make_tracks(s3_uri))
    config = make_config(s3_uri, "out", cache_dir=str(tmp_path / "cache"))
    assert exit_code(run_job(config, progress=NoProgress())) == 0
    pd.testing.assert_frame_equal(rows_of(config), rows_of(make_config(str(tmp_path), "out")))
    assert not storage.list_names(f"{config.output}/_work")
    assert run_job(config, progress=NoProgress()).totals.tracks_skipped == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "huge"}, "model 'huge' is not known"),
        ({"tracker": {"alpha": 1}}, "tracker.alpha is not a setting; known are stable_frames_threshold"),
    ],
)
def test_a_job_that_cannot_run_is_refused_before_anything_is_read(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run_job(make_config(str(tmp_path), "out", **changes))
    assert not storage.exists(str(tmp_path / "out"))


def test_a_run_may_be_named_beforehand_and_a_name_is_used_once(tmp_path: Path) -> None:
    config, name = make_config(str(tmp_path), str(tmp_path / "out")), new_run_id(SystemClock())
    assert run_job(config, tracks=[], progress=NoProgress(), run_id=name).run_id == name
    with pytest.raises(ConfigError, match=f"run_id {name}: .*out already has this run"):
        run_job(config, tracks=[], progress=NoProgress(), run_id=name)
    with pytest.raises(ConfigError, match=r"run_id '\.\./a' is not the name of a run"):
        run_job(config, tracks=[], progress=NoProgress(), run_id="../a")


@pytest.mark.parametrize(
    ("changes", "threads", "beside"),
    [
        ({}, 1, True),
        ({"threads_per_replica": 1}, 1, False),
        ({"num_cpus_per_replica": 2.0}, 1, True),
        ({"num_cpus_per_replica": 2.0, "threads_per_replica": 1}, 1, True),
        ({"num_cpus_per_replica": 0.0}, 1, True),
        ({"num_cpus_per_replica": 3.5}, 3, True),
        ({"num_cpus_per_replica": 16.0}, 15, True),
        ({"num_cpus_per_replica": 16.0, "threads_per_replica": 16}, 16, False),
        ({"device": "cuda", "threads_per_replica": 1}, 1, True),
        ({"pool": "local"}, 7, True),
        ({"pool": "local", "replicas": 4}, 1, True),
        ({"pool": "local", "replicas": 40}, 1, True),
        ({"pool": "local", "replicas": 4, "threads_per_replica": 5}, 5, False),
    ],
)
def test_a_replicas_threads_are_its_share_of_the_cpus(
    changes: dict[str, object], threads: int, beside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "MACHINE_THREADS", 8)
    config = make_job({"prompts": "p.csv", "output": "out"} | changes)
    assert assembly.network_threads(config) == threads
    assert assembly.use_threads(config) == beside
