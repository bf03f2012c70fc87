"""Events and streams of the fake GPU: `FakeGpu` makes subclasses that know it."""

import time
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from tests.gpu.fake_gpu import FakeGpu


class Event:
    """torch.cuda.Event: a place in the order of launches."""

    gpu: "FakeGpu"

    def __init__(self, enable_timing: bool = False, **_: object) -> None:
        self._at, self._time = 0, 0.0

    def record(self, *_: object) -> None:
        self._at, self._time = self.gpu.enqueued, time.perf_counter()

    def synchronize(self) -> None:
        self.gpu.wait("event", until=self._at, made_at=self._at)

    def query(self) -> bool:
        return False  # the device is always behind

    def wait(self, *_: object) -> None:
        """Another stream waits for this one; there is one stream here."""

    def elapsed_time(self, other: "Event") -> float:
        return (other._time - self._time) * 1000


class Stream:
    """torch.cuda.Stream: all of them are the same one here, but for copies to the host within `torch.cuda.stream`."""

    gpu: "FakeGpu"

    def __init__(self, *_: object, **__: object) -> None:
        self.until = 0  # the launch of the main stream that this one waits for

    def synchronize(self) -> None:
        self.gpu.wait("synchronize")

    def record_event(self, event: Any = None) -> Any:
        event = event or torch.cuda.Event()
        event.record()
        return event

    def wait_event(self, event: Any) -> None:
        self.until = event._at

    def wait_stream(self, stream: Any) -> None: ...
