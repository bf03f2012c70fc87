"""E, the seconds to encode a frame, and M, those to follow one track on it: what all else is made of."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from samurai_batch.benchmark.clip import HEIGHT, WIDTH, clip_tracks, frames
from samurai_batch.benchmark.machine import now
from samurai_batch.benchmark.plain import BesidePlain, can_be_plain, measure_beside_plain
from samurai_batch.modeling.configs import MAX_OBJ_PTRS
from samurai_batch.modeling.kernels import fused_attention_operator, onednn_linear_operator
from samurai_batch.modeling.pixels import to_model_input
from samurai_batch.modeling.sam2 import SAM2
from samurai_batch.tracking.prompts import to_frame_prompt
from samurai_batch.tracking.settings import TrackerOptions
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput

T = TypeVar("T")

FULL_MEMORY = TrackerOptions(
    memory_bank_iou_threshold=-1.0, memory_bank_obj_score_threshold=-1e9, memory_bank_kf_score_threshold=-1.0
)
"""Tracker settings that remember every frame, so that memory attention reads as much as it ever does."""


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """One frame with ``tracks`` tracks on it: seconds of following them, and their share of the matmul rate."""

    tracks: int
    propagate_s: float
    propagate_gflop: float
    matmul_share: float
    frames_per_s: float

    @property
    def per_track_s(self) -> float:
        """M with so many tracks at once."""
        return self.propagate_s / self.tracks


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Medians of one model: E, and steps of several numbers of tracks whose memories are full.

    ``beside_plain`` is None where there is nothing to compare (`plain.can_be_plain`).
    """

    encode_s: float
    encode_gflop: float
    encode_matmul_share: float
    steps: tuple[StepCost, ...]
    beside_plain: BesidePlain | None


def measure_costs(
    tracker: Tracker, frames_per_batch: int, tracks: Sequence[int], repeats: int, matmul_gflops: float
) -> Costs:
    """Encode and follow on one frame again and again, each time from the same full memories."""
    model = tracker.model
    device = model.no_obj_ptr.device
    pixels = to_model_input(next(frames(1)), model.image_size, model.no_obj_ptr.dtype, device)
    batch = pixels.expand(frames_per_batch, -1, -1, -1)
    encode_gflop = _encode_gflop(model, batch) / frames_per_batch
    encode_s = _seconds(lambda: None, lambda _: tracker.encode(batch), repeats, device) / frames_per_batch
    features = tracker.encode(pixels)
    state = _full_state(tracker, features)
    plain = None
    if can_be_plain(device, pixels.dtype):
        plain = measure_beside_plain(tracker, pixels, state, tracks[0], repeats)
    steps = []
    for count in tracks:

        def prepare(count: int = count) -> list[TrackInput]:
            return [TrackInput(TrackState.from_bytes(state, device)) for _ in range(count)]

        def follow(inputs: list[TrackInput]) -> object:
            return tracker.step(features, inputs)

        gflop = _gflop(partial(follow, prepare()))
        propagate_s = _seconds(prepare, follow, repeats, device)
        steps.append(
            StepCost(
                tracks=count,
                propagate_s=propagate_s,
                propagate_gflop=gflop,
                matmul_share=gflop / propagate_s / matmul_gflops,
                frames_per_s=1 / (encode_s + propagate_s),
            )
        )
    return Costs(
        encode_s=encode_s,
        encode_gflop=encode_gflop,
        encode_matmul_share=encode_gflop / encode_s / matmul_gflops,
        steps=tuple(steps),
        beside_plain=plain,
    )


def _full_state(tracker: Tracker, features: Any) -> bytes:
    """A track after so many frames that its memory and its pointers are all there."""
    (track,) = clip_tracks(Path("clip.mp4"), 1)
    prompt = to_frame_prompt(track.prompts, HEIGHT, WIDTH, tracker.model.image_size, None)
    state = TrackState(num_frames=1000)
    tracker.step(features, [TrackInput(state, prompt)])
    for _ in range(MAX_OBJ_PTRS):
        tracker.step(features, [TrackInput(state)])
    return state.to_bytes()


def _linear_flops(x: Sequence[int], weight: Sequence[int], *rest: object, **named: object) -> int:
    return 2 * math.prod(x) * weight[0]


def _attention_flops(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *rest: object, **named: object
) -> int:
    return 2 * math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


_COUNTED = {onednn_linear_operator(): _linear_flops, fused_attention_operator(): _attention_flops}
"""Operations that PyTorch's counter does not know: it takes them for free."""


def _encode_gflop(model: SAM2, pixels: Tensor) -> float:
    """Of a batch of frames, by the network as it is written: what is compiled cannot be counted."""
    with torch.inference_mode():
        return _gflop(lambda: model.encode_image(pixels))


def _gflop(work: Callable[[], object]) -> float:
    """10^9 operations of products and convolutions."""
    known = {operator: count for operator, count in _COUNTED.items() if operator is not None}
    counter = FlopCounterMode(display=False, custom_mapping=known)
    with counter:
        work()
    return counter.get_total_flops() / 1e9


def _seconds(prepare: Callable[[], T], work: Callable[[T], object], repeats: int, device: torch.device) -> float:
    """Median seconds of ``work``; it has been done before, when it was counted, which laid out memory and tables."""
    seconds = []
    for _ in range(repeats):
        prepared = prepare()
        start_s = now(device)
        work(prepared)
        seconds.append(now(device) - start_s)
    return statistics.median(seconds)
