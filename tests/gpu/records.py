"""What the fake GPU records: waits of the host, copies to the device, calls of attention, each with its place."""

import functools
import sys
import threading
from dataclasses import dataclass
from types import FrameType

import torch


@dataclass(frozen=True)
class Wait:
    """The host waited for launch number ``until`` of the device when ``enqueued`` had been enqueued.

    ``kind`` is the operation; ``made_at`` the number of the launch that made what was waited for, where that is known.
    """

    kind: str
    place: str
    thread: str
    until: int
    enqueued: int
    made_at: int | None = None

    @property
    def num_later(self) -> int:
        """Launches that were waited for though what was wanted was made before them."""
        return 0 if self.made_at is None else max(0, self.until - self.made_at)


@dataclass(frozen=True)
class Upload:
    """A copy to the device; the host waits for it unless the memory is pinned and the copy is non_blocking."""

    place: str
    thread: str
    num_bytes: int
    host_waits: bool


@dataclass(frozen=True)
class AttentionCall:
    """Shapes (B, heads, L, channels) and dtype of one call of PyTorch's attention."""

    queries: tuple[int, ...]
    keys: tuple[int, ...]
    values: tuple[int, ...]
    dtype: torch.dtype


def place(depth: int = 1) -> str:
    """Where in the package this happens, innermost line first."""
    places: list[str] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and len(places) < depth:
        if path := _path_in_package(frame.f_code.co_filename):
            places.append(f"{path}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(places) or "outside of the package"


@functools.cache
def _path_in_package(filename: str) -> str | None:
    _, is_ours, path = filename.rpartition("/samurai_batch/")
    return path if is_ours and "/tests/" not in filename else None


def thread_name() -> str:
    """The kind of thread: its name up to the first underscore."""
    return threading.current_thread().name.partition("_")[0]
