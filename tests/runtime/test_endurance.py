"""What a driver outlasts: storage that is away for a while, slow preparations, worn replicas, videos cut short."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from samurai_batch import pipeline, storage
from samurai_batch.errors import StorageError
from samurai_batch.ledger.lease import Lease
from samurai_batch.ledger.status import exit_code
from samurai_batch.ledger.store import read_video_ledger
from samurai_batch.masks import read_masks
from samurai_batch.planning.orders import Order, OrderFailed, Report
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.runtime import assembly
from samurai_batch.runtime.pool import LocalPool, Pool, Worker
from samurai_batch.runtime.run import run_job
from samurai_batch.tasks import Leg, Track
from samurai_batch.tracking.tracker import Tracker
from samurai_batch.video import VideoSource
from tests.runtime.fakes import FakeTracker, box_track, make_replica, run_tracks, write_video
from tests.runtime.test_jobs import make_config, make_tracks, rows_of


def tracks_in(folder: Path) -> list[Track]:
    return [box_track(write_video(folder, name, 35), "x") for name in "abc"]


class PatchyStore:
    """The driver's storage: from its first ledger on, so many changes fail."""

    def __init__(self, num_failures: int) -> None:
        self.num_left = num_failures

    def __getattr__(self, name: str) -> Any:
        return getattr(storage, name)

    def write_bytes(self, uri: str, data: bytes) -> None:
        if uri.endswith("/a.json") and self.num_left:
            self.num_left -= 1
            raise StorageError("storage is away")
        storage.write_bytes(uri, data)


def test_storage_that_is_away_for_a_while_costs_nothing(tmp_path: Path) -> None:
    store = PatchyStore(3)
    summary = run_tracks(tracks_in(tmp_path), tmp_path / "out", store=store, heartbeat_s=0.05)
    assert exit_code(summary) == 0
    assert store.num_left == 0
    assert not storage.list_names(str(tmp_path / "out" / "_work"))


def test_storage_that_stays_away_ends_the_run_and_the_next_one_goes_on(tmp_path: Path) -> None:
    tracks, out = tracks_in(tmp_path), tmp_path / "out"
    with pytest.raises(StorageError, match="storage is away"):
        run_tracks(tracks, out, store=PatchyStore(10**6), heartbeat_s=0.05, stale_after_s=1.0)
    assert exit_code(run_tracks(tracks, out)) == 0
    assert read_masks(str(out)).groupby("video_id").size().to_dict() == {"a": 35, "b": 35, "c": 35}


def test_a_long_preparation_shows_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beats: list[str] = []
    original = Lease.beat

    def beat(self: Lease, *told: Any) -> None:
        beats.append(self.record.run_id)
        original(self, *told)

    monkeypatch.setattr(Lease, "beat", beat)

    def no_pool() -> Pool:
        raise AssertionError("nothing is left to do")

    tracks = tracks_in(tmp_path)
    run_tracks(tracks, tmp_path / "out")
    beats.clear()
    run_tracks(tracks, tmp_path / "out", make_pool=no_pool, heartbeat_s=0.0)
    assert len(beats) > len(tracks)  # one for each video looked up, and the last


def test_replicas_are_recycled_after_so_many_chunks(tmp_path: Path) -> None:
    made: list[FakeTracker] = []

    def make_pool() -> Pool:
        def build(payload: None) -> Worker:
            made.append(FakeTracker())
            return make_replica(str(tmp_path / "out"), made[-1])

        return LocalPool(build, None)

    tracks = tracks_in(tmp_path)
    summary = run_tracks(tracks, tmp_path / "out", make_pool=make_pool, chunks_per_replica=2)
    assert exit_code(summary) == 0
    assert summary.totals.replicas_lost == 0
    assert len(made) >= 6  # twelve chunks
    run_tracks(tracks, tmp_path / "undisturbed")
    pd.testing.assert_frame_equal(read_masks(str(tmp_path / "out")), read_masks(str(tmp_path / "undisturbed")))


class BrokenWorker:
    """A device that has failed: every order ends at once, badly."""

    device = "a failed device"

    def __init__(self, kind: FailureKind) -> None:
        self._kind = kind
        self.num_orders = 0

    def run(self, order: Order) -> Report:
        self.num_orders += 1
        return OrderFailed(order.order_id, Failure(self._kind, "device-side assert"), 0.0)

    def stop(self) -> None:
        pass


@pytest.mark.parametrize("kind", [FailureKind.INTERNAL, FailureKind.OUT_OF_MEMORY])
def test_a_replica_that_fails_whatever_it_is_given_is_replaced_before_a_track_is(
    tmp_path: Path, kind: FailureKind
) -> None:
    broken = BrokenWorker(kind)
    made: list[Worker] = []

    def make_pool() -> Pool:
        def build(payload: None) -> Worker:
            made.append(make_replica(str(tmp_path / "out"), FakeTracker()) if made else broken)
            return made[-1]

        return LocalPool(build, None)

    tracks = tracks_in(tmp_path)
    assert exit_code(run_tracks(tracks, tmp_path / "out", make_pool=make_pool)) == 0
    assert (broken.num_orders, len(made)) == (2, 2)


def test_one_replica_that_cannot_start_does_not_take_the_job_with_it(tmp_path: Path) -> None:
    num_built = 0

    def make_pool() -> Pool:
        def build(payload: None) -> Worker:
            nonlocal num_built
            num_built += 1
            if num_built == 1:
                raise RuntimeError("no such device")
            return make_replica(str(tmp_path / "out"), FakeTracker())

        return LocalPool(build, None, num_replicas=2)

    assert exit_code(run_tracks(tracks_in(tmp_path), tmp_path / "out", make_pool=make_pool)) == 0


def test_where_a_video_is_cut_is_known_to_the_run_that_goes_on(tmp_path: Path) -> None:
    video = write_video(tmp_path, "a", 60, missing_from=23)
    tracks = [box_track(video, "x"), box_track(video, "y", 2)]
    out, tracker = tmp_path / "out", FakeTracker()

    def has_met_the_end() -> bool:
        ledger = read_video_ledger(storage, str(out), "a")
        return ledger is not None and ledger.cut is not None

    run_tracks(tracks, out, tracker, keep_partial=True, should_stop=has_met_the_end, heartbeat_s=0.0)
    assert json.loads((out / "_ledger/a.json").read_text())["cut"]["frame_reached"] == 23
    resumed = FakeTracker()
    run_tracks(tracks, out, resumed, keep_partial=True)
    assert min((frames.start for _, _, frames, _ in resumed.calls), default=20) >= 20
    rows = read_masks(str(out))
    assert rows.groupby("object_id")["frame_index"].max().to_dict() == {"x": 22, "y": 22}


@pytest.fixture
def _small_device(one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device with memory for one track."""
    original = pipeline.propagate_chunk

    def propagate_chunk(tracker: Tracker, source: VideoSource, legs: Sequence[Leg], *what: Any, **how: Any) -> Any:
        if len(legs) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return original(tracker, source, legs, *what, **how)

    monkeypatch.setattr(assembly, "propagate_chunk", propagate_chunk)


@pytest.mark.usefixtures("_small_device")
def test_a_shard_too_large_for_the_device_is_split(tmp_path: Path) -> None:
    root = str(tmp_path)
    config = make_config(root, "out")
    summary = run_job(config, tracks=make_tracks(root))
    assert exit_code(summary) == 0
    assert summary.totals.failures["out_of_memory"] >= 1
    assert len(rows_of(config).groupby(["video_id", "object_id"])) == 4
