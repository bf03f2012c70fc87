"""The memory bank of one track, and the selection of the memories that a frame attends to.

Source: SAM 2, https://arxiv.org/abs/2408.00714, section 4; SAMURAI, https://arxiv.org/abs/2411.11922, section 4.2.
Ages count the frames of a track from its first conditioning frame (age 0) in the direction of propagation, so the rules
are the same forward and backward. The bank is bounded: memories that can never be selected again are dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from samurai_batch.modeling.configs import MAX_OBJ_PTRS, NUM_MASKMEM
from samurai_batch.tracking.settings import TrackerSettings

NUM_RECENT = NUM_MASKMEM - 1  # spatial memories beside the conditioning frames'
NUM_POINTERS = MAX_OBJ_PTRS - 1  # object pointers beside the conditioning frames'
FIRST_GATED_AGE = 2  # the public code never selects the frame after the first by its scores
CONDITIONING_RANK = NUM_MASKMEM - 1  # row of maskmem_tpos_enc


@dataclass(frozen=True)
class Memory:
    """One frame's spatial memory (mem_dim, h, w), kept as bfloat16.

    ``is_trusted``: its three scores passed the thresholds, so it can be selected while it is among the newest trusted
    frames.
    """

    age: int
    spatial: Tensor
    is_trusted: bool = True


@dataclass(frozen=True)
class Pointer:
    """One frame's object pointer (C,)."""

    age: int
    vector: Tensor


@dataclass(frozen=True)
class Selection:
    """What one frame attends to: memories with their ranks (rows of ``maskmem_tpos_enc``), and object pointers."""

    memories: tuple[Memory, ...]
    ranks: tuple[int, ...]
    pointers: tuple[Pointer, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of memories and pointers; tracks with the same numbers are batched in memory attention."""
        return len(self.memories), len(self.pointers)


def is_trusted(mask_score: float, object_score: float, motion_score: float | None, settings: TrackerSettings) -> bool:
    """Whether a frame's scores admit it to SAMURAI's memory (section 4.2, equation 7)."""
    return (
        mask_score > settings.memory_bank_iou_threshold
        and object_score > settings.memory_bank_obj_score_threshold
        and (motion_score is None or motion_score > settings.memory_bank_kf_score_threshold)
    )


def keep_trusted(memories: Sequence[Memory]) -> list[Memory]:
    """SAMURAI's rule: the newest trusted frames, and the previous frame whatever its scores."""
    trusted = [m for m in memories if m.is_trusted and m.age >= FIRST_GATED_AGE][-NUM_RECENT:]
    previous = memories[-1]
    return trusted if previous in trusted else [*trusted, previous]


@dataclass
class MemoryBank:
    """The bounded memory of one track, oldest first in every list."""

    conditioning: list[Memory] = field(default_factory=list)
    conditioning_pointers: list[Pointer] = field(default_factory=list)
    recent: list[Memory] = field(default_factory=list)
    recent_pointers: list[Pointer] = field(default_factory=list)

    def add_conditioning(self, memory: Memory, pointer: Pointer, settings: TrackerSettings) -> None:
        """Add a conditioning frame; the oldest ones above ``max_cond_frames_in_attn`` are dropped."""
        limit = settings.max_cond_frames_in_attn
        self.conditioning = [*self.conditioning, memory][-limit:]
        self.conditioning_pointers = [*self.conditioning_pointers, pointer][-limit:]
        # An untrusted memory is only selected as that of the previous frame, which is now this one.
        if settings.mode == "samurai":
            self.recent = [m for m in self.recent if m.is_trusted and m.age >= FIRST_GATED_AGE]

    def add(self, memory: Memory, pointer: Pointer, settings: TrackerSettings) -> None:
        """Add a frame without a prompt; memories that it displaces are dropped."""
        self.recent_pointers = [*self.recent_pointers, pointer][-NUM_POINTERS:]
        recent = [*self.recent, memory]
        self.recent = keep_trusted(recent) if settings.mode == "samurai" else recent[-NUM_RECENT:]

    def select(self, age: int, settings: TrackerSettings) -> Selection:
        """What the frame of this age attends to: conditioning frames first, then recent ones, oldest first.

        SAMURAI ranks recent memories by order, whatever their age; SAM 2 by age.
        """
        if settings.mode == "samurai":
            recent = self.recent[-NUM_RECENT:]
            ranks = list(reversed(range(len(recent))))
        else:
            recent = [m for m in self.recent if age - m.age <= NUM_RECENT]
            ranks = [age - m.age - 1 for m in recent]
        pointers = [p for p in self.recent_pointers if age - p.age <= NUM_POINTERS]
        return Selection(
            memories=(*self.conditioning, *recent),
            ranks=(*(CONDITIONING_RANK for _ in self.conditioning), *ranks),
            pointers=(*self.conditioning_pointers, *reversed(pointers)),
        )
