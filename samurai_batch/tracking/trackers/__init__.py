"""All trackers, by the name that the field ``mode`` of a job holds. Needs no torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from samurai_batch.schema import Settings
from samurai_batch.tracking.rules import Rules
from samurai_batch.tracking.trackers import dam4sam, memory_selection, sam2, sam2long, samurai

if TYPE_CHECKING:
    from samurai_batch.tracking.settings import TrackerSettings

Mode = Literal["samurai", "sam2", "dam4sam", "memory_selection", "sam2long"]


@dataclass(frozen=True, kw_only=True)
class TrackerKind:
    """One tracker: a sentence about it, its rules, its own settings, and the object score at which it sees nothing.

    ``has_paths``: it follows several paths, of which one is decided later (`paths`).
    """

    summary: str
    combine: "Callable[[TrackerSettings], Rules]"
    settings: type[Settings] | None = None
    min_obj_score_logits: float = 0.0
    has_paths: bool = False


TRACKERS: Mapping[Mode, TrackerKind] = {
    "samurai": TrackerKind(
        summary="SAM 2 with motion model and memory selection", combine=samurai.combine, min_obj_score_logits=-1.0
    ),
    "sam2": TrackerKind(summary="plain SAM 2", combine=sam2.combine),
    "dam4sam": TrackerKind(
        summary="SAM 2 with a memory of frames with distractors",
        combine=dam4sam.combine,
        settings=dam4sam.Dam4SamSettings,
    ),
    "memory_selection": TrackerKind(
        summary="SAM 2 with the memory selection of SAM 3",
        combine=memory_selection.combine,
        settings=memory_selection.MemorySelectionSettings,
    ),
    "sam2long": TrackerKind(
        summary="SAM 2 with three paths, of which the best is traced back",
        combine=sam2long.combine,
        settings=sam2long.Sam2LongSettings,
        has_paths=True,
    ),
}
