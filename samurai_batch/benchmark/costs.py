"""Measures E, the seconds to encode a frame, and M, the seconds to propagate one track through it.

E and M are the two numbers of the cost model (`planning.rates`). The same network with PyTorch's public operators
("plain kernels") is measured for comparison.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from samurai_batch.benchmark.clip import HEIGHT, WIDTH, clip_tracks, frames
from samurai_batch.benchmark.machine import now
from samurai_batch.modeling.configs import MAX_OBJ_PTRS
from samurai_batch.modeling.cuda_graphs import CALLS_BEFORE_CAPTURE
from samurai_batch.modeling.kernels import (
    cpu_kernels,
    fused_attention_operator,
    onednn_linear_operator,
    plain_kernels,
)
from samurai_batch.modeling.pixels import to_model_input
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
class PlainComparison:
    """Seconds of one frame, encoding included, with this CPU's kernels and with plain ones, measured in turns.

    Each is the minimum of its repeats, because other processes can only add to it.
    """

    tracks: int
    ours_s: float
    plain_s: float

    @property
    def ratio(self) -> float:
        """The speed-up of this CPU's kernels over plain ones."""
        return self.plain_s / self.ours_s


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """One frame with ``tracks`` tracks: seconds to propagate them, and the share of the matmul rate."""

    tracks: int
    propagate_s: float
    propagate_gflop: float
    matmul_share: float
    frames_per_s: float

    @property
    def per_track_s(self) -> float:
        """M, with so many tracks at once."""
        return self.propagate_s / self.tracks


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Medians of one model: E, and steps with several numbers of tracks whose memory banks are full.

    ``plain`` is None if plain kernels are not measured (`can_compare_with_plain`).
    """

    encode_s: float
    encode_gflop: float
    encode_matmul_share: float
    steps: tuple[StepCost, ...]
    plain: PlainComparison | None


def measure_costs(
    tracker: Tracker, frames_per_batch: int, tracks: Sequence[int], repeats: int, matmul_gflops: float
) -> Costs:
    """Encode one frame and propagate tracks through it repeatedly, each time from the same full memory banks."""
    model = tracker.model
    countable = Tracker(model, tracker.settings)  # operations that are compiled or replayed cannot be looked into
    device = model.no_obj_ptr.device
    pixels = to_model_input(next(frames(1)), model.image_size, model.no_obj_ptr.dtype, device)
    batch = pixels.expand(frames_per_batch, -1, -1, -1)
    encode_gflop = _gflop(lambda: countable.encode(batch)) / frames_per_batch
    encode_s = _seconds(lambda: None, lambda _: tracker.encode(batch), repeats, device) / frames_per_batch
    features = tracker.encode(pixels)
    state = _full_state(tracker, features)
    plain = None
    if can_compare_with_plain(device, pixels.dtype):
        plain = measure_against_plain(tracker, pixels, state, tracks[0], repeats)
    steps = []
    for count in tracks:

        def prepare(count: int = count) -> list[TrackInput]:
            return [TrackInput(TrackState.from_bytes(state, device)) for _ in range(count)]

        def propagate(by: Tracker, inputs: list[TrackInput]) -> object:
            return by.step(features, inputs, video_size=(HEIGHT, WIDTH))

        gflop = _gflop(partial(propagate, countable, prepare()))
        propagate_s = _seconds(prepare, partial(propagate, tracker), repeats, device)
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
        plain=plain,
    )


def _full_state(tracker: Tracker, features: Any) -> bytes:
    """The state of a track after so many frames that its memory bank and object pointers are full."""
    (track,) = clip_tracks(Path("clip.mp4"), 1)
    prompt = to_frame_prompt(track.prompts, HEIGHT, WIDTH, tracker.model.image_size, None)
    state = TrackState(num_frames=1000)
    tracker.step(features, [TrackInput(state, prompt)], video_size=(HEIGHT, WIDTH))
    for _ in range(MAX_OBJ_PTRS):
        tracker.step(features, [TrackInput(state)], video_size=(HEIGHT, WIDTH))
    return state.to_bytes()


def _linear_flops(x: Sequence[int], weight: Sequence[int], *rest: object, **named: object) -> int:
    return 2 * math.prod(x) * weight[0]


def _attention_flops(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *rest: object, **named: object
) -> int:
    return 2 * math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


_COUNTED = {onednn_linear_operator(): _linear_flops, fused_attention_operator(): _attention_flops}
"""Operators that PyTorch's FLOP counter does not know and would count as 0."""


_WARM_UPS = {"cpu": 1, "cuda": CALLS_BEFORE_CAPTURE + 1}  # calls by device


def _gflop(work: Callable[[], object]) -> float:
    """GFLOP of matrix products and convolutions."""
    known = {operator: count for operator, count in _COUNTED.items() if operator is not None}
    counter = FlopCounterMode(display=False, custom_mapping=known)
    with counter:
        work()
    return counter.get_total_flops() / 1e9


def _seconds(prepare: Callable[[], T], work: Callable[[T], object], repeats: int, device: torch.device) -> float:
    """Median seconds of ``work``, without its first calls, which compile, make constants and capture graphs."""
    seconds = []
    for _ in range(_WARM_UPS[device.type] + repeats):
        prepared = prepare()
        start_s = now(device)
        work(prepared)
        seconds.append(now(device) - start_s)
    return statistics.median(seconds[-repeats:])


def can_compare_with_plain(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether plain kernels are measured: not on a GPU, and not where bfloat16 is emulated and takes minutes."""
    return device.type == "cpu" and cpu_kernels().products(dtype) != "float32"


def measure_against_plain(
    tracker: Tracker, pixels: Tensor, state: bytes, num_tracks: int, repeats: int
) -> PlainComparison:
    """Encode pixels (1, 3, S, S) and propagate tracks of one state, with this CPU's and with plain kernels in turns."""
    ours: list[float] = []
    plain: list[float] = []
    for number in range(repeats + 1):
        for seconds, kernels in ((ours, nullcontext), (plain, plain_kernels)):
            taken_s = _frame_s(tracker, pixels, state, num_tracks, kernels)
            if number > 0:  # the first is a warm-up
                seconds.append(taken_s)
    return PlainComparison(tracks=num_tracks, ours_s=min(ours), plain_s=min(plain))


def _frame_s(
    tracker: Tracker,
    pixels: Tensor,
    state: bytes,
    num_tracks: int,
    kernels: Callable[[], AbstractContextManager[None]],
) -> float:
    inputs = [TrackInput(TrackState.from_bytes(state, pixels.device)) for _ in range(num_tracks)]
    with kernels():
        start_s = now(pixels.device)
        tracker.step(tracker.encode(pixels), inputs)
        return now(pixels.device) - start_s
