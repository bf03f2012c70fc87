"""SAMURAI: the mask that fits a motion model, and the memories of trusted frames.

Source: https://arxiv.org/abs/2411.11922; equations 5 and 6 are in `mask_choice`, equation 7 is here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samurai_batch.tracking.mask_choice import ByMotion
from samurai_batch.tracking.memory_bank import (
    NUM_POINTERS,
    NUM_RECENT,
    Memory,
    MemoryBank,
    MemoryRules,
    Pointer,
    Selection,
    TrackedFrame,
    remember_prompted,
)
from samurai_batch.tracking.rules import Rules
from samurai_batch.tracking.trackers.sam2 import select_with_all_pointers

if TYPE_CHECKING:
    from samurai_batch.tracking.settings import TrackerOptions, TrackerSettings

FIRST_GATED_AGE = 2  # the public code never selects the frame after the first by its scores


def is_trusted(mask_score: float, object_score: float, motion_score: float | None, settings: "TrackerOptions") -> bool:
    """Whether a frame's scores admit it to SAMURAI's memory (section 4.2, equation 7)."""
    return (
        mask_score > settings.memory_bank_iou_threshold
        and object_score > settings.memory_bank_obj_score_threshold
        and (motion_score is None or motion_score > settings.memory_bank_kf_score_threshold)
    )


def keep_trusted(memories: Sequence[Memory]) -> list[Memory]:
    """The newest trusted frames, and the previous frame whatever its scores."""
    trusted = [m for m in memories if m.is_trusted and m.age >= FIRST_GATED_AGE][-NUM_RECENT:]
    previous = memories[-1]
    return trusted if previous in trusted else [*trusted, previous]


@dataclass(frozen=True)
class TrustedFrames(MemoryRules):
    """The conditioning frames and the newest six trusted ones, ranked by order, whatever their age."""

    settings: "TrackerSettings"

    def remember(self, bank: MemoryBank, frame: TrackedFrame) -> None:
        """A frame that is not trusted stays only while it is the previous one; pointers are not gated."""
        if frame.is_prompted:
            remember_prompted(bank, frame, self.settings.max_cond_frames_in_attn)
            # A memory that is not trusted is only selected as that of the previous frame, which is now this one.
            bank.recent = [m for m in bank.recent if m.is_trusted and m.age >= FIRST_GATED_AGE]
            return
        bank.recent_pointers = [*bank.recent_pointers, Pointer(frame.age, frame.pointer)][-NUM_POINTERS:]
        trusted = is_trusted(frame.mask_score, frame.object_score, frame.motion_score, self.settings)
        bank.recent = keep_trusted([*bank.recent, Memory(frame.age, frame.spatial, trusted)])

    def conditioning_limit(self) -> int:
        """A setting."""
        return self.settings.max_cond_frames_in_attn

    def select(self, bank: MemoryBank, age: int, num_frames: int) -> Selection:
        """Conditioning frames first, then recent ones, oldest first."""
        recent = bank.recent[-NUM_RECENT:]
        return select_with_all_pointers(bank, recent, [*reversed(range(len(recent)))], age, num_frames)


def combine(settings: "TrackerSettings") -> Rules:
    """The rules of ``mode: samurai``."""
    return Rules(choice=ByMotion(settings), memory=TrustedFrames(settings))
