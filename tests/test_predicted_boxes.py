"""The boxes that the motion model expected, as the table keeps them, against the motion scores beside them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from samurai_batch.geometry import box_iou
from samurai_batch.pipeline import track_video
from samurai_batch.prompts import Box, BoxPrompt, PointsPrompt, Prompt
from samurai_batch.tasks import Direction, Track, Video
from samurai_batch.tracking.frame_batches import FrameInfo
from samurai_batch.tracking.mask_rows import mask_row
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.tracker import Tracker, TrackResult
from samurai_batch.video import Frame, VideoInfo
from tests.deterministic import deterministic_frames, small_model

SIZE, NUM_FRAMES = 64, 24
PIXELS = deterministic_frames(NUM_FRAMES, SIZE)


@dataclass(frozen=True)
class Source:
    """Frames out of an array."""

    pixels: NDArray[np.uint8]

    @property
    def info(self) -> VideoInfo:
        return VideoInfo(*self.pixels.shape[:3])

    def frames(self, indices: range) -> Iterator[Frame]:
        for index in indices:
            yield Frame(index, index / 25, np.ascontiguousarray(self.pixels[index]))

    def timestamp_s(self, index: int) -> float:
        return index / 25


SAME_SIZE = Source(PIXELS)
"""Frames of the model's own size: nothing is lost between its masks and those of the table."""


def rows_of(track: Track, rules: TrackerSettings, seed: int = 0, source: Source = SAME_SIZE) -> pd.DataFrame:
    tracker = Tracker(small_model(seed, iou_offset=1.0), rules)
    frame: pd.DataFrame = track_video(tracker, source, [track], chunk_frames=7)["x"].to_pandas()
    return frame


def prompted(frames: list[int], direction: Direction) -> Track:
    prompts: list[Prompt] = [BoxPrompt(frames[0], (12.0, 10.0, 40.0, 30.0))]
    prompts += [PointsPrompt(frame, ((30.0, 28.0),), (1,)) for frame in frames[1:]]
    return Track(video=Video("v", "v.mp4"), object_id="x", prompts=tuple(prompts), direction=direction)


def last_pixels(row: pd.Series, name: str) -> Box:
    """A box of the table as the motion model has it: corners are pixels that belong to it."""
    x, y, width, height = (float(row[f"{name}_{axis}"]) for axis in "xywh")
    return x, y, x + width - 1, y + height - 1


def check(rows: pd.DataFrame) -> int:
    """Wherever motion had a say, the prediction meets the chosen mask as well as the score says; how many those are."""
    scored = rows[rows["motion_score"].notna()]
    assert scored["predicted_x"].notna().all()
    present = scored[scored["area"] > 0]
    for _, row in present.iterrows():
        overlap = box_iou(last_pixels(row, "predicted"), last_pixels(row, "bbox"))
        assert abs(overlap - row["motion_score"]) < 1e-3
    return len(present)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 5),
    frames=st.lists(st.integers(0, NUM_FRAMES - 1), min_size=1, max_size=3, unique=True).map(sorted),
    direction=st.sampled_from(["forward", "backward", "both"]),
    motion_state=st.sampled_from(["xyah", "xywh"]),
    threshold=st.sampled_from([0.3, 0.6]),
)
def test_a_prediction_meets_the_chosen_mask_as_well_as_the_motion_score_says(
    seed: int, frames: list[int], direction: Direction, motion_state: str, threshold: float
) -> None:
    rules = TrackerSettings(
        motion_state=motion_state,  # type: ignore[arg-type]
        stable_frames_threshold=3,
        stable_ious_threshold=threshold,
        fill_hole_area=0,
    )
    check(rows_of(prompted(frames, direction), rules, seed))


@pytest.mark.parametrize("motion_state", ["xyah", "xywh"])
@pytest.mark.parametrize(
    ("frames", "direction"), [([0], "forward"), ([23], "backward"), ([11], "both"), ([2, 12], "forward")]
)
def test_motion_has_a_say_in_every_direction(frames: list[int], direction: Direction, motion_state: str) -> None:
    rules = TrackerSettings(motion_state=motion_state, stable_frames_threshold=3)  # type: ignore[arg-type]
    assert sum(check(rows_of(prompted(frames, direction), rules, seed)) for seed in (0, 1)) > 5


def test_a_later_prompt_makes_the_motion_model_start_again() -> None:
    rows = rows_of(prompted([0, 12], "forward"), TrackerSettings(stable_frames_threshold=3))
    predicted = rows["predicted_x"].notna()
    assert not predicted[0]
    assert not predicted[12]
    assert predicted[2:12].all()


def test_a_prediction_is_a_coco_box_in_pixels_of_the_video() -> None:
    result = TrackResult(
        low_res_logits=torch.zeros(16, 16),  # of a model whose image is 64 pixels wide and high
        mask_score=0.5,
        object_score=1.0,
        motion_score=0.75,
        mask_index=0,
        candidate_ious=(0.5,),
        predicted_box_xyxy=(8.0, 16.0, 23.0, 31.0),
    )
    row = mask_row(prompted([0], "forward"), FrameInfo(3, 0.1, 48, 80), result, None)
    assert row.predicted_xywh == (10.0, 12.0, 20.0, 12.0)


def test_plain_sam2_expects_nothing() -> None:
    rows = rows_of(prompted([0], "forward"), TrackerSettings(mode="sam2"))
    assert rows["predicted_x"].isna().all()
