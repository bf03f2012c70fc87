import json
from pathlib import Path

import pytest

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.job import JobConfig, make_job
from samurai_batch.ledger.schema import Totals, TrackProblem, VideoLedger
from samurai_batch.ledger.status import RunSummary, exit_code, read_status, recorded_video, to_json
from samurai_batch.ledger.store import write_video_ledger
from samurai_batch.runtime.dry_run import plan_job
from samurai_batch.tasks import Video
from tests.runtime.fakes import box_track, run_tracks, write_video


def test_the_ledger_alone_says_what_is_done_and_what_failed_and_why(tmp_path: Path) -> None:
    good, bad = write_video(tmp_path, "good", 15), write_video(tmp_path, "bad", 15, broken=True)
    summary = run_tracks([box_track(good, "x"), box_track(good, "y", 20), box_track(bad, "x")], tmp_path / "out")
    status = read_status(storage, str(tmp_path / "out"))
    assert status.num_videos == 2
    assert status.num_tracks == {"done": 1, "partial": 0, "failed": 2}
    assert status.num_rows == 15
    assert [(one.video_id, one.object_id) for one in status.problems] == [("bad", "x"), ("good", "y")]
    assert status.newest_run is not None
    assert (status.newest_run.run_id, status.newest_run.status) == (summary.run_id, "finished")
    assert status.newest_run.totals == summary.totals
    by_video = {video.video_id: (video.num_tracks["done"], video.num_tracks["failed"]) for video in status.videos}
    assert by_video == {"good": (1, 1), "bad": (0, 1)}
    assert summary.totals.failures["video"] >= 1
    [work] = summary.totals.replicas.values()
    assert work.stats.track_frames == summary.totals.stats.track_frames
    assert work.video_id is None
    found = json.loads(to_json(status))
    assert found["num_tracks"]["failed"] == 2
    assert found["newest_run"]["totals"]["track_frames"] == summary.totals.stats.track_frames > 0


def test_the_ledger_knows_where_a_video_was_found_but_no_secret(tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    write_video_ledger(storage, output, VideoLedger(video_id="a", video_uri="s3://bucket/a.mp4"))
    write_video_ledger(
        storage, output, VideoLedger(video_id="b", video_uri=storage.redact_uri("https://u:p@host/b.mp4"))
    )
    assert recorded_video(storage, output, "a") == "s3://bucket/a.mp4"
    with pytest.raises(ConfigError, match=r"\*\*\*@host/b.mp4: its secret part was not written down"):
        recorded_video(storage, output, "b")
    with pytest.raises(ConfigError, match="its ledger has no video 'c'; known are a, b"):
        recorded_video(storage, output, "c")
    write_video_ledger(storage, output, VideoLedger(video_id="camera", video_uri="camera.mp4"))
    with pytest.raises(ConfigError, match=r"its ledger has no video 'camra'; did you mean camera\?"):
        recorded_video(storage, output, "camra")
    with pytest.raises(ConfigError, match="its ledger has no video 'a'; say where the video is"):
        recorded_video(storage, str(tmp_path / "other"), "a")


def test_an_empty_output_has_an_empty_status(tmp_path: Path) -> None:
    status = read_status(storage, str(tmp_path))
    assert status.num_videos == 0
    assert status.newest_run is None


def test_exit_codes_say_whether_all_is_done() -> None:
    problem = TrackProblem("v", "x", "failed", "why")
    assert exit_code(RunSummary("r", "o", "finished", Totals(), ())) == 0
    for failed in (Totals(tracks_failed=1), Totals(tracks_partial=1)):
        assert exit_code(RunSummary("r", "o", "finished", failed, (problem,))) == 3
        assert exit_code(RunSummary("r", "o", "interrupted", failed, (problem,))) == 1


def job(output: Path) -> JobConfig:
    return make_job({"prompts": "given.csv", "output": str(output), "model": "nano", "chunk_frames": 10})


def test_a_plan_counts_what_is_new_and_what_cannot_start_and_writes_nothing(tmp_path: Path) -> None:
    video = write_video(tmp_path, "a", 45)
    tracks = [
        box_track(video, "x", end_frame=29),
        box_track(video, "y", 20, "both"),
        box_track(Video("no", "/no"), "x"),
    ]
    plan = plan_job(job(tmp_path / "out"), tracks)
    assert (plan.num_tracks, plan.num_new, plan.num_done) == (3, 2, 0)
    assert [(one.video_id, one.error) for one in plan.unreachable] == [("no", "/no does not exist")]
    assert [(shard.reverse, shard.num_tracks, shard.num_frames) for shard in plan.shards] == [
        (False, 2, 30),
        (True, 1, 21),
    ]
    assert "a: 1 tracks backward over 21 frames" in plan.describe()
    assert not (tmp_path / "out").exists()
