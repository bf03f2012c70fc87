"""Several files as one video, in jobs: one track through all of them, as through one file with the same frames."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import samurai_batch
from samurai_batch.errors import PromptsError
from samurai_batch.ledger.status import RunSummary, exit_code
from samurai_batch.manifest import read_prompts
from samurai_batch.prompts import BoxPrompt
from samurai_batch.tasks import Track, Video
from tests.killed_at import run_until
from tests.runtime.fakes import NoProgress
from tests.video.movies import write_movie

pytestmark = pytest.mark.usefixtures("one_thread")

BOX = (10, 8, 34, 30)
SMALL: dict[str, Any] = {"weights": "untrained:0", "image_size": 64, "pool": "local", "chunk_frames": 4}
LENGTHS = (5, 3, 4)


def write_files(folder: Path, lengths: tuple[int, ...] = LENGTHS) -> list[Path]:
    folder.mkdir(exist_ok=True)
    return [write_movie(folder / f"cam_{number}.mp4", num_frames=length) for number, length in enumerate(lengths, 8)]


def write_prompts(path: Path, video_uri: object) -> str:
    row = {"video_id": "cam", "video_uri": video_uri, "object_id": "1", "frame_index": 0, "kind": "box"}
    path.write_text(json.dumps({**row, "box_xyxy": BOX}) + "\n")
    return str(path)


def run(prompts: str, output: Path, **fields: Any) -> RunSummary:
    job = samurai_batch.make_job({"prompts": prompts, "output": str(output), **SMALL, **fields})
    return samurai_batch.run_job(job, progress=NoProgress())


def rows_of(output: Path) -> pd.DataFrame:
    return samurai_batch.read_masks(str(output))


def test_a_track_goes_through_a_list_or_a_pattern_of_files_with_one_numbering(tmp_path: Path) -> None:
    files = write_files(tmp_path / "in")
    listed = run(write_prompts(tmp_path / "listed.jsonl", [str(path) for path in files]), tmp_path / "listed")
    pattern = run(write_prompts(tmp_path / "pattern.jsonl", str(tmp_path / "in/*.mp4")), tmp_path / "pattern")
    assert (exit_code(listed), exit_code(pattern)) == (0, 0)
    rows = rows_of(tmp_path / "listed")
    assert rows["frame_index"].tolist() == list(range(12))
    assert rows["timestamp_s"].tolist() == pytest.approx([index / 25 for index in range(12)])
    names = ["frame_index", "timestamp_s", "area", "mask_score"]
    pd.testing.assert_frame_equal(rows[names], rows_of(tmp_path / "pattern")[names])
    track = samurai_batch.track(
        [str(path) for path in files], [BOX], weights="untrained:0", image_size=64, chunk_frames=4
    )
    pd.testing.assert_frame_equal(track[names], rows[names])


def test_running_again_is_done_and_another_file_makes_the_track_stale(tmp_path: Path) -> None:
    files = write_files(tmp_path / "in")
    prompts = write_prompts(tmp_path / "prompts.jsonl", str(tmp_path / "in/*.mp4"))
    run(prompts, tmp_path / "out")
    assert run(prompts, tmp_path / "out").totals.tracks_skipped == 1
    write_movie(tmp_path / "in/cam_11.mp4", num_frames=2)
    assert run(prompts, tmp_path / "out").totals.tracks_skipped == 0
    assert rows_of(tmp_path / "out")["frame_index"].tolist() == list(range(14))
    files[0].unlink()
    files[1].unlink()
    assert run(prompts, tmp_path / "out").totals.tracks_skipped == 0
    assert rows_of(tmp_path / "out")["frame_index"].tolist() == list(range(6))


@pytest.mark.slow
def test_a_run_that_is_killed_in_the_second_file_goes_on_there_and_gives_the_same_rows(tmp_path: Path) -> None:
    write_files(tmp_path / "in", (6, 12, 6))
    prompts = write_prompts(tmp_path / "prompts.jsonl", str(tmp_path / "in/*.mp4"))
    command = ["run", "--prompts", prompts, "-o", str(tmp_path / "out")]
    command += [part for name, value in SMALL.items() for part in ("--set", f"{name}={value}")]
    command += ["--set", "replicas=1", "--set", "threads_per_replica=1"]
    run_until("*/_work/*/forward-4x2.state", command)
    saved = set((tmp_path / "out").glob("_work/*/*.parquet"))
    assert len(saved) >= 3, "chunk 2 is in the second file"
    summary = run(prompts, tmp_path / "out")
    assert exit_code(summary) == 0
    assert summary.totals.stats.track_frames <= 24 - 4 * (len(saved) - 1)
    run(prompts, tmp_path / "undisturbed")
    names = ["frame_index", "timestamp_s", "area", "mask_score", "object_score"]
    pd.testing.assert_frame_equal(rows_of(tmp_path / "out")[names], rows_of(tmp_path / "undisturbed")[names])


def test_a_file_of_another_size_fails_the_track_with_its_name(tmp_path: Path) -> None:
    write_files(tmp_path / "in")
    write_movie(tmp_path / "in/cam_11.mp4", num_frames=2, width=96)
    summary = run(write_prompts(tmp_path / "prompts.jsonl", str(tmp_path / "in/*.mp4")), tmp_path / "out")
    assert exit_code(summary) == 3
    assert "cam_11.mp4 is 96x48 pixels" in summary.problems[0].error


def test_a_list_is_read_from_every_kind_of_table(tmp_path: Path) -> None:
    files = ["a.mp4", "b.mp4"]
    row = {"video_id": "cam", "object_id": "1", "frame_index": 0, "kind": "box", "box_xyxy": [1, 2, 30, 40]}
    pd.DataFrame([{**row, "video_uri": files}]).to_parquet(tmp_path / "p.parquet")
    pd.DataFrame([{**row, "video_uri": json.dumps(files), "box_xyxy": "[1, 2, 30, 40]"}]).to_csv(tmp_path / "p.csv")
    (tmp_path / "p.jsonl").write_text(json.dumps({**row, "video_uri": files}))
    video = Video("cam", "a.mp4\nb.mp4")
    expected = Track(video=video, object_id="1", prompts=(BoxPrompt(0, (1.0, 2.0, 30.0, 40.0)),))
    frame = pd.read_csv(tmp_path / "p.csv", index_col=0)
    frame.to_csv(tmp_path / "p.csv", index=False)
    for name in ("p.parquet", "p.csv", "p.jsonl"):
        assert read_prompts(str(tmp_path / name)) == [expected], name
    (tmp_path / "bad.jsonl").write_text(json.dumps({**row, "video_uri": ["a.mp4", 7]}))
    with pytest.raises(PromptsError, match=r"video_uri is .*: it should be text"):
        read_prompts(str(tmp_path / "bad.jsonl"))
