"""Prompts of a video that name no place: what they find, and that a job follows it."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from samurai_batch.errors import ConfigError, PromptError
from samurai_batch.images.everything import EverythingSettings, segment_everything
from samurai_batch.images.predictor import ImagePredictor
from samurai_batch.images.text import Detection
from samurai_batch.images.video_prompts import Finder, asked_prompt, look_up
from samurai_batch.job import JobConfig
from samurai_batch.manifest import read_prompts, write_prompts
from samurai_batch.masks import read_masks
from samurai_batch.modeling.configs import MODELS
from samurai_batch.runtime import looking_up
from samurai_batch.runtime.driver import run_job
from samurai_batch.tasks import BoxPrompt, EverythingPrompt, MaskPrompt, Prompt, TextPrompt, Track, Video
from samurai_batch.tracking.prompts import to_frame_prompt
from tests.deterministic import SMALL, deterministic_frames
from tests.images.small import picture, small_network

VIDEO = Video("v", "somewhere.mp4")
EASY = EverythingSettings(points_per_side=3, pred_iou_thresh=0.0, stability_score_thresh=0.0)


class TwoDogs:
    """Finds two dogs, and nothing else."""

    def detect(self, image: NDArray[np.uint8], phrase: str) -> list[Detection]:
        boxes = [Detection((5.0, 6.0, 40.0, 30.0), 0.9), Detection((8.0, 9.0, 20.0, 25.0), 0.5)]
        return boxes if phrase == "dog" else []


def track_of(prompt: Prompt) -> Track:
    return Track(video=VIDEO, object_id="o", prompts=(prompt,), end_frame=9)


def test_words_become_one_track_for_each_object_found() -> None:
    found = look_up(track_of(TextPrompt(3, "dog")), Finder(detector=TwoDogs()), picture(60, 80))
    assert [track.object_id for track in found] == ["o#0", "o#1"]
    assert found[0].prompts == (BoxPrompt(3, (5.0, 6.0, 40.0, 30.0)),)
    assert all(track.end_frame == 9 and asked_prompt(track) is None for track in found)
    assert look_up(track_of(TextPrompt(3, "cat")), Finder(detector=TwoDogs()), picture(60, 80)) == []


def test_everything_becomes_one_track_for_each_automatic_mask() -> None:
    predictor = ImagePredictor(small_network("sam2"))
    found = look_up(track_of(EverythingPrompt(2)), Finder(predictor, settings=EASY), picture(60, 80))
    masks = segment_everything(predictor, picture(60, 80), EASY)
    assert [track.prompts for track in found] == [(MaskPrompt(2, one.mask),) for one in masks]


def test_what_names_a_place_stays_as_it_is() -> None:
    track = track_of(BoxPrompt(0, (1.0, 2.0, 3.0, 4.0)))
    assert look_up(track, Finder(), picture(60, 80)) == [track]


def test_words_without_a_detector_are_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigError, match="name one in the field detector"):
        look_up(track_of(TextPrompt(0, "dog")), Finder(), picture(60, 80))


def test_a_prompt_that_was_not_looked_up_is_never_followed_as_something_else() -> None:
    with pytest.raises(PromptError, match="has not been looked up"):
        to_frame_prompt([EverythingPrompt(0)], 60, 80, 64)


@pytest.mark.parametrize("prompt", [TextPrompt(3, "a red car"), EverythingPrompt(4)])
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_prompts_table_holds_them_too(tmp_path: Path, prompt: Prompt, ending: str) -> None:
    uri = str(tmp_path / f"prompts.{ending}")
    write_prompts(uri, [track_of(prompt)])
    assert read_prompts(uri) == [track_of(prompt)]


@pytest.fixture
def frames(tmp_path: Path) -> str:
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, frame in enumerate(deterministic_frames(3, 64)):
        Image.fromarray(frame).save(folder / f"{index:05d}.png")
    return str(folder)


def test_a_job_follows_what_its_prompts_find_and_looks_up_once(
    tmp_path: Path, frames: str, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setitem(MODELS, SMALL.name, SMALL)
    monkeypatch.setattr(looking_up, "OpenVocabularyDetector", lambda *_, **__: TwoDogs())
    config = JobConfig(
        prompts="unused.csv",
        output=str(tmp_path / "out"),
        model=SMALL.name,
        weights="untrained:0",
        pool="local",
        detector="tiny",
        everything={"points_per_side": 2, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0},
    )
    video = Video("clip", frames)
    tracks = [
        Track(video=video, object_id="dog", prompts=(TextPrompt(0, "dog"),)),
        Track(video=video, object_id="cat", prompts=(TextPrompt(0, "cat"),)),
        Track(video=video, object_id="all", prompts=(EverythingPrompt(1),)),
    ]
    summary = run_job(config, tracks=tracks)
    assert summary.totals.tracks_failed == 0
    assert summary.totals.tracks_done == summary.totals.tracks > 2
    objects = set(read_masks(config.output)["object_id"])
    assert {"dog#0", "dog#1", "all#0"} <= objects
    assert not any(name.startswith("cat") for name in objects)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a second look")

    monkeypatch.setattr(looking_up, "_finder", never)
    again = run_job(config, tracks=tracks)
    assert again.totals.tracks_skipped == summary.totals.tracks


def test_a_video_that_cannot_be_read_fails_its_track_and_not_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setitem(MODELS, SMALL.name, SMALL)
    config = JobConfig(
        prompts="unused.csv", output=str(tmp_path / "out"), model=SMALL.name, weights="untrained:0", pool="local"
    )
    missing = Video("gone", str(tmp_path / "gone.mp4"))
    summary = run_job(config, tracks=[Track(video=missing, object_id="all", prompts=(EverythingPrompt(0),))])
    assert summary.totals.tracks_failed == 1
