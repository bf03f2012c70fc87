"""The same network by PyTorch's public operators, beside this CPU's kernels: what these bring, in one run."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from samurai_batch.benchmark.machine import now
from samurai_batch.modeling.kernels import cpu_kernels, plain_kernels
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput


@dataclass(frozen=True, kw_only=True)
class BesidePlain:
    """Seconds of one frame, encoding included, by this CPU's kernels and by plain ones.

    They are measured in turns. Each is the least of its repeats: other processes can only add to it.
    """

    tracks: int
    ours_s: float
    plain_s: float

    @property
    def ratio(self) -> float:
        """How many times as fast ours are."""
        return self.plain_s / self.ours_s


def can_be_plain(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the two can be compared: a GPU has one way, and plain bfloat16 takes minutes without the hardware."""
    return device.type == "cpu" and cpu_kernels().products(dtype) != "float32"


def measure_beside_plain(tracker: Tracker, pixels: Tensor, state: bytes, num_tracks: int, repeats: int) -> BesidePlain:
    """Encode pixels (1, 3, S, S) and follow tracks of one state on them, by ours and by plain kernels alternately."""
    ours: list[float] = []
    plain: list[float] = []
    for number in range(repeats + 1):
        for seconds, kernels in ((ours, nullcontext), (plain, plain_kernels)):
            taken_s = _frame_s(tracker, pixels, state, num_tracks, kernels)
            if number > 0:  # the first time also lays out memory and tables
                seconds.append(taken_s)
    return BesidePlain(tracks=num_tracks, ours_s=min(ours), plain_s=min(plain))


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
