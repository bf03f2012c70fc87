"""The memory bank of one track, and the interface of the rules by which a tracker fills and reads it.

Ages count the frames of a track from its first conditioning frame (age 0) in the direction of propagation, so the rules
are the same forward and backward. A bank is bounded: rules drop memories that can never be selected again.

The rules themselves are in `trackers/`: each reads and writes the same four lists, so that any tracker's bank is
serialised by the same code.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from samurai_batch.modeling.configs import MAX_OBJ_PTRS, NUM_MASKMEM

if TYPE_CHECKING:
    from torch import Tensor

NUM_RECENT = NUM_MASKMEM - 1  # spatial memories beside the conditioning frames'
NUM_POINTERS = MAX_OBJ_PTRS - 1  # object pointers beside the conditioning frames'
CONDITIONING_RANK = NUM_MASKMEM - 1  # row of maskmem_tpos_enc
CONDITIONING_SCORE = 10.0  # object score that a prompted frame counts as


@dataclass(frozen=True)
class Memory:
    """One frame's spatial memory (mem_dim, h, w), kept as bfloat16.

    ``is_trusted``: it passed the gate of its rules, so it can be selected while it is among the newest trusted frames.
    ``is_promoted``: it had no prompt, but its rules remember it like a conditioning frame. ``object_score``: the logit,
    where its rules need it.
    """

    age: int
    spatial: "Tensor"
    is_trusted: bool = True
    is_promoted: bool = False
    object_score: float = CONDITIONING_SCORE


@dataclass(frozen=True)
class Pointer:
    """One frame's object pointer (C,), and its object score as in `Memory`."""

    age: int
    vector: "Tensor"
    object_score: float = CONDITIONING_SCORE


@dataclass(frozen=True)
class TrackedFrame:
    """What a step computed of one frame of a track, as memory rules see it.

    mask_score: predicted IoU of the chosen mask; object_score: logit; motion_score: None if motion was not used;
    is_visible: some cell of its low-resolution logits is above 0, None if its rules do not need it; is_prompted: it is
    a conditioning frame; is_promoted: `rules.Promotion` made it an anchor.
    """

    age: int
    spatial: "Tensor"
    pointer: "Tensor"
    mask_score: float
    object_score: float
    motion_score: float | None = None
    is_visible: bool | None = None
    is_prompted: bool = False
    is_promoted: bool = False


@dataclass(frozen=True)
class Selection:
    """What one frame attends to: memories with their ranks (rows of ``maskmem_tpos_enc``), and object pointers.

    pointer_times: of each pointer, its distance in frames over the longest one, which its temporal encoding encodes.
    memory_weights, pointer_weights: a factor for each memory and pointer with its position; empty for none.
    """

    memories: tuple[Memory, ...]
    ranks: tuple[int, ...]
    pointers: tuple[Pointer, ...]
    pointer_times: tuple[float, ...]
    memory_weights: tuple[float, ...] = ()
    pointer_weights: tuple[float, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of memories, pointers and weights; tracks with the same numbers are batched in memory attention."""
        return len(self.memories), len(self.pointers), len(self.memory_weights)


@dataclass
class MemoryBank:
    """The bounded memory of one track, oldest first in every list."""

    conditioning: list[Memory] = field(default_factory=list)
    conditioning_pointers: list[Pointer] = field(default_factory=list)
    recent: list[Memory] = field(default_factory=list)
    recent_pointers: list[Pointer] = field(default_factory=list)

    def add_conditioning(self, memory: Memory, pointer: Pointer) -> None:
        """Add a memory to those that are always read, or as long as its rules say."""
        self.conditioning = [*self.conditioning, memory]
        self.conditioning_pointers = [*self.conditioning_pointers, pointer]

    def keep_conditioning(self, ages: Sequence[int]) -> None:
        """Drop all conditioning frames but those of these ages."""
        self.conditioning = [memory for memory in self.conditioning if memory.age in ages]
        self.conditioning_pointers = [pointer for pointer in self.conditioning_pointers if pointer.age in ages]

    def copy(self) -> "MemoryBank":
        """A bank of the same memories, which can be filled separately."""
        return MemoryBank(
            list(self.conditioning), list(self.conditioning_pointers), list(self.recent), list(self.recent_pointers)
        )


class MemoryRules(ABC):
    """What is remembered of a frame, and what a later frame attends to: one of the parts of a tracker."""

    @abstractmethod
    def remember(self, bank: MemoryBank, frame: TrackedFrame) -> None:
        """Add a frame to the bank, and drop what no later frame can select."""

    @abstractmethod
    def conditioning_limit(self) -> int:
        """The largest number of conditioning frames that a frame attends to."""

    @abstractmethod
    def select(self, bank: MemoryBank, age: int, num_frames: int) -> Selection:
        """What the frame of this age attends to; ``num_frames`` is the length of the track."""


def remember_prompted(bank: MemoryBank, frame: TrackedFrame, limit: int) -> None:
    """Add a conditioning frame; the oldest ones above ``limit`` are dropped."""
    bank.add_conditioning(Memory(frame.age, frame.spatial), Pointer(frame.age, frame.pointer))
    bank.keep_conditioning([memory.age for memory in bank.conditioning][-limit:])


def distance(frames: int, num_frames: int) -> float:
    """The temporal encoding's value of a pointer so many frames away, in a track of ``num_frames`` frames (SAM 2)."""
    return frames / (min(num_frames, MAX_OBJ_PTRS) - 1)
