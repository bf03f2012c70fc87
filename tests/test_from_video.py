"""Jobs with prompts of kind from_video, with the embedded model on generated clips that are cut in two."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import samurai_batch
from samurai_batch.errors import ConfigError, PromptsError
from samurai_batch.geometry import mask_box_xyxy
from samurai_batch.job import JobConfig
from samurai_batch.ledger.status import RunSummary, exit_code
from samurai_batch.operations.reprocess import Choice, plan_reprocess, reprocess
from samurai_batch.prompts import BoxPrompt, FromVideoPrompt, PointsPrompt, TextPrompt
from samurai_batch.rle import decode_mask, rle_from_coco
from samurai_batch.runtime.dry_run import plan_job
from samurai_batch.synthetic import SUITES
from samurai_batch.tasks import Track, Video
from samurai_batch.tracking.trackers import TRACKERS
from tests.runtime.fakes import NoProgress
from tests.video.movies import write_movie

pytestmark = pytest.mark.usefixtures("one_thread")

LEAST_IOU = 0.9
"""Of the masks on the second part of the clip; tracked in one go they have 0.96."""
SMALL: dict[str, Any] = {"weights": "untrained:0", "image_size": 64, "pool": "local", "chunk_frames": 4}
BOX = BoxPrompt(0, (10, 8, 34, 30))


def write_frames(folder: Path, frames: Any) -> str:
    folder.mkdir(parents=True)
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{index:04d}.png")
    return str(folder)


def job(folder: Path, **fields: Any) -> JobConfig:
    return samurai_batch.make_job({"prompts": "unused", "output": str(folder / "out"), "pool": "local", **fields})


def run(config: JobConfig, tracks: list[Track]) -> RunSummary:
    return samurai_batch.run_job(config, tracks=tracks, progress=NoProgress())


@pytest.mark.slow
@pytest.mark.parametrize("mode", TRACKERS)
def test_the_object_of_a_first_part_is_found_in_a_second_one_of_the_same_scene(tmp_path: Path, mode: str) -> None:
    clip = SUITES["mix"].clip(0)
    box = mask_box_xyxy(clip.masks[0, 0])
    assert box is not None
    first = Video("first", write_frames(tmp_path / "first", clip.frames[:10]))
    second = Video("second", write_frames(tmp_path / "second", clip.frames[14:]))  # four frames are missing between
    tracks = [
        Track(video=first, object_id="thing", prompts=(BoxPrompt(0, box),)),
        Track(video=second, object_id="again", prompts=(FromVideoPrompt(0, "first", "thing"),)),
    ]
    config = job(tmp_path, mode=mode, replicas=1, threads_per_replica=1)
    assert exit_code(run(config, tracks)) == 0
    rows = samurai_batch.read_masks(config.output, ["second"]).sort_values("frame_index")
    assert rows["frame_index"].tolist() == [*range(10)]
    found = [decode_mask(rle_from_coco(one)) for one in rows["segmentation"]]
    ious = [(mask & truth).sum() / (mask | truth).sum() for mask, truth in zip(found, clip.masks[14:, 0], strict=True)]
    assert np.mean(ious) > LEAST_IOU
    assert ious[0] > LEAST_IOU


class Cameras:
    """Two films, a prompts table, and jobs over them with a network that is not trained."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.videos = [write_movie(folder / f"{name}.mp4", num_frames=9) for name in ("one", "two")]
        self.rows: list[dict[str, Any]] = [
            {"video_id": "one", "object_id": "x", "frame_index": 0, "kind": "box", "box_xyxy": list(BOX.box_xyxy)},
            {"video_id": "two", "object_id": "x", "kind": "from_video", "from_video": "one"},
        ]

    def job(self, **fields: Any) -> JobConfig:
        path = self.folder / "prompts.jsonl"
        uris = {"one": str(self.videos[0]), "two": str(self.videos[1])}
        rows = [{"video_uri": uris[row["video_id"]], **row} for row in self.rows]
        path.write_text("".join(json.dumps({"frame_index": None, **row}) + "\n" for row in rows))
        return samurai_batch.make_job({"prompts": str(path), "output": str(self.folder / "out"), **SMALL, **fields})

    def problems(self, **fields: Any) -> list[str]:
        """What is refused before any work, by `run` and `plan` alike."""
        config = self.job(**fields)
        with pytest.raises(PromptsError) as planned:
            plan_job(config)
        with pytest.raises(PromptsError) as refused:
            samurai_batch.run_job(config, progress=NoProgress())
        assert refused.value.problems == planned.value.problems
        return refused.value.problems


def test_a_plan_counts_what_waits_and_a_reprocessed_source_makes_it_stale(tmp_path: Path) -> None:
    cameras = Cameras(tmp_path)
    plan = plan_job(cameras.job())
    assert (plan.num_tracks, plan.num_new, sorted(shard.video_id for shard in plan.shards)) == (2, 2, ["one", "two"])
    reprocess(cameras.job(), progress=NoProgress())
    assert plan_job(cameras.job()).num_done == 2
    assert not plan_reprocess(cameras.job()).decisions
    cameras.rows[0]["box_xyxy"] = [20, 8, 44, 30]
    decisions = {one.track.video.video_id: one.reason for one in plan_reprocess(cameras.job()).decisions}
    assert decisions == {"one": "changed: prompts", "two": "changed: prompts, or the track it begins with"}
    assert plan_job(cameras.job()).num_stale == 2
    done = reprocess(cameras.job(), progress=NoProgress())
    assert done.summary.totals.stats.track_frames == 18
    assert not plan_reprocess(cameras.job()).decisions


def test_a_filter_takes_the_stale_sources_of_what_it_chooses_along(tmp_path: Path) -> None:
    cameras = Cameras(tmp_path)
    cameras.videos[1].rename(tmp_path / "away.mp4")
    reprocess(cameras.job(), progress=NoProgress())
    (tmp_path / "away.mp4").rename(cameras.videos[1])
    cameras.rows[0]["box_xyxy"] = [20, 8, 44, 30]
    plan = plan_reprocess(cameras.job(), Choice(only_failed=True))
    assert sorted(one.track.video.video_id for one in plan.decisions) == ["one", "two"]
    assert exit_code(reprocess(cameras.job(), Choice(only_failed=True), progress=NoProgress()).summary) == 0


def test_a_run_over_new_prompts_says_why_it_computes_an_old_track_again(tmp_path: Path) -> None:
    cameras = Cameras(tmp_path)
    carried = cameras.rows.pop()
    samurai_batch.run_job(cameras.job(), progress=NoProgress())
    cameras.rows.append(carried)
    reasons = {one.track.video.video_id: one.reason for one in plan_reprocess(cameras.job()).decisions}
    assert reasons == {
        "one": "its memories were not kept, and a track of another video begins with them",
        "two": "new",
    }
    cameras.rows = [carried]
    assert cameras.problems() == [
        "object 'x' of video 'two': the output has object 'x' of video 'one', but not its memories; add its prompts to "
        "this job, which then computes it again (with keep_memories they would be kept)"
    ]


def test_a_source_outside_the_prompts_must_have_been_tracked_in_the_same_way(tmp_path: Path) -> None:
    cameras = Cameras(tmp_path)
    carried = cameras.rows.pop()
    samurai_batch.run_job(cameras.job(keep_memories=True), progress=NoProgress())
    cameras.rows = [carried]
    where, remedy = (
        "object 'x' of video 'two': object 'x' of video 'one' was tracked with",
        "; add its prompts to this job",
    )
    assert cameras.problems(mode="sam2")[0].startswith(f"{where} mode samurai, where this job has sam2{remedy}")
    (problem,) = cameras.problems(image_size=96)
    assert problem.startswith(f"{where} image_size 64, where this job has 96{remedy}")
    with pytest.raises(PromptsError, match="was tracked with other weights"):
        samurai_batch.run_job(cameras.job(weights="untrained:1"), progress=NoProgress())
    assert exit_code(samurai_batch.run_job(cameras.job(), progress=NoProgress())) == 0


def test_sources_that_are_not_there_are_refused_all_at_once_before_any_work(tmp_path: Path) -> None:
    cameras = Cameras(tmp_path)
    cameras.rows += [
        {"video_id": "two", "object_id": "y", "kind": "from_video", "from_video": "three"},
        {"video_id": "two", "object_id": "z", "kind": "from_video", "from_video": "one"},
        {"video_id": "one", "object_id": "all", "frame_index": 0, "kind": "everything"},
        {"video_id": "two", "object_id": "all", "kind": "from_video", "from_video": "one"},
    ]
    assert cameras.problems() == [
        "object 'y' of video 'two': neither the prompts nor the output have a track of video 'three'; check from_video",
        "object 'z' of video 'two': neither the prompts nor the output have object 'z' of video 'one', but others of "
        "this video; check from_object",
        "object 'all' of video 'two': object 'all' of video 'one' is a prompt that detects objects; name one of its "
        "tracks, such as 'all#0'",
    ]
    assert not (tmp_path / "out").exists()


def test_tracks_that_begin_with_each_other_are_refused(tmp_path: Path) -> None:
    cameras = Cameras(tmp_path)
    cameras.rows[0] = {"video_id": "one", "object_id": "x", "kind": "from_video", "from_video": "two"}
    assert cameras.problems() == [
        "these tracks begin with each other's memories: 'x' of 'one' <- 'x' of 'two' <- 'x' of 'one'; give one of them "
        "a box, points or a mask"
    ]


def test_pictures_and_one_video_alone_are_refused(tmp_path: Path) -> None:
    picture = Video("p", write_frames(tmp_path / "p", [np.zeros((32, 32, 3), np.uint8)]))
    track = Track(video=picture, object_id="x", prompts=(FromVideoPrompt(0, "q"),))
    with pytest.raises(ConfigError, match="from_video need videos, and task is segment"):
        run(job(tmp_path, task="segment"), [track])


def test_damaged_memories_are_named_and_once_removed_they_are_made_again(tmp_path: Path) -> None:
    cameras = Cameras(tmp_path)
    cameras.videos[1].rename(tmp_path / "away.mp4")
    assert exit_code(samurai_batch.run_job(cameras.job(), progress=NoProgress())) == 3
    (tmp_path / "away.mp4").rename(cameras.videos[1])
    (state,) = (tmp_path / "out/_states/one/x").iterdir()
    state.write_bytes(state.read_bytes()[:-1] + b"?")
    summary = samurai_batch.run_job(cameras.job(), progress=NoProgress())
    assert exit_code(summary) == 3
    assert f"{state}: a saved track state cannot be read" in summary.problems[0].error
    state.unlink()
    assert exit_code(samurai_batch.run_job(cameras.job(), progress=NoProgress())) == 0


def test_a_wrong_prompt_is_one_sentence_in_python_and_in_a_table(tmp_path: Path) -> None:
    one = Video("one", "one.mp4")
    wrong: list[tuple[tuple[Any, ...], str, str]] = [
        ((FromVideoPrompt(0, "one"),), "forward", "its from_video names its own video; name another one"),
        (
            (FromVideoPrompt(0, "two"), BOX),
            "forward",
            "frame 0 has a from_video prompt and other prompts; keep from_video",
        ),
        ((FromVideoPrompt(3, "two"), BOX), "forward", "on frame 3, and its track starts on frame 0; put it there"),
        ((FromVideoPrompt(0, "two"), PointsPrompt(3, ((1, 2),), (1,))), "backward", "its track starts on frame 3"),
        (
            (FromVideoPrompt(0, "two"), FromVideoPrompt(4, "two")),
            "forward",
            "it has several from_video prompts; keep one",
        ),
        ((FromVideoPrompt(0, "two"), TextPrompt(0, "dog")), "forward", "give it an object_id of its own"),
    ]
    for prompts, direction, message in wrong:
        with pytest.raises(samurai_batch.errors.PromptError, match=message):
            Track(video=one, object_id="x", prompts=prompts, direction=direction)  # type: ignore[arg-type]
    row = {"video_id": "one", "video_uri": "one.mp4", "object_id": "x", "kind": "from_video", "from_video": "two"}
    box = {**row, "kind": "box", "from_video": None, "box_xyxy": list(BOX.box_xyxy)}
    tables: list[tuple[list[dict[str, Any]], str]] = [
        ([{**row, "from_video": None}], "row 1: from_video is missing: a row of kind from_video needs it"),
        ([{**row, "from_video": "one"}], "row 1: from_video is 'one': it is the row's own video; name another one"),
        ([{**row, "box_xyxy": [1, 2, 30, 40]}], "a row of kind from_video has no box_xyxy; leave it empty, or write"),
        (
            [{**box, "frame_index": 0, "from_video": "two"}],
            "a row of kind box has no from_video; leave it empty, or write another row",
        ),
        (
            [{**row, "frame_index": 0}, {**box, "frame_index": 0}],
            "has from_video in row 1, which excludes other prompts",
        ),
        (
            [{**row, "frame_index": 4}, {**box, "frame_index": 0}],
            "its track starts on frame 0, and from_video belongs there",
        ),
        ([row, {**row, "frame_index": 4}], "row 2: a second from_video of its track, after row 1; keep one of them"),
        ([row, row], "row 2: repeats row 1; remove one of them"),
        ([{**row, "from_object": 7}], "row 1: from_object is 7: it should be text; write it in quotes"),
    ]
    for rows, message in tables:
        frame = pd.DataFrame([{"frame_index": None, **one} for one in rows], dtype=object)
        with pytest.raises(PromptsError) as caught:
            samurai_batch.parse_prompts(frame)
        assert message in caught.value.problems[0], caught.value.problems
        assert len(caught.value.problems) == 1


def test_an_empty_frame_is_the_first_one_and_an_empty_object_the_same_one(tmp_path: Path) -> None:
    (track,) = samurai_batch.parse_prompts(
        pd.DataFrame(
            [
                {
                    "video_id": "a",
                    "video_uri": "a.mp4",
                    "object_id": "x",
                    "frame_index": "",
                    "kind": "from_video",
                    "from_video": "b",
                }
            ]
        )
    )
    assert track.prompts == (FromVideoPrompt(0, "b", "x"),)
    for ending in ("csv", "parquet", "jsonl"):
        samurai_batch.write_prompts(str(tmp_path / f"p.{ending}"), [track])
        assert samurai_batch.read_prompts(str(tmp_path / f"p.{ending}")) == [track]
