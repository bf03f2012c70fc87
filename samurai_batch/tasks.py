"""What there is to do: videos, prompts, tracks. Plain frozen values, used by every layer."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Direction = Literal["forward", "backward", "both"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Rle:
    """One mask as compressed COCO run lengths, column-major (pycocotools' own form)."""

    height: int
    width: int
    counts: str


@dataclass(frozen=True, slots=True)
class BoxPrompt:
    """A box around the object: ``box_xyxy`` in pixels of the original video."""

    frame_index: int
    box_xyxy: Box

    @property
    def is_in_units(self) -> bool:
        """Whether it can only be meant in units of 0 to 1: smaller than 2 pixels both ways, with no number above 1."""
        x1, y1, x2, y2 = self.box_xyxy
        return max(self.box_xyxy) <= 1 and x2 - x1 < 2 and y2 - y1 < 2


@dataclass(frozen=True, slots=True)
class PointsPrompt:
    """Clicks in pixels of the original video; a label is 1 on the object, 0 beside it."""

    frame_index: int
    points_xy: tuple[tuple[float, float], ...]
    labels: tuple[int, ...]

    @property
    def is_in_units(self) -> bool:
        """Whether they can only be meant in units of 0 to 1: all in the first pixel, and not all on its corners."""
        numbers = [number for point in self.points_xy for number in point]
        return all(0 <= number <= 1 for number in numbers) and any(0 < number < 1 for number in numbers)


@dataclass(frozen=True, slots=True)
class MaskPrompt:
    """The object's mask at the original video's size."""

    frame_index: int
    mask: Rle


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """Words that are looked up on a frame: every object found there becomes a track of its own."""

    frame_index: int
    text: str


@dataclass(frozen=True, slots=True)
class EverythingPrompt:
    """Nothing in particular: every automatic mask of the frame becomes a track of its own."""

    frame_index: int


AskedPrompt = TextPrompt | EverythingPrompt
"""What has to be looked up before anything can be followed; such a prompt stands alone in its track."""

Prompt = BoxPrompt | PointsPrompt | MaskPrompt | AskedPrompt


@dataclass(frozen=True, slots=True)
class Video:
    """One file or one folder of numbered frames."""

    video_id: str
    uri: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Leg:
    """One direction of one track: the frames it covers, from its first conditioning frame on.

    ``start_frame`` is that first conditioning frame; ``end_frame`` is the last frame followed, included, or
    None for "to the end of the video". A reverse leg has ``end_frame <= start_frame``.
    ``first_row`` is the first frame the leg leaves a row for: the backward leg of a track that goes both
    ways begins on the prompted frame, whose row the forward leg writes.
    """

    reverse: bool
    start_frame: int
    end_frame: int | None
    first_row: int

    def covers(self, frame_index: int) -> bool:
        """Whether the leg follows its object on this frame."""
        if self.reverse:
            assert self.end_frame is not None
            return self.end_frame <= frame_index <= self.start_frame
        return self.start_frame <= frame_index and (self.end_frame is None or frame_index <= self.end_frame)

    def writes(self, frame_index: int) -> bool:
        """Whether the leg leaves a row for this frame."""
        if not self.covers(frame_index):
            return False
        return frame_index <= self.first_row if self.reverse else frame_index >= self.first_row


@dataclass(frozen=True, kw_only=True, slots=True)
class Track:
    """One object to follow through one video.

    ``start_frame`` and ``end_frame`` (both included, None for the video's own) bound the frames followed; every
    prompt lies between them. Going forward starts at the first prompted frame, going backward at the last;
    going both ways starts at the first prompted frame in both directions.
    """

    video: Video
    object_id: str
    prompts: tuple[Prompt, ...] = field(repr=False)
    start_frame: int | None = None
    end_frame: int | None = None
    direction: Direction = "forward"

    @property
    def asked(self) -> AskedPrompt | None:
        """The prompt that has to be looked up before anything can be followed; None if there is none."""
        first = next(iter(self.prompts), None)
        return first if isinstance(first, AskedPrompt) else None

    def standing_for(self, found: Sequence[Prompt]) -> "tuple[Track, ...]":
        """The tracks in place of this one once it is looked up: ``<object_id>#0``, ``#1``, … one for each prompt."""
        return tuple(
            replace(self, object_id=f"{self.object_id}#{number}", prompts=(prompt,))
            for number, prompt in enumerate(found)
        )

    @property
    def legs(self) -> tuple[Leg, ...]:
        """The one or two directions this track is followed in; their rows do not overlap."""
        frames = [prompt.frame_index for prompt in self.prompts]
        first, last, lowest = min(frames), max(frames), self.start_frame or 0
        forward = Leg(reverse=False, start_frame=first, end_frame=self.end_frame, first_row=first)
        if self.direction == "forward":
            return (forward,)
        if self.direction == "backward":
            return (Leg(reverse=True, start_frame=last, end_frame=lowest, first_row=last),)
        return (forward, Leg(reverse=True, start_frame=first, end_frame=lowest, first_row=first - 1))
