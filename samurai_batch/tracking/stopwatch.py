"""Seconds and memory of the work, measured on the device that does it."""

import time
from collections import defaultdict, deque

import torch

MOST_OPEN_MOMENTS = 256  # many frames: the host has waited for the device since the oldest of them

Moment = float | torch.cuda.Event


def peak_memory_bytes(device: torch.device) -> int:
    """The most that PyTorch has reserved of a GPU in this process so far; 0 on a CPU.

    That is what other processes could not use, without CUDA's own context of some hundred MB.
    """
    return int(torch.cuda.max_memory_reserved(device)) if device.type == "cuda" else 0


class Stopwatch:
    """Seconds by name, from one `lap` to the next.

    On a GPU these are the seconds of its stream: kernels run asynchronously, so the host's clock says nothing.
    """

    def __init__(self, device: torch.device) -> None:
        self._is_gpu = device.type == "cuda"
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._open: deque[tuple[str, Moment, Moment]] = deque()
        self._last = self._now()

    def lap(self, name: str) -> None:
        """Count the time since the last call under ``name``."""
        now = self._now()
        self._open.append((name, self._last, now))
        self._last = now
        while len(self._open) > (MOST_OPEN_MOMENTS if self._is_gpu else 0):
            self._close_oldest()

    def seconds(self) -> dict[str, float]:
        """The seconds of all laps so far, by name; waits for the device."""
        if self._is_gpu:
            torch.cuda.synchronize()
        while self._open:
            self._close_oldest()
        return dict(self._seconds)

    def _now(self) -> Moment:
        if not self._is_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _close_oldest(self) -> None:
        name, start, end = self._open.popleft()
        self._seconds[name] += _seconds_between(start, end)


def _seconds_between(start: Moment, end: Moment) -> float:
    if isinstance(start, float) and isinstance(end, float):
        return end - start
    assert isinstance(start, torch.cuda.Event)
    assert isinstance(end, torch.cuda.Event)
    return float(start.elapsed_time(end)) / 1000
