"""SAM 2: the mask of the highest predicted IoU, and the memories of the last frames.

Source: https://arxiv.org/abs/2408.00714, section 4.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

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


@dataclass(frozen=True)
class LastFrames(MemoryRules):
    """The conditioning frames and the last six, which are ranked by age; the pointers of the last fifteen."""

    max_conditioning: int

    def remember(self, bank: MemoryBank, frame: TrackedFrame) -> None:
        """Conditioning frames separately, all others in order."""
        if frame.is_prompted:
            remember_prompted(bank, frame, self.max_conditioning)
            return
        bank.recent_pointers = [*bank.recent_pointers, Pointer(frame.age, frame.pointer)][-NUM_POINTERS:]
        memory = Memory(frame.age, frame.spatial, object_score=frame.object_score)
        bank.recent = [*bank.recent, memory][-NUM_RECENT:]

    def conditioning_limit(self) -> int:
        """A setting."""
        return self.max_conditioning

    def select(self, bank: MemoryBank, age: int, num_frames: int) -> Selection:
        """Conditioning frames first, then recent ones, oldest first."""
        recent = [m for m in bank.recent if age - m.age <= NUM_RECENT]
        return select_with_all_pointers(bank, recent, [age - m.age - 1 for m in recent], age, num_frames)


def select_with_all_pointers(
    bank: MemoryBank, recent: list[Memory], ranks: list[int], age: int, num_frames: int
) -> Selection:
    """The conditioning frames and these memories, with the pointers of the last fifteen frames, newest first."""
    pointers = [p for p in bank.recent_pointers if age - p.age <= NUM_POINTERS]
    pointers = [*bank.conditioning_pointers, *reversed(pointers)]
    return Selection(
        memories=(*bank.conditioning, *recent),
        ranks=(*(CONDITIONING_RANK for _ in bank.conditioning), *ranks),
        pointers=tuple(pointers),
        pointer_times=tuple(distance(age - p.age, num_frames) for p in pointers),
    )


def combine(settings: "TrackerSettings") -> Rules:
    """The rules of ``mode: sam2``."""
    return Rules(choice=HighestIou(), memory=LastFrames(settings.max_cond_frames_in_attn))
