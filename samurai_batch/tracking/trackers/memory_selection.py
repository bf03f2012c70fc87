"""SAM 3's memory selection on SAM 2: frames whose score is too low are not remembered.

Source: https://arxiv.org/abs/2511.16719; only the gate of its video memory, not its network or its detector.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass as checked

from samurai_batch.schema import SETTINGS_CONFIG, NonNegative, Settings
from samurai_batch.tracking.mask_choice import HighestIou
from samurai_batch.tracking.memory_bank import (
    CONDITIONING_RANK,
    NUM_POINTERS,
    NUM_RECENT,
    Memory,
    MemoryBank,
    MemoryRules,
    Pointer,
    Selection,
    TrackedFrame,
    distance,
    remember_prompted,
)
from samurai_batch.tracking.rules import Rules

if TYPE_CHECKING:
    from samurai_batch.tracking.settings import TrackerSettings

MAX_CONDITIONING = 4  # conditioning frames that are read, the nearest ones


@checked(frozen=True, kw_only=True, config=SETTINGS_CONFIG)
class MemorySelectionSettings(Settings):
    """The gate of SAM 3."""

    group: ClassVar[str] = "tracker"

    memory_selection_threshold: NonNegative = 0.01
    """Score that a frame must exceed to be remembered (memory_selection only): its predicted IoU, times
    max(2 p − 1, 0), where p is the probability that the object is visible."""


class GatedFrames(MemoryRules):
    """Memories of the frames that pass a gate, and of the previous one in any case, ranked by order.

    Spatial memories are those of the newest six. Object pointers are those of the newest fifteen, with their ranks as
    distances; the oldest of these frames has none.
    """

    max_conditioning: int

    @abstractmethod
    def passes(self, frame: TrackedFrame) -> bool:
        """Whether a frame is remembered."""

    def remember(self, bank: MemoryBank, frame: TrackedFrame) -> None:
        """A frame that does not pass stays only while it is the previous one."""
        if bank.recent and not bank.recent[-1].is_trusted:
            bank.recent, bank.recent_pointers = bank.recent[:-1], bank.recent_pointers[:-1]
        if frame.is_prompted:
            remember_prompted(bank, frame, self.max_conditioning)
            return
        memory = Memory(frame.age, frame.spatial, self.passes(frame), object_score=frame.object_score)
        pointer = Pointer(frame.age, frame.pointer, frame.object_score)
        is_extra = not memory.is_trusted
        bank.recent = [*bank.recent, memory][-NUM_RECENT - is_extra :]
        bank.recent_pointers = [*bank.recent_pointers, pointer][-NUM_POINTERS - is_extra :]

    def conditioning_limit(self) -> int:
        """A setting."""
        return self.max_conditioning

    def select(self, bank: MemoryBank, age: int, num_frames: int) -> Selection:
        """Conditioning frames first, then recent ones, oldest first."""
        recent = bank.recent[-NUM_RECENT:]
        ranked = [*reversed(bank.recent_pointers[1:])]
        distances = [*(age - p.age for p in bank.conditioning_pointers), *range(1, len(ranked) + 1)]
        return Selection(
            memories=(*bank.conditioning, *recent),
            ranks=(*(CONDITIONING_RANK for _ in bank.conditioning), *reversed(range(len(recent)))),
            pointers=(*bank.conditioning_pointers, *ranked),
            pointer_times=tuple(distance(frames, num_frames) for frames in distances),
        )


@dataclass(frozen=True)
class FramesByScore(GatedFrames):
    """SAM 3's gate."""

    max_conditioning: int
    threshold: float

    def passes(self, frame: TrackedFrame) -> bool:
        """Whether the object's visibility times the predicted IoU exceeds the threshold."""
        visibility = max(math.tanh(frame.object_score / 2), 0.0)  # 2 sigmoid(x) − 1
        return visibility * frame.mask_score > self.threshold


def combine(settings: "TrackerSettings") -> Rules:
    """The rules of ``mode: memory_selection``."""
    limit = min(settings.max_cond_frames_in_attn, MAX_CONDITIONING)
    return Rules(HighestIou(), FramesByScore(limit, settings.memory_selection_threshold))
