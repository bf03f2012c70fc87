"""What proofs and measurements share: device, sizes and table of a run, a video in memory, models to run."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from samurai_batch.benchmark.costs import FULL_MEMORY
from samurai_batch.modeling.checkpoints import build_model, load_weights
from samurai_batch.modeling.gpu import auto_dtype
from samurai_batch.modeling.sam2 import SAM2
from samurai_batch.prompts import BoxPrompt
from samurai_batch.runtime.assembly import make_operations
from samurai_batch.tasks import Leg, Track, Video
from samurai_batch.tracking.prompts import FramePrompt
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.tracker import Tracker
from samurai_batch.video import Frame, VideoInfo

BOX = torch.tensor([[0.1, 0.1], [0.4, 0.5]])


@dataclass
class Session:
    """Device and sizes of this run, and its table so far: (section, check, result, verdict)."""

    device: str
    is_rehearsal: bool
    deadline_s: float
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    section: str = ""

    def add(self, check: str, result: object, *, is_right: bool | None = None) -> None:
        """One row; ``is_right`` is None for a measurement."""
        verdict = "" if is_right is None else "ok" if is_right else "WRONG"
        self.rows.append((self.section, check, str(result), verdict))
        print(f"| {self.section} | {check} | {result} | {verdict} |", flush=True)

    def is_late(self) -> bool:
        """Whether the budget is used up."""
        return time.monotonic() > self.deadline_s

    def pick(self, on_gpu: int, rehearsed: int) -> int:
        """A size for the GPU, or for the rehearsal."""
        return rehearsed if self.is_rehearsal else on_gpu

    def on_gpu(self, is_right: bool) -> bool | None:
        """The verdict on what only a GPU can show; a rehearsal has none."""
        return None if self.is_rehearsal else is_right

    def synchronize(self) -> None:
        """Wait until the device has done everything."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def milliseconds(self, work: Callable[[], object]) -> float:
        """Median of several calls, the device having done all of each.

        The first ones, in which constants are made and graphs captured, do not count.
        """
        seconds = []
        for number in range(self.pick(13, 3)):
            self.synchronize()
            start_s = time.perf_counter()
            work()
            self.synchronize()
            if number >= self.pick(3, 1):
                seconds.append(time.perf_counter() - start_s)
        return round(statistics.median(seconds) * 1e3, 3)

    def kernels(self, work: Callable[[], object]) -> list[str]:
        """The names of the kernels that the work starts on the GPU; none on the CPU."""
        if self.device != "cuda":
            return []
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CUDA]) as seen:
            work()
            self.synchronize()
        return [event.name for event in seen.events() or [] if "CUDA" in str(event.device_type)]


def make_tracker(
    session: Session, name: str, *, is_compiled: bool = False, frames_per_batch: int = 1, replays: bool = False
) -> Tracker:
    """A model of the table, with drawn weights, in the device's dtype, that remembers every frame.

    With ``replays``, its operations are CUDA graphs; a rehearsal has none.
    """
    weights = load_weights(name, None if name == "nano" else "untrained:0")
    image_size = 64 if session.is_rehearsal else None
    model = build_model(weights, image_size, auto_dtype(session.device), session.device)
    settings = TrackerSettings(**vars(FULL_MEMORY))
    replays = replays and session.device == "cuda"
    operations = make_operations(model, is_compiled=is_compiled, frames_per_batch=frames_per_batch, replays=replays)
    return Tracker(model, settings, operations)


def box_prompt(model: SAM2) -> FramePrompt:
    """A box in pixels of the model's image."""
    return FramePrompt(BOX * model.image_size, torch.tensor([2, 3], dtype=torch.int32))


class FramesInMemory:
    """A video of four pictures that take turns: nothing is decoded."""

    def __init__(self, height: int, width: int) -> None:
        self.info = VideoInfo(100000, height, width)
        rng = np.random.default_rng(0)
        coarse = torch.from_numpy(rng.random((4, 3, height // 16, width // 16)))
        fine = F.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1) * 255
        self._pictures: list[NDArray[np.uint8]] = [
            np.ascontiguousarray(picture.permute(1, 2, 0).to(torch.uint8).numpy()) for picture in fine
        ]

    def frames(self, indices: range) -> Iterator[Frame]:
        """The frames of these indices."""
        for index in indices:
            yield Frame(index, index / 25, self._pictures[index % 4])


def legs(count: int) -> list[Leg]:
    """Legs of so many boxes in one video."""
    video = Video("video", "video.mp4")
    boxes = [(100.0 + n, 100.0, 300.0, 300.0) for n in range(count)]
    tracks = [Track(video=video, object_id=f"o{n}", prompts=(BoxPrompt(0, box),)) for n, box in enumerate(boxes)]
    return [leg for track in tracks for leg in track.legs]
