"""Prompts without a place in a job of videos: looked up on replicas, followed, and not looked up again."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.images import pictures
from samurai_batch.images.text import Detection
from samurai_batch.job import JobConfig, make_job
from samurai_batch.ledger.schema import TrackEntry
from samurai_batch.ledger.status import exit_code
from samurai_batch.ledger.store import read_video_ledger, video_ledger_uri
from samurai_batch.masks import read_masks
from samurai_batch.modeling.configs import MODELS
from samurai_batch.operations.diff import diff_results
from samurai_batch.prompts import BoxPrompt, DiscoverPrompt, EverythingPrompt, TextPrompt
from samurai_batch.runtime import detection
from samurai_batch.runtime.dry_run import plan_job
from samurai_batch.runtime.run import run_job
from samurai_batch.tasks import Track, Video
from tests.deterministic import SMALL, write_frames


class TwoDogs:
    """Finds two dogs, and nothing else; counts its calls."""

    num_auto_prompts = 0

    def detect(self, image: NDArray[np.uint8], phrase: str) -> list[Detection]:
        TwoDogs.num_auto_prompts += 1
        boxes = [Detection((5.0, 6.0, 40.0, 30.0), 0.9), Detection((8.0, 9.0, 20.0, 25.0), 0.5)]
        return boxes if phrase == "dog" else []


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    monkeypatch.setitem(MODELS, SMALL.name, SMALL)
    monkeypatch.setattr(pictures, "make_detector", lambda *_: TwoDogs())
    monkeypatch.setattr(detection, "check_detector", lambda name: None)
    TwoDogs.num_auto_prompts = 0


@pytest.fixture
def clip(tmp_path: Path) -> Video:
    return Video("clip", write_frames(tmp_path / "frames", 3))


def job(tmp_path: Path, **more: object) -> JobConfig:
    everything = {"points_per_side": 2, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    fields = {"model": SMALL.name, "weights": "untrained:0", "pool": "local", "detector": "tiny"}
    return make_job(
        {"prompts": "unused.csv", "output": str(tmp_path / "out"), "everything": everything, **fields, **more}
    )


def auto_prompted(video: Video, words: str) -> Track:
    return Track(video=video, object_id=words, prompts=(TextPrompt(0, words),))


def entries(config: JobConfig, video_id: str) -> dict[str, TrackEntry]:
    ledger = read_video_ledger(storage, config.output, video_id)
    return ledger.tracks if ledger else {}


def test_a_discovery_detects_on_every_nth_frame_and_never_twice(tmp_path: Path, clip: Video) -> None:
    config = job(tmp_path, discovery={"every": 2, "new_track_score": 0.6})
    track = Track(video=clip, object_id="pets", prompts=(DiscoverPrompt(0, ("dog", "cat")),))
    assert exit_code(run_job(config, tracks=[track])) == 0
    assert TwoDogs.num_auto_prompts == 4  # two classes on frames 0 and 2
    assert "pets#dog-0-0" in entries(config, "clip")
    other = job(tmp_path, discovery={"every": 2, "new_track_score": 0.4})
    assert exit_code(run_job(other, tracks=[track])) == 0
    assert TwoDogs.num_auto_prompts == 4
    assert len(entries(other, "clip")) >= 2


def test_a_discovery_without_classes_detects_everything(tmp_path: Path, clip: Video) -> None:
    config = job(tmp_path, detector=None, discovery={"every": 2, "detection_score": 0.0, "new_track_score": 0.0})
    track = Track(video=clip, object_id="all", prompts=(DiscoverPrompt(0),))
    assert exit_code(run_job(config, tracks=[track])) == 0
    assert any(name.startswith("all#object-0-") for name in entries(config, "clip"))
    words = Track(video=clip, object_id="pets", prompts=(DiscoverPrompt(0, ("dog",)),))
    with pytest.raises(ConfigError, match="need detections or a detector"):
        run_job(config, tracks=[words])


def test_detections_are_tracked_and_made_once(tmp_path: Path, clip: Video) -> None:
    config = job(tmp_path)
    everything = Track(video=clip, object_id="all", prompts=(EverythingPrompt(1),))
    tracks = [auto_prompted(clip, "dog"), auto_prompted(clip, "cat"), everything]
    assert plan_job(config, tracks).num_to_detect == 3
    summary = run_job(config, tracks=tracks)
    assert exit_code(summary) == 0
    assert summary.totals.tracks_done == summary.totals.tracks
    objects = set(read_masks(config.output)["object_id"])
    assert {"dog#0", "dog#1", "all#0"} <= objects
    assert not any(name.startswith("cat") for name in objects)
    assert entries(config, "clip").keys() == objects | {"dog", "cat", "all"}
    assert all(entry.status == "done" for entry in entries(config, "clip").values())
    assert TwoDogs.num_auto_prompts == 2

    again = run_job(config, tracks=tracks)
    assert again.totals.tracks_skipped == again.totals.tracks == summary.totals.tracks
    assert TwoDogs.num_auto_prompts == 2
    compared = diff_results(f"{config.output}@{summary.run_id}", config.output)
    assert {track.object_id for track in compared.tracks} == objects


def test_only_new_detections_are_tracked_again(tmp_path: Path, clip: Video) -> None:
    tracks = [
        auto_prompted(clip, "dog"),
        Track(video=clip, object_id="box", prompts=(BoxPrompt(0, (5.0, 6.0, 40.0, 30.0)),)),
    ]
    run_job(job(tmp_path), tracks=tracks)
    again = run_job(job(tmp_path, detector_threshold=0.5), tracks=tracks)
    assert TwoDogs.num_auto_prompts == 2
    assert again.totals.tracks_skipped == 3  # the box, and both dogs, found at the same places

    storage.delete(storage.join(job(tmp_path).output, "masks", "clip", storage.quote_id("dog#1") + ".parquet"))
    once_more = run_job(job(tmp_path, detector_threshold=0.5), tracks=tracks)
    assert TwoDogs.num_auto_prompts == 2
    assert once_more.totals.tracks_skipped == once_more.totals.tracks - 1


def test_a_run_that_died_before_the_ledger_entry_does_not_detect_again(tmp_path: Path, clip: Video) -> None:
    config = job(tmp_path)
    run_job(config, tracks=[auto_prompted(clip, "dog")])
    storage.delete(video_ledger_uri(config.output, "clip"))
    again = run_job(config, tracks=[auto_prompted(clip, "dog")])
    assert TwoDogs.num_auto_prompts == 1
    assert again.totals.tracks_done == again.totals.tracks == 3
    assert entries(config, "clip").keys() == {"dog", "dog#0", "dog#1"}


def test_a_prompt_beyond_the_end_fails_alone_with_the_reason(tmp_path: Path, clip: Video) -> None:
    late = Track(video=clip, object_id="late", prompts=(TextPrompt(7, "dog"),))
    summary = run_job(job(tmp_path), tracks=[late, auto_prompted(clip, "dog")])
    (problem,) = summary.problems
    assert problem.error == "the prompt on frame 7 lies after the video's last frame, 2"
    assert summary.totals.tracks_done == 3


def test_a_video_that_cannot_be_found_or_read_fails_its_prompt(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    videos = [Video("gone", str(tmp_path / "gone.mp4")), Video("broken", str(tmp_path / "broken.mp4"))]
    summary = run_job(job(tmp_path), tracks=[auto_prompted(video, "dog") for video in videos])
    assert {problem.video_id for problem in summary.problems} == {"gone", "broken"}
    assert summary.totals.tracks_failed == summary.totals.tracks == 2


def test_words_without_a_detector_are_refused_before_any_work(tmp_path: Path, clip: Video) -> None:
    with pytest.raises(ConfigError, match="name one in the field detector"):
        run_job(job(tmp_path, detector=None), tracks=[auto_prompted(clip, "dog")])


def test_a_name_that_a_found_object_would_take_is_refused(tmp_path: Path, clip: Video) -> None:
    taken = Track(video=clip, object_id="dog#7", prompts=(BoxPrompt(0, (5.0, 6.0, 40.0, 30.0)),))
    with pytest.raises(
        ConfigError, match=r"'dog#7' of video 'clip' is reserved for an object that is detected for 'dog'"
    ):
        run_job(job(tmp_path), tracks=[taken, auto_prompted(clip, "dog")])


class Broken(TwoDogs):
    """Finds nothing, for it raises."""

    def detect(self, image: NDArray[np.uint8], phrase: str) -> list[Detection]:
        TwoDogs.num_auto_prompts += 1
        raise ValueError("a bug in a detector")


def test_a_look_up_that_keeps_failing_is_given_up_after_three_times_and_tried_again_by_the_next_run(
    tmp_path: Path, clip: Video, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = job(tmp_path)
    box = Track(video=clip, object_id="box", prompts=(BoxPrompt(0, (5.0, 6.0, 40.0, 30.0)),))
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "make_detector", lambda *_: Broken())
        summary = run_job(config, tracks=[auto_prompted(clip, "dog"), box])
    (problem,) = summary.problems
    assert problem.error.startswith("answering the prompt failed 3 times, the last time with: ValueError: a bug in a")
    assert TwoDogs.num_auto_prompts == 3
    assert entries(config, "clip")["box"].status == "done"
    assert run_job(config, tracks=[auto_prompted(clip, "dog"), box]).totals.tracks_done == 4
