"""SAM2Long: three paths of masks, of which the best is traced back.

Source: https://arxiv.org/abs/2410.16268, written from the paper. Each path has its memories and a score, the sum of the
logarithms of its predicted IoUs. On a frame whose visibility is uncertain the paths part; on others the best three of
all their candidates go on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass as checked

from samurai_batch.schema import SETTINGS_CONFIG, NonNegative, Positive, Settings
from samurai_batch.tracking.mask_choice import Choice, HighestIou, Motion
from samurai_batch.tracking.memory_bank import MemoryBank, Selection, TrackedFrame
from samurai_batch.tracking.paths import PathRules, PathsNote
from samurai_batch.tracking.rules import Rules
from samurai_batch.tracking.trackers.memory_selection import GatedFrames

if TYPE_CHECKING:
    from samurai_batch.tracking.proposals import Facts
    from samurai_batch.tracking.settings import TrackerSettings

FIRST_AGE = 2  # the frame after the first is common to all paths
LOWEST_WEIGHT, HIGHEST_WEIGHT = 0.95, 1.05  # of keys, from the lowest object score to the highest
EPSILON = 1e-5  # added to a predicted IoU before its logarithm is taken

Entry = tuple[float, int, int, int]
"""One candidate: score of its path with it, path, lane, index of the candidate."""


@checked(frozen=True, kw_only=True, config=SETTINGS_CONFIG)
class Sam2LongSettings(Settings):
    """The paper's numbers, and how long a row may wait."""

    group: ClassVar[str] = "tracker"

    sam2long_num_paths: Positive = 3
    """Number of paths (sam2long only)."""

    sam2long_iou_threshold: NonNegative = 0.1
    """Predicted IoU that a frame must exceed to be remembered by its path (sam2long only)."""

    sam2long_uncertainty: NonNegative = 2.0
    """Distance of the object score logit from 0 up to which a frame is uncertain (sam2long only)."""

    sam2long_max_wait_frames: Positive = 75
    """Number of frames that a row may wait to be decided (sam2long only). Default: five times the fifteen frames that a
    path remembers, as is usual for decoders that trace back. It bounds the track state."""


@dataclass(frozen=True)
class WeightedFrames(GatedFrames):
    """The memories of one path: frames with a good mask of a visible object, keys weighted by object score."""

    max_conditioning: int
    iou_threshold: float

    def passes(self, frame: TrackedFrame) -> bool:
        """Whether the mask is good and the object visible."""
        return frame.mask_score > self.iou_threshold and frame.object_score > 0

    def select(self, bank: MemoryBank, age: int, num_frames: int) -> Selection:
        """As all gated frames; keys have no weights as long as there are only conditioning frames."""
        found = super().select(bank, age, num_frames)
        if not bank.recent:
            return found
        memories, pointers = (weights([one.object_score for one in part]) for part in (found.memories, found.pointers))
        return Selection(found.memories, found.ranks, found.pointers, found.pointer_times, memories, pointers)


def weights(scores: Sequence[float]) -> tuple[float, ...]:
    """Evenly spaced weights in the order of scores, ascending; 1 for a single score."""
    if len(scores) == 1:
        return (1.0,)
    step = (HIGHEST_WEIGHT - LOWEST_WEIGHT) / (len(scores) - 1)
    order = sorted(range(len(scores)), key=scores.__getitem__)
    ranks = {index: rank for rank, index in enumerate(order)}
    return tuple(LOWEST_WEIGHT + step * ranks[index] for index in range(len(scores)))


@dataclass(frozen=True)
class BestPaths(PathRules):
    """The paths with the highest scores, or, on an uncertain frame, with masks that differ."""

    num_paths: int
    uncertainty: float
    max_wait_frames: int

    def next_paths(
        self, note: PathsNote, facts: "Sequence[Facts]", age: int
    ) -> tuple[list[tuple[int, Choice]], PathsNote]:
        """Section 3 of the paper."""
        paths = list(zip(note.scores, note.lanes, strict=True))
        paths *= self.num_paths if len(paths) == 1 else 1  # all are equal at first
        found: list[Entry] = [
            (score + math.log(iou + EPSILON), path, lane, index)
            for path, (score, lane) in enumerate(paths)
            for index, iou in enumerate(facts[lane].ious)
        ]
        found.sort(key=lambda entry: -entry[0])
        is_certain = max(abs(seen.object_score) for seen in facts) > self.uncertainty
        chosen = found[: self.num_paths]
        if age < FIRST_AGE:
            chosen = [next(entry for entry in found if entry[1] == path) for path in range(len(paths))]
        elif not is_certain:
            chosen = self._distinct(found, facts)
        lanes = list(dict.fromkeys((lane, index) for _, _, lane, index in chosen))
        after = PathsNote(
            scores=tuple(entry[0] for entry in chosen),
            lanes=tuple(lanes.index(entry[2:]) for entry in chosen),
            parents=(*note.parents, tuple(lane for lane, _ in lanes)),
            first_age=note.first_age,
        )
        return [(lane, Choice(index, None, Motion())) for lane, index in lanes], after

    def _distinct(self, found: list[Entry], facts: "Sequence[Facts]") -> list[Entry]:
        """The best candidates of different signed IoUs, then the best of other paths, then the best of the rest."""
        taken: dict[float, Entry] = {}
        for entry in found:
            _, _, lane, index = entry
            sign = 1 if facts[lane].object_score > 0 else -1
            taken.setdefault(round(sign * facts[lane].ious[index], 2), entry)
        chosen = list(taken.values())[: self.num_paths]
        for entry in found:
            if len(chosen) < self.num_paths and entry[1] not in {one[1] for one in chosen}:
                chosen.append(entry)
        rest = [entry for entry in found if entry not in chosen]
        return sorted([*chosen, *rest[: self.num_paths - len(chosen)]], key=lambda entry: -entry[0])


def combine(settings: "TrackerSettings") -> Rules:
    """The rules of ``mode: sam2long``."""
    memory = WeightedFrames(settings.max_cond_frames_in_attn, settings.sam2long_iou_threshold)
    paths = BestPaths(settings.sam2long_num_paths, settings.sam2long_uncertainty, settings.sam2long_max_wait_frames)
    return Rules(HighestIou(), memory, paths=paths)
