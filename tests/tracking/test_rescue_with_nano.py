"""A rescue that happens: the trained network, whose host is made to fail on one frame, gets the object's mask there."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from samurai_batch.geometry import mask_box_xyxy, mask_iou
from samurai_batch.modeling.checkpoints import build_model, load_weights
from samurai_batch.modeling.sam2 import SAM2
from samurai_batch.pipeline import propagate_chunk, track_video
from samurai_batch.prompts import BoxPrompt, Rle
from samurai_batch.rle import decode_mask
from samurai_batch.synthetic import SUITES
from samurai_batch.synthetic.clip import Clip
from samurai_batch.tasks import Track, Video
from samurai_batch.tracking.memory_bank import MemoryBank, MemoryRules, Selection, TrackedFrame
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.tracker import Tracker
from tests.small_video import FakeSource, legs_of

FAILED, NUM_FRAMES = 6, 10
RESCUED = TrackerSettings(mode="sam2", rescue="sentry", sentry_everything=False)


@dataclass(frozen=True)
class Forgetful(MemoryRules):
    """A host that remembers what it should, and reads the opposite of it on one frame."""

    host: MemoryRules

    def remember(self, bank: MemoryBank, frame: TrackedFrame) -> None:
        self.host.remember(bank, frame)

    def conditioning_limit(self) -> int:
        return self.host.conditioning_limit()

    def select(self, bank: MemoryBank, age: int, num_frames: int) -> Selection:
        found = self.host.select(bank, age, num_frames)
        if age != FAILED:
            return found
        return replace(
            found,
            memories=tuple(replace(memory, spatial=-memory.spatial) for memory in found.memories),
            pointers=tuple(replace(pointer, vector=-pointer.vector) for pointer in found.pointers),
        )


@cache
def network() -> SAM2:
    return build_model(load_weights("nano", None))


@cache
def clip() -> Clip:
    return next(iter(SUITES["occlusion"].clips()))


def failing(settings: TrackerSettings) -> Tracker:
    rules = Tracker(network(), settings).rules
    return Tracker(network(), settings, rules=replace(rules, memory=Forgetful(rules.memory)))


def source() -> FakeSource:
    return FakeSource(clip().frames[:NUM_FRAMES], [])


def track() -> Track:
    box = mask_box_xyxy(clip().masks[0, 0])
    assert box is not None
    return Track(video=Video("clip", "clip.mp4"), object_id="x", prompts=(BoxPrompt(0, box),))


def truth_iou(row: dict[str, Any]) -> float:
    size = (row["height"], row["width"])
    rle = row["segmentation"]
    mask = np.zeros(size, bool) if rle is None else decode_mask(Rle(*size, rle["counts"]))
    return mask_iou(mask, clip().masks[row["frame_index"], 0].astype(bool))


@pytest.mark.parametrize("finds_everything", [False, True])
def test_a_failure_is_rescued_and_only_that_frame_is_tested(finds_everything: bool) -> None:
    settings = replace(RESCUED, sentry_everything=finds_everything, sentry_points_per_side=12)
    rescued = propagate_chunk(failing(settings), source(), legs_of([track()]), range(NUM_FRAMES))
    plain = propagate_chunk(failing(TrackerSettings(mode="sam2")), source(), legs_of([track()]), range(NUM_FRAMES))
    ours, theirs = rescued.tables["x"].to_pylist(), plain.tables["x"].to_pylist()
    assert (rescued.stats.rescue_tests, rescued.stats.rescues) == (1, 1)
    assert truth_iou(theirs[FAILED]) < 0.3
    assert truth_iou(ours[FAILED]) > 0.7
    assert ours[:FAILED] == theirs[:FAILED]
    assert all(truth_iou(row) > 0.6 for row in ours)


@pytest.mark.parametrize("chunk_frames", [FAILED - 2, FAILED, FAILED + 1])
def test_a_run_that_resumes_beside_the_rescued_frame_gives_the_rows_of_one_that_does_not(chunk_frames: int) -> None:
    whole = track_video(failing(RESCUED), source(), [track()], NUM_FRAMES)["x"]
    assert track_video(failing(RESCUED), source(), [track()], chunk_frames)["x"].equals(whole)
