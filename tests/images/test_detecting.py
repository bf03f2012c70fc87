"""Prompts of a video that name no place: what they find, and that a job follows it."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from samurai_batch.errors import ConfigError, PromptError
from samurai_batch.images import pictures
from samurai_batch.images.everything import segment_everything
from samurai_batch.images.pictures import ObjectDetector
from samurai_batch.images.predictor import ImagePredictor
from samurai_batch.images.settings import EverythingSettings
from samurai_batch.images.text import Detection
from samurai_batch.manifest import read_prompts, write_prompts
from samurai_batch.prompts import BoxPrompt, EverythingPrompt, MaskPrompt, Prompt, TextPrompt
from samurai_batch.tasks import Track, Video
from samurai_batch.tracking.prompts import to_frame_prompt
from tests.deterministic import write_frames
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


@pytest.fixture
def two_dogs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "make_detector", lambda *_: TwoDogs())


def test_words_become_a_box_for_each_object_found(two_dogs: None) -> None:
    detector = ObjectDetector(ImagePredictor(small_network("sam2")), "tiny")
    found = detector.detect(TextPrompt(3, "dog"), picture(60, 80))
    assert found == [BoxPrompt(3, (5.0, 6.0, 40.0, 30.0)), BoxPrompt(3, (8.0, 9.0, 20.0, 25.0))]
    assert detector.detect(TextPrompt(3, "cat"), picture(60, 80)) == []


def test_everything_becomes_each_automatic_mask() -> None:
    predictor = ImagePredictor(small_network("sam2"))
    found = ObjectDetector(predictor, settings=EASY).detect(EverythingPrompt(2), picture(60, 80))
    assert found == [MaskPrompt(2, one.mask) for one in segment_everything(predictor, picture(60, 80), EASY)]


def test_what_was_found_stands_for_the_track_under_numbered_names() -> None:
    boxes = [BoxPrompt(3, (5.0, 6.0, 40.0, 30.0)), BoxPrompt(3, (8.0, 9.0, 20.0, 25.0))]
    tracks = track_of(TextPrompt(3, "dog")).tracks_of_detections(boxes)
    assert [(track.object_id, track.prompts, track.end_frame, track.auto_prompt) for track in tracks] == [
        ("o#0", (boxes[0],), 9, None),
        ("o#1", (boxes[1],), 9, None),
    ]


def test_words_without_a_detector_are_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigError, match="name one in the field detector"):
        ObjectDetector(ImagePredictor(small_network("sam2"))).detect(TextPrompt(0, "dog"), picture(60, 80))


def test_an_auto_prompt_without_detections_is_never_tracked_itself() -> None:
    with pytest.raises(PromptError, match="run_job detects its objects first"):
        to_frame_prompt([EverythingPrompt(0)], 60, 80, 64)


@pytest.mark.parametrize("prompt", [TextPrompt(3, "a red car"), EverythingPrompt(4)])
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_prompts_table_holds_them_too(tmp_path: Path, prompt: Prompt, ending: str) -> None:
    uri = str(tmp_path / f"prompts.{ending}")
    write_prompts(uri, [track_of(prompt)])
    assert read_prompts(uri) == [track_of(prompt)]


@pytest.fixture
def frames(tmp_path: Path) -> str:
    return write_frames(tmp_path / "frames", 3)
