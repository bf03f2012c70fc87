"""Whole jobs with a discover prompt and the real tracker: a small untrained network over a folder of frames."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from samurai_batch.cli import app
from samurai_batch.errors import ConfigError, PromptsError
from samurai_batch.job import JobConfig
from samurai_batch.ledger.status import exit_code
from samurai_batch.manifest import read_prompts, write_prompts
from samurai_batch.operations.reprocess import plan_reprocess
from samurai_batch.prompts import DiscoverPrompt
from samurai_batch.runtime.dry_run import plan_job
from samurai_batch.runtime.run import run_job
from samurai_batch.tasks import Track, Video
from samurai_batch.video import open_video, scene_cuts_of
from tests.runtime.fakes import NoProgress, box_track
from tests.runtime.test_jobs import ImpatientPool, make_config, rows_of, write_frames

pytestmark = pytest.mark.usefixtures("one_thread")


def discovery(root: str, **more: object) -> JobConfig:
    video = Video("a", write_frames(f"{root}/videos/a", 0))
    track = Track(video=video, object_id="d", prompts=(DiscoverPrompt(0, ("box",)),))
    write_prompts(f"{root}/prompts.parquet", [track])
    whole = {"video_id": "a", "class": "box", "score": 0.9}
    rows = [{**whole, "frame_index": index, "box_xyxy": [10, 10 + index, 30, 30 + index]} for index in range(3, 11)]
    Path(root, "detections.jsonl").write_text("\n".join(map(json.dumps, rows)))
    given = {"detections": f"{root}/detections.jsonl", "discovery": {"every": 3}, **more}
    return make_config(root, "out", **given)


@pytest.mark.slow
def test_a_discovery_that_is_stopped_goes_on_to_the_same_rows(tmp_path: Path) -> None:
    config = discovery(str(tmp_path))
    assert plan_job(config).num_to_detect == 1
    assert exit_code(run_job(config, progress=NoProgress())) == 0
    rows = rows_of(config)
    starts = rows.groupby("object_id")["frame_index"].agg(["min", "max"])
    assert len(starts) > 0
    assert [f"d#box-{first}-0" for first in starts["min"]] == list(starts.index)
    assert set(starts["max"]) == {10}
    assert plan_job(config).num_done == rows["object_id"].nunique() + 1
    assert not plan_reprocess(config).decisions

    stopped = config.model_copy(update={"output": f"{tmp_path}/stopped"})
    with pytest.raises(KeyboardInterrupt):
        run_job(stopped, progress=NoProgress(), make_pool=ImpatientPool)
    assert exit_code(run_job(stopped, progress=NoProgress())) == 0
    pd.testing.assert_frame_equal(rows_of(stopped), rows)


def test_the_rows_of_found_tracks_say_their_shot_where_tracks_go_on_at_cuts(tmp_path: Path) -> None:
    config = discovery(str(tmp_path), on_cut="continue")
    assert exit_code(run_job(config, progress=NoProgress())) == 0
    rows = rows_of(config)
    with open_video(tmp_path / "videos" / "a") as source:
        cuts = scene_cuts_of(source)
    assert len(rows)
    assert rows["shot"].tolist() == [sum(cut <= index for cut in cuts) for index in rows["frame_index"]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"discovery": {"every": 50}}, r"has no detection on its sampled frames, 0, 50, 100, …"),
        ({"mode": "sam2long"}, "need a tracker that decides each frame at once; mode is sam2long"),
        ({"on_cut": "end"}, "end their tracks by their own rules, and on_cut is end; set on_cut to continue"),
        ({"frame_step": 2}, "discovery.every is 3, and frame_step 2: sampled frames should be tracked"),
        ({"discovery": {"every": 0}}, "discovery.every is 0: it should be greater than or equal to 1"),
    ],
)
def test_a_discovery_that_cannot_run_is_refused_in_one_sentence(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        plan_job(discovery(str(tmp_path), **change))


def test_a_discover_prompt_is_the_only_prompt_of_its_video(tmp_path: Path) -> None:
    config = discovery(str(tmp_path))
    (track,) = read_prompts(config.prompts)
    assert track.prompts == (DiscoverPrompt(0, ("box",)),)
    with pytest.raises(ConfigError, match="and the video has another prompt, of 'x'"):
        run_job(config, tracks=[track, box_track(track.video, "x")])
    with pytest.raises(ConfigError, match="which goes forward only"):
        run_job(config, tracks=[Track(video=track.video, object_id="d", prompts=track.prompts, direction="both")])


def test_mistakes_in_detections_end_the_job_before_any_work(tmp_path: Path) -> None:
    config = discovery(str(tmp_path))
    path = tmp_path / "detections.jsonl"
    path.write_text(path.read_text().replace('"score": 0.9', '"score": 90', 2))
    with pytest.raises(PromptsError) as caught:
        run_job(config)
    assert [text.partition(",")[0][:40] for text in caught.value.problems] == [
        "row 1: score is 90: it should be from 0 ",
        "row 2: score is 90: it should be from 0 ",
    ]


def test_the_command_line_plans_a_discovery(tmp_path: Path) -> None:
    config = discovery(str(tmp_path))
    job = tmp_path / "job.yaml"
    names = ("prompts", "output", "model", "weights", "image_size", "chunk_frames", "pool", "detections")
    fields = {name: getattr(config, name) for name in names}
    job.write_text(yaml.safe_dump({**fields, "discovery": {"every": 3}}))
    result = CliRunner().invoke(app, ["plan", str(job)])
    assert result.exit_code == 0, result.output
    assert "1 pictures or prompts to detect" in result.output
