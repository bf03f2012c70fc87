"""A tracker written by the section "Add a tracker" of the architecture page, but for the registry.

It takes the candidate of the highest predicted IoU, remembers every third frame, and makes anchors of the first two
frames on which the mask is larger than ever before.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass as checked

from samurai_batch.schema import SETTINGS_CONFIG, Positive
from samurai_batch.tracking.mask_choice import Choice, HighestIou
from samurai_batch.tracking.memory_bank import (
    Memory,
    MemoryBank,
    MemoryRules,
    Pointer,
    Selection,
    TrackedFrame,
    remember_prompted,
)
from samurai_batch.tracking.rules import Note, Promotion, Rules
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.trackers.sam2 import select_with_all_pointers

if TYPE_CHECKING:
    from samurai_batch.tracking.proposals import Facts
    from samurai_batch.tracking.track_state import TrackState


@checked(frozen=True, kw_only=True, config=SETTINGS_CONFIG)
class ToySettings(TrackerSettings):
    """The settings of the toy tracker, and those of all trackers."""

    toy_stride: Positive = 3
    """Number of frames from one that is remembered to the next."""


@checked(frozen=True, kw_only=True)
class LargestArea(Note):
    """The largest area so far, in pixels of the video."""

    key: ClassVar[str] = "toy"
    area_px: int = 0
    num_promoted: int = 0


@dataclass(frozen=True)
class PromoteLarger(Promotion):
    """Promotes the first two frames whose mask is larger than all before."""

    def promotes(self, state: "TrackState", facts: "Facts", choice: Choice) -> bool:
        assert facts.masks is not None
        note, area = state.note(LargestArea), facts.masks.extent(choice.index).area_px
        promotes = area > note.area_px and note.num_promoted < 2
        state.keep(LargestArea(area_px=max(area, note.area_px), num_promoted=note.num_promoted + promotes))
        return promotes


@dataclass(frozen=True)
class EveryNth(MemoryRules):
    """The anchors, and the last three of every n-th frame, ranked by order."""

    stride: int

    def remember(self, bank: MemoryBank, frame: TrackedFrame) -> None:
        if frame.is_prompted or frame.is_promoted:
            remember_prompted(bank, frame, limit=self.conditioning_limit())
        elif frame.age % self.stride == 0:
            bank.recent = [*bank.recent, Memory(frame.age, frame.spatial)][-3:]
            bank.recent_pointers = [*bank.recent_pointers, Pointer(frame.age, frame.pointer)][-3:]

    def conditioning_limit(self) -> int:
        return 3

    def select(self, bank: MemoryBank, age: int, num_frames: int) -> Selection:
        ranks = [*reversed(range(len(bank.recent)))]
        return select_with_all_pointers(bank, bank.recent, ranks, age, num_frames)


def combine(settings: ToySettings) -> Rules:
    return Rules(HighestIou(), EveryNth(settings.toy_stride), PromoteLarger(), needs_masks=True)
