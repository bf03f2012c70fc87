"""What SENTRY knows of a track, and the gate: whether the host's mask looks like a failure. Needs no torch.

Boxes are xyxy in pixels of the video, ending after their last pixel. A frame's *accepted* box is that of the mask that
it was given, the host's or another.
"""

import math
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass as checked

from samurai_batch.prompts import Box
from samurai_batch.tracking.rules import Note
from samurai_batch.tracking.sentry.position import Point, Position, predict, update

if TYPE_CHECKING:
    from samurai_batch.tracking.settings import TrackerSettings

AgedBoxes = tuple[tuple[int, Box], ...]
"""Boxes with the ages of their frames, oldest first: a trajectory."""


@checked(frozen=True, kw_only=True)
class SentryNote(Note):
    """A track after a frame.

    areas: of the last accepted boxes, oldest first; last_box: the last of these; frames, ages, boxes: index, age and
    accepted box of the last frames, oldest first; closed_until: the age up to which the gate stays closed;
    pool: trajectories of the masks that were tested last; position: where the object is expected.
    """

    key: ClassVar[str] = "sentry"
    areas: tuple[float, ...] = ()
    last_box: Box | None = None
    frames: tuple[int, ...] = ()
    ages: tuple[int, ...] = ()
    boxes: tuple[Box | None, ...] = ()
    closed_until: int = -1
    pool: tuple[AgedBoxes, ...] = ()
    position: Position | None = None

    @property
    def usual_area(self) -> float | None:
        """The median of the last areas; None if there are none."""
        return median(self.areas) if self.areas else None

    @property
    def num_known(self) -> int:
        """The number of the last frames that have a box."""
        return sum(box is not None for box in self.boxes)

    @property
    def history(self) -> dict[int, Box]:
        """The accepted boxes of the last frames, by age."""
        return {age: box for age, box in zip(self.ages, self.boxes, strict=True) if box is not None}

    def expected(self, height: int, width: int, settings: "TrackerSettings") -> "tuple[Point | None, SentryNote]":
        """Where the object is expected on the next frame, None before it was first seen; and the note there."""
        if self.position is None:
            return None, self
        centre, position = predict(self.position, height, width, settings)
        return centre, replace(self, position=position)

    def accepted(self, age: int, frame: int, box: Box | None, settings: "TrackerSettings") -> "SentryNote":
        """The note after a frame of this age and index, with the box of its mask."""
        last = slice(-settings.sentry_reverse_frames, None)
        frames, ages, boxes = (*self.frames, frame)[last], (*self.ages, age)[last], (*self.boxes, box)[last]
        after = replace(self, frames=frames, ages=ages, boxes=boxes)
        if box is None:
            return after
        areas = (*self.areas, area_of(box))[-settings.sentry_history_window :]
        position = update(self.position or Position(), centre_of(box), settings)
        return replace(after, areas=areas, last_box=box, position=position)


def is_failure(note: SentryNote, age: int, box: Box | None, predicted_iou: float, settings: "TrackerSettings") -> bool:
    """Whether the gate is open: the host's mask, with this box and predicted IoU, looks like a failure."""
    if age <= note.closed_until:
        return False
    usual = note.usual_area
    if box is None:
        return True
    if usual is None or note.last_box is None or len(note.areas) < settings.sentry_min_history:
        return False
    ratio = area_of(box) / usual
    if not settings.sentry_area_collapse <= ratio <= settings.sentry_area_expand:
        return True
    jump = math.dist(centre_of(box), centre_of(note.last_box))
    is_odd = not settings.sentry_jump_min_area_ratio <= ratio <= settings.sentry_jump_max_area_ratio
    is_unsure = predicted_iou < settings.sentry_low_confidence
    return jump > settings.sentry_center_jump_scale * math.sqrt(usual) and (is_odd or is_unsure)


def area_of(box: Box) -> float:
    """Area of a box."""
    return (box[2] - box[0]) * (box[3] - box[1])


def centre_of(box: Box) -> Point:
    """Centre of a box."""
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
