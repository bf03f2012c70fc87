"""Nights, one after the other: what runs, why, and that it had been said before."""

import io
import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from samurai_batch import storage
from samurai_batch.errors import ConfigError, OutputLockedError
from samurai_batch.job import JobConfig, make_job
from samurai_batch.ledger.lease import Lease, SystemClock, lease_uri, this_process
from samurai_batch.manifest import write_prompts
from samurai_batch.masks import mask_table_uri, read_masks
from samurai_batch.modeling.checkpoints import load_weights
from samurai_batch.operations import reprocess as operation
from samurai_batch.operations.diff import diff_results
from samurai_batch.operations.history import keep_table, read_history
from samurai_batch.operations.reprocess import Choice, ReprocessPlan, parse_moment, plan_reprocess, reprocess
from samurai_batch.prompts import BoxPrompt
from samurai_batch.tasks import Track, TrackId, Video
from tests.runtime.fakes import NoProgress

pytestmark = pytest.mark.usefixtures("one_thread")

NUM_FRAMES = 3


class Archive:
    """A folder of videos that grows, its prompts table, and the job that tracks them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.output = str(root / "out")

    def add_video(self, name: str, day: int, seed: int = 0) -> Video:
        """Write a video's frames, dated 20:00 UTC on this day of November 2026."""
        folder = self.root / "videos" / name
        pictures = np.random.default_rng(seed).integers(0, 255, (NUM_FRAMES, 32, 48, 3), np.uint8)
        moment_s = datetime(2026, 11, day, 20, tzinfo=UTC).timestamp()
        for index, picture in enumerate(pictures):
            data = io.BytesIO()
            Image.fromarray(picture).save(data, "png")
            path = folder / f"{index:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.getvalue())
            os.utime(path, (moment_s + seed, moment_s + seed))
        return Video(name, str(folder))

    def write_prompts(self, *tracks: Track, name: str = "prompts.csv") -> None:
        write_prompts(str(self.root / name), list(tracks))

    def job(self, **changes: object) -> JobConfig:
        fields = {"prompts": str(self.root / "prompts.csv"), "output": self.output, "model": "nano"}
        fixed = {"weights": "untrained:0", "image_size": 64, "chunk_frames": 2, "pool": "local"}
        return make_job({**fields, **fixed, **changes})


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def boxed(video: Video, object_id: str = "one", left: float = 4.0) -> Track:
    return Track(video=video, object_id=object_id, prompts=(BoxPrompt(0, (left, 4.0, left + 20.0, 24.0)),))


def reasons(plan: ReprocessPlan) -> dict[tuple[str, str], str]:
    return {one.track.track_id: one.reason for one in plan.decisions}


def run_reprocess(config: JobConfig, choice: Choice | None = None) -> dict[tuple[str, str], str]:
    """Run a plan, after checks that it writes nothing; returns the reasons in the ledger, which are those planned."""
    choice = choice or Choice()
    before = sorted(Path(config.output).rglob("*"))
    said = reasons(plan_reprocess(config, choice))
    assert sorted(Path(config.output).rglob("*")) == before
    done = reprocess(config, choice, progress=NoProgress())
    assert done.summary.status == "finished"
    assert reasons(done.plan) == said
    changes = read_history(config.output)
    of_run = next(run.changes for run in changes if run.record.run_id == done.summary.run_id)
    assert of_run is not None
    ran = {(one.video_id, one.object_id): one.reason for one in of_run if one.status != "pruned"}
    assert ran == said
    return ran


@pytest.mark.slow
def test_each_run_computes_what_is_new_or_stale_as_the_plan_said(archive: Archive) -> None:
    a, b, c = (archive.add_video(name, day=1) for name in "abc")
    archive.write_prompts(boxed(a), boxed(a, "two", 20), boxed(b), boxed(c))
    job, weights = archive.job(), archive.root / "weights.pt"
    torch.save(load_weights("nano", "untrained:0").tensors, weights)
    other_job = archive.job(output=str(archive.root / "other"), weights=str(weights))
    first = {("a", "one"): "new", ("a", "two"): "new", ("b", "one"): "new", ("c", "one"): "new"}
    assert run_reprocess(job) == first
    assert run_reprocess(other_job) == first

    d, e = (archive.add_video(name, day=2) for name in "de")
    archive.add_video("b", day=2, seed=7)
    second_prompt_moved = boxed(a, "two", 12)
    archive.write_prompts(boxed(a), second_prompt_moved, boxed(b), boxed(c), boxed(d), boxed(e))
    torch.save(load_weights("nano", "untrained:1").tensors, weights)
    changed = {("a", "two"): "changed: prompts", ("b", "one"): "changed: video"}
    new = {("d", "one"): "new", ("e", "one"): "new"}
    assert run_reprocess(job) == changed | new
    assert run_reprocess(other_job) == new | {
        ("a", "one"): "changed: weights",
        ("a", "two"): "changed: weights, prompts",
        ("b", "one"): "changed: video, weights",
        ("c", "one"): "changed: weights",
    }

    assert reprocess(job, progress=NoProgress()).plan.decisions == ()
    runs = read_history(job.output)
    assert [len(run.changes or ()) for run in runs] == [4, 4, 0]
    compared = diff_results(f"{job.output}@{runs[0].record.run_id}", f"{job.output}@{runs[1].record.run_id}")
    assert {(one.video_id, one.object_id) for one in compared.tracks} == changed.keys()
    assert set(compared.only_b) == new.keys()


@pytest.mark.slow
def test_reprocess_without_work_does_not_import_torch(archive: Archive) -> None:
    archive.write_prompts()
    job = archive.job().model_dump_json()
    code = (
        "import sys; from samurai_batch.job import JobConfig; from samurai_batch.operations.reprocess import reprocess;"
        "print(reprocess(JobConfig.model_validate_json(sys.argv[1])).summary.status, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, job], capture_output=True, text=True, timeout=600, check=True)
    assert done.stdout == "finished False\n"


@pytest.mark.slow
def test_a_changed_setting_is_named_and_a_table_that_is_gone_is_made_again(archive: Archive) -> None:
    a, b = (archive.add_video(name, day=1) for name in "ab")
    archive.write_prompts(boxed(a), boxed(b))
    run_reprocess(archive.job())
    storage.delete(mask_table_uri(archive.output, "a", "one"))
    assert run_reprocess(archive.job()) == {("a", "one"): "its table is gone"}
    stale = reasons(plan_reprocess(archive.job(mode="sam2", image_size=96)))
    assert stale.keys() == {("a", "one"), ("b", "one")}
    assert all(reason.startswith("changed: image_size, tracker.") for reason in stale.values())
    assert all("prompts" not in reason and "video" not in reason for reason in stale.values())


@pytest.mark.slow
def test_a_job_that_samples_frames_has_nothing_to_do_the_second_time_and_a_changed_step_is_named(
    archive: Archive,
) -> None:
    archive.write_prompts(boxed(archive.add_video("a", day=1)))
    sampled = {"frame_step": 2, "interpolate_boxes": True, "on_cut": "continue"}
    assert run_reprocess(archive.job(**sampled)) == {("a", "one"): "new"}
    assert run_reprocess(archive.job(**sampled)) == {}
    every_frame = archive.job(on_cut="continue")
    assert reasons(plan_reprocess(every_frame)) == {("a", "one"): "changed: frame_step, interpolate_boxes"}
    assert reasons(plan_reprocess(archive.job(**sampled | {"on_cut": "ignore"}))) == {("a", "one"): "changed: on_cut"}


@pytest.mark.slow
def test_only_failed_restricts_a_run_to_failed_tracks(archive: Archive) -> None:
    a, missing = archive.add_video("a", day=1), Video("b", str(archive.root / "videos" / "b"))
    archive.write_prompts(boxed(a), boxed(missing))
    assert run_reprocess(archive.job())[("b", "one")].startswith("its video cannot be read: ")
    archive.add_video("b", day=2)
    archive.write_prompts(boxed(a, left=8), boxed(missing))
    ran = run_reprocess(archive.job(), Choice(only_failed=True))
    assert ran.keys() == {("b", "one")}
    assert ran["b", "one"].startswith("failed before: ")
    assert run_reprocess(archive.job()) == {("a", "one"): "changed: prompts"}


@pytest.mark.slow
def test_a_changed_video_is_the_reason_also_for_a_track_that_was_left_out_before(archive: Archive) -> None:
    a = archive.add_video("a", day=1)
    broken = replace(boxed(a, "two"), prompts=(BoxPrompt(NUM_FRAMES + 5, (4.0, 4.0, 24.0, 24.0)),))
    archive.write_prompts(boxed(a), broken)
    run_reprocess(archive.job())
    archive.add_video("a", day=2, seed=3)
    archive.write_prompts(boxed(a), boxed(a, "two"))
    assert run_reprocess(archive.job(), Choice(only_failed=True)).keys() == {("a", "two")}
    assert run_reprocess(archive.job()) == {("a", "one"): "changed: video"}


@pytest.mark.slow
def test_since_takes_the_videos_that_were_written_since(archive: Archive) -> None:
    archive.write_prompts(boxed(archive.add_video("a", day=1)), boxed(archive.add_video("b", day=2)))
    assert run_reprocess(archive.job(), Choice(since_s=parse_moment("2026-11-02"))) == {("b", "one"): "new"}
    assert run_reprocess(archive.job(), Choice(since_s=parse_moment("2026-11-01T00:00+00:00"))) == {("a", "one"): "new"}


def test_a_moment_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="--since yesterday: write a date"):
        parse_moment("yesterday")


@pytest.mark.slow
def test_tracks_that_left_the_source_are_reported_and_removed_only_with_prune(archive: Archive) -> None:
    a, b = (archive.add_video(name, day=1) for name in "ab")
    archive.write_prompts(boxed(a), boxed(a, "two"), boxed(b))
    run_reprocess(archive.job())
    archive.write_prompts(boxed(a))
    run_reprocess(archive.job())
    plan = plan_reprocess(archive.job())
    assert plan.removed == (("a", "two"), ("b", "one"))
    assert "a / two: no longer in the source" in plan.describe()
    assert len(read_masks(archive.output)) == 3 * NUM_FRAMES
    run_reprocess(archive.job(), Choice(prune=True))
    rows = read_masks(archive.output)
    assert set(zip(rows.video_id, rows.object_id, strict=True)) == {("a", "one")}
    assert not storage.exists(f"{archive.output}/_ledger/b.json")
    assert not plan_reprocess(archive.job()).removed
    pruned = [one for run in read_history(archive.output) for one in run.changes or () if one.status == "pruned"]
    assert [(one.video_id, one.object_id) for one in pruned] == [("a", "two"), ("b", "one")]
    assert len(read_history(archive.output)) == 3  # one run each time: pruning is not a run of its own


def test_pruning_by_an_empty_source_is_refused(archive: Archive) -> None:
    with pytest.raises(ConfigError, match="the source is empty, and --prune would remove every table"):
        plan_reprocess(archive.job(prompts=str(archive.root / "in" / "*.csv")), Choice(prune=True))


@pytest.mark.slow
def test_a_replaced_table_stays_for_comparison_unless_told_otherwise(archive: Archive) -> None:
    a = archive.add_video("a", day=1)
    archive.write_prompts(boxed(a))
    run_reprocess(archive.job())
    old = read_masks(archive.output)
    archive.write_prompts(boxed(a, left=16))
    run_reprocess(archive.job())
    [run, _] = read_history(archive.output)
    kept = read_masks(f"{archive.output}/_superseded/{run.record.run_id}")
    pd.testing.assert_series_equal(kept.mask_score, old.mask_score)
    archive.write_prompts(boxed(a, left=10))
    run_reprocess(archive.job(), Choice(keep_superseded=False))
    assert storage.list_names(f"{archive.output}/_superseded") == [run.record.run_id]


@pytest.mark.slow
def test_replaced_tables_are_copied_side_by_side_and_under_the_lease_of_the_run(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks = [boxed(archive.add_video(name, day=1)) for name in "abcd"]
    archive.write_prompts(*tracks)
    run_reprocess(archive.job())
    leases = storage.list_names(lease_uri(archive.output))
    together, holders = threading.Barrier(len(tracks)), set()

    def keep_together(output: str, track: TrackId) -> None:
        together.wait(timeout=600)  # raises unless all of them are copied at the same time
        holders.update(storage.list_names(lease_uri(output)))
        keep_table(output, track)

    monkeypatch.setattr(operation, "keep_table", keep_together)
    archive.write_prompts(*(boxed(track.video, left=16) for track in tracks))
    done = reprocess(archive.job(), progress=NoProgress())
    assert holders.isdisjoint(leases)
    assert len(holders) == 1
    [first, second] = read_history(archive.output)
    assert second.record.run_id == done.summary.run_id
    assert len(read_masks(f"{archive.output}/_superseded/{first.record.run_id}")) == len(tracks) * NUM_FRAMES


@pytest.mark.slow
def test_a_refused_reprocess_copies_nothing(archive: Archive) -> None:
    video = archive.add_video("a", day=1)
    archive.write_prompts(boxed(video))
    run_reprocess(archive.job())
    clock = SystemClock()
    other = Lease(storage, archive.output, clock, stale_after_s=60.0)
    other.acquire("20261101T000000.000Z-00000000", replace(this_process(), host="elsewhere"), {}, {})
    archive.write_prompts(boxed(video, left=16))
    with pytest.raises(OutputLockedError):
        reprocess(archive.job(), Choice(prune=True), progress=NoProgress())
    assert not storage.list_names(f"{archive.output}/_superseded")
