"""Scripts of prompts by track and frame, which tests of the tracker run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from samurai_batch.modeling.prompt_encoder import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT
from samurai_batch.modeling.sam2 import SAM2, FrameFeatures
from samurai_batch.tracking.prompts import FramePrompt
from samurai_batch.tracking.recent_frames import RecentFrames
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput, TrackResult
from tests.deterministic import deterministic_frames, normalised, small_model

SIZE, NUM_FRAMES = 64, 24


def box(x1: float, y1: float, x2: float, y2: float) -> FramePrompt:
    """A box prompt; corners in pixels of the model's input."""
    return FramePrompt(
        torch.tensor([[x1, y1], [x2, y2]]), torch.tensor([BOX_TOP_LEFT, BOX_BOTTOM_RIGHT], dtype=torch.int32)
    )


def clicks(*points: tuple[float, float, int]) -> FramePrompt:
    """A points prompt of (x, y, label)."""
    return FramePrompt(
        torch.tensor([[x, y] for x, y, _ in points]), torch.tensor([label for *_, label in points], dtype=torch.int32)
    )


def mask(rows: slice, columns: slice) -> FramePrompt:
    """A mask prompt of a rectangle; an empty one means that the object is absent."""
    pixels = torch.zeros(SIZE, SIZE)
    pixels[rows, columns] = 1
    return FramePrompt(mask=pixels)


@dataclass(frozen=True)
class Script:
    """One track's prompts by frame, and its last frame."""

    prompts: Mapping[int, FramePrompt]
    end_frame: int = NUM_FRAMES - 1

    @property
    def start_frame(self) -> int:
        return min(self.prompts)

    def state(self) -> TrackState:
        return TrackState(num_frames=self.end_frame - self.start_frame + 1)

    def covers(self, frame_index: int) -> bool:
        return self.start_frame <= frame_index <= self.end_frame


EIGHT: tuple[Script, ...] = (
    Script({0: box(12, 16, 35, 38)}),
    Script({0: clicks((25, 28, 1))}),
    Script({0: mask(slice(16, 32), slice(12, 32))}),
    Script({3: box(30, 5, 60, 40), 9: clicks((40, 20, 1), (10, 50, 0))}),
    Script({5: clicks((44, 19, 0), (19, 32, 1), (30, 30, 1))}, end_frame=15),
    Script({0: box(2, 2, 50, 60), 1: box(4, 4, 50, 60), 2: mask(slice(4, 60), slice(4, 50)), 12: clicks((20, 20, 1))}),
    Script({8: mask(slice(0, 0), slice(0, 0)), 14: box(1, 1, 20, 20)}),
    Script({22: clicks((32, 32, 1))}),
)


DAM4SAM = TrackerSettings(
    mode="dam4sam",
    drm_min_iou=0.1,
    drm_min_area_ratio=0.1,
    drm_max_area_ratio=9,
    drm_min_gap_frames=1,
    drm_max_box_iou=1,
)
"""With thresholds that the frames of the untrained network reach."""
EAGER: dict[str, float] = {
    "sentry_cooldown_frames": 2,
    "sentry_area_collapse": 2,
    "sentry_points_per_side": 2,
    "sentry_everything_min_iou": -100,
    "sentry_everything_min_stability": 0,
    "sentry_candidate_min_area_ratio": 0.01,
    "sentry_candidate_max_area_ratio": 100,
    "sentry_reverse_min_mean_iou": 0.01,
    "sentry_reverse_min_iou": 0,
    "sentry_reverse_min_coverage": 0.1,
    "sentry_reverse_min_margin": -0.2,
    "sentry_pool_rescue_min_iou": 0.05,
    "sentry_kalman_warning_iou": 1.1,
}
"""Settings with which SENTRY's gate opens often on the untrained network, and often verifies another mask."""
VARIANTS = {
    "samurai": TrackerSettings(stable_frames_threshold=3),
    "samurai_xywh": TrackerSettings(stable_frames_threshold=2, motion_state="xywh", kf_score_weight=0.6),
    "sam2": TrackerSettings(mode="sam2"),
    "dam4sam": DAM4SAM,
    "sam2long": TrackerSettings(mode="sam2long", sam2long_max_wait_frames=6),
    "memory_selection": TrackerSettings(mode="memory_selection", memory_selection_threshold=0.2),
    "sentry": TrackerSettings(stable_frames_threshold=3, rescue="sentry", **EAGER),  # type: ignore[arg-type]
    "pooled": TrackerSettings(stable_frames_threshold=3, pool_memories=True),
    "plain_prompts": TrackerSettings(
        dynamic_multimask_via_stability=False, binarize_mask_from_pts_for_mem_enc=False, stable_frames_threshold=3
    ),
}


@cache
def features(model: SAM2, seed: int = 0) -> tuple[FrameFeatures, ...]:
    """Features of the test video's frames."""
    tracker = Tracker(model, TrackerSettings())
    return tuple(tracker.encode(normalised(frame)) for frame in deterministic_frames(NUM_FRAMES, SIZE, seed))


def make_tracker(settings: TrackerSettings | None = None, seed: int = 0) -> Tracker:
    """A tracker with the small network, whose scores cross every threshold on the test video."""
    return Tracker(small_model(seed), settings or TrackerSettings(stable_frames_threshold=3))


def play(
    tracker: Tracker, scripts: Sequence[Script], video: Sequence[FrameFeatures], first: int = 0
) -> list[dict[int, TrackResult]]:
    """Track the scripts together; returns each one's results by frame."""
    found: list[dict[int, TrackResult]] = [{} for _ in scripts]
    for frame_index, track, result, _ in steps(tracker, scripts, video, first):
        found[track][frame_index] = result
    return found


def steps(
    tracker: Tracker, scripts: Sequence[Script], video: Sequence[FrameFeatures], first: int = 0
) -> Iterator[tuple[int, int, TrackResult, TrackState]]:
    """Each step of each track: frame, number of the track, result, and state after it."""
    states, recent = [script.state() for script in scripts], RecentFrames(tracker.encode)
    for frame_index, seen in enumerate(video, first):
        active = [track for track, script in enumerate(scripts) if script.covers(frame_index)]
        if not active:
            continue
        inputs = [TrackInput(states[track], scripts[track].prompts.get(frame_index)) for track in active]
        recent.add(frame_index, seen)
        for track, result in zip(active, tracker.step(seen, inputs, recent=recent), strict=True):
            yield frame_index, track, result, states[track]
        if (rescue := tracker.rules.rescue) is not None:
            recent.keep(index for state in states for index in rescue.frames_needed(state))
            assert len(recent) <= 9 * len(scripts)


def are_the_same(a: TrackResult, b: TrackResult) -> bool:
    """Whether two results are equal bit for bit."""
    lanes = zip(a.lanes, b.lanes, strict=True)
    return (
        torch.equal(a.low_res_logits, b.low_res_logits)
        and _scores(a) == _scores(b)
        and all(are_the_same(ours, others) for ours, others in lanes)
    )


def assert_close(a: TrackResult, b: TrackResult, tolerance: float = 1e-9) -> None:
    """Both results have the same decisions, and the same numbers up to rounding."""
    assert a.mask_index == b.mask_index
    assert (a.motion_score is None) == (b.motion_score is None)
    torch.testing.assert_close(_numbers(a), _numbers(b), rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(a.low_res_logits, b.low_res_logits, rtol=tolerance, atol=tolerance)


def _scores(result: TrackResult) -> tuple[object, ...]:
    return tuple(value for name, value in vars(result).items() if name not in ("low_res_logits", "lanes"))


def _numbers(result: TrackResult) -> Tensor:
    motion = -1.0 if result.motion_score is None else result.motion_score
    expected = result.predicted_box_xyxy or (-1.0,) * 4
    values = [result.mask_score, result.object_score, motion, *result.candidate_ious, *expected]
    return torch.tensor(values, dtype=torch.float64)
