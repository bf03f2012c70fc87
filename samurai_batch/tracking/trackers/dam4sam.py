"""DAM4SAM: SAM 2 with a distractor-aware memory.

Source: https://arxiv.org/abs/2411.17576. Two kinds of memory: *anchors* (DRM in the paper) are the prompted frames, and
those on which a distractor showed up while the mask was reliable; *recent* frames (RAM) are the previous one, and one
in five. A mask is *visible* if a cell of its low-resolution logits is above 0.
"""

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass as checked

from samurai_batch.modeling.configs import NUM_MASKMEM
from samurai_batch.schema import SETTINGS_CONFIG, Count, Number, Positive, Settings
from samurai_batch.tracking.distractors import has_distractor
from samurai_batch.tracking.mask_choice import Choice, HighestIou
from samurai_batch.tracking.memory_bank import (
    CONDITIONING_RANK,
    NUM_POINTERS,
    Memory,
    MemoryBank,
    MemoryRules,
    Pointer,
    Selection,
    TrackedFrame,
    distance,
)
from samurai_batch.tracking.rules import Note, Promotion, Rules

if TYPE_CHECKING:
    from samurai_batch.tracking.proposals import Facts
    from samurai_batch.tracking.settings import TrackerSettings
    from samurai_batch.tracking.track_state import TrackState

STRIDE = 5  # of the recent frames before the newest one
NUM_AREAS, NUM_OF_MEDIAN = 300, 10  # areas that are known, and the newest of them that are not 0


@checked(frozen=True, kw_only=True, config=SETTINGS_CONFIG)
class Dam4SamSettings(Settings):
    """When a frame becomes an anchor, by the authors' thresholds."""

    group: ClassVar[str] = "tracker"

    drm_min_iou: Number = 0.8
    """Predicted IoU that the mask of a frame must exceed for the frame to become an anchor (dam4sam only)."""

    drm_min_area_ratio: Number = 0.8
    """Lowest ratio of the mask's area and the median of recent areas of an anchor (dam4sam only)."""

    drm_max_area_ratio: Number = 1.2
    """Highest ratio of the mask's area and the median of recent areas of an anchor (dam4sam only)."""

    drm_min_gap_frames: Count = 5
    """Number of frames that must lie more than this after the last anchor (dam4sam only)."""

    drm_max_box_iou: Number = 0.7
    """IoU of the mask's box and its box with a distractor at or below which there is a distractor (dam4sam only)."""

    drm_max_anchors: Positive = 4
    """Number of anchors, prompted frames included, that memory attention reads, at most 6 (dam4sam only)."""


@checked(frozen=True, kw_only=True)
class AnchorNote(Note):
    """Areas of the last masks in pixels of the video, oldest first, and the age of the last promoted frame."""

    key: ClassVar[str] = "dam4sam"
    areas_px: tuple[int, ...] = ()
    last_promoted: int | None = None


@dataclass(frozen=True)
class DistractorPromotion(Promotion):
    """Promotes a frame with a reliable mask of usual area beside which another candidate shows a distractor."""

    settings: "TrackerSettings"

    def promotes(self, state: "TrackState", facts: "Facts", choice: Choice) -> bool:
        """Section 3.2 of the paper; frame ages instead of frame numbers."""
        assert facts.masks is not None
        note = state.note(AnchorNote)
        areas = (*note.areas_px, facts.masks.extent(choice.index).area_px)[-NUM_AREAS:]
        promotes = self._is_reliable(facts.ious[choice.index], areas, state.age, note.last_promoted) and has_distractor(
            facts.masks, len(facts.ious), choice.index, self.settings.drm_max_box_iou
        )
        state.keep(AnchorNote(areas_px=areas, last_promoted=state.age if promotes else note.last_promoted))
        return promotes

    def _is_reliable(self, iou: float, areas_px: tuple[int, ...], age: int, last_promoted: int | None) -> bool:
        settings, area = self.settings, areas_px[-1]
        is_early = last_promoted is not None and age - last_promoted <= settings.drm_min_gap_frames
        if age < 2 or is_early or iou <= settings.drm_min_iou or area < 1:
            return False
        ratio = area / median([one for one in areas_px if one > 0][-NUM_OF_MEDIAN:])
        return settings.drm_min_area_ratio <= ratio <= settings.drm_max_area_ratio


@dataclass(frozen=True)
class AnchorsAndStrides(MemoryRules):
    """Anchors at the conditioning frames' row; recent frames by rank: the newest, then visible multiples of five."""

    num_anchors: int

    def remember(self, bank: MemoryBank, frame: TrackedFrame) -> None:
        """Of frames that are not visible nothing is kept."""
        bank.recent_pointers = [p for p in bank.recent_pointers if frame.age - p.age < NUM_POINTERS]
        memory = Memory(frame.age, frame.spatial, is_promoted=frame.is_promoted)
        pointer = Pointer(frame.age, frame.pointer)
        if frame.is_prompted or frame.is_promoted:
            bank.add_conditioning(memory, pointer)
            # The previous frame is not read as an anchor, so one more is kept.
            older = self._read([m for m in bank.conditioning if m.age < frame.age])
            bank.keep_conditioning([*(m.age for m in older), frame.age])
        if frame.is_visible and not frame.is_prompted:
            bank.recent_pointers.append(pointer)
            if not frame.is_promoted:
                strides = [m for m in bank.recent if m.age % STRIDE == 0][2 - NUM_MASKMEM :]
                bank.recent = [*strides, memory]

    def conditioning_limit(self) -> int:
        """The number of anchors."""
        return self.num_anchors

    def _read(self, anchors: list[Memory]) -> list[Memory]:
        """The prompted frames, of several the newest, and the newest promoted ones."""
        prompted = [m for m in anchors if not m.is_promoted][-self.num_anchors :]
        promoted = [m for m in reversed(anchors) if m.is_promoted][: self.num_anchors - len(prompted)]
        return [*prompted, *reversed(promoted)]

    def select(self, bank: MemoryBank, age: int, num_frames: int) -> Selection:
        """Pointers' times count the frames so far, so nothing depends on the length of the video."""
        previous = [m for m in bank.conditioning if m.age == age - 1 and m.is_promoted]
        anchors = self._read([m for m in bank.conditioning if m not in previous])
        newest = previous or bank.recent[-1:]
        strides = [m for m in bank.recent if m.age % STRIDE == 0 and newest and m.age < newest[0].age]
        recent = [*newest, *reversed(strides)][: NUM_MASKMEM - len(anchors)]
        ages = {m.age for m in anchors}
        pointers = [p for p in bank.conditioning_pointers if p.age in ages]
        pointers += [p for p in reversed(bank.recent_pointers) if age - p.age <= NUM_POINTERS and p.age not in ages]
        return Selection(
            memories=(*anchors, *recent),
            ranks=(*(CONDITIONING_RANK for _ in anchors), *range(len(recent))),
            pointers=tuple(pointers),
            pointer_times=tuple(distance(age - p.age, age + 1) for p in pointers),
        )


def combine(settings: "TrackerSettings") -> Rules:
    """The rules of ``mode: dam4sam``."""
    memory = AnchorsAndStrides(min(settings.drm_max_anchors, NUM_MASKMEM - 1))
    return Rules(HighestIou(), memory, DistractorPromotion(settings), needs_masks=True, masks_from_points=True)
