"""What there is to do: videos, prompts, tracks. Plain frozen values, used by every layer.

They cannot be wrong: what makes no sense in itself raises PromptError when it is made. Whether a prompt fits its video
is known once that is opened (`planning.validation`).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from typing import Literal, get_args

from samurai_batch import checks
from samurai_batch.errors import PromptError

Direction = Literal["forward", "backward", "both"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
Box = tuple[float, float, float, float]
TrackId = tuple[str, str]
"""What names a track in one output: video_id and object_id."""


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

    def __post_init__(self) -> None:
        _check_frame(self)
        if not checks.is_plain_box(self.box_xyxy):
            _put(self, "box_xyxy", checks.box(self.box_xyxy, f"on frame {self.frame_index}"))


@dataclass(frozen=True, slots=True)
class PointsPrompt:
    """Clicks in pixels of the original video; a label is 1 on the object, 0 beside it."""

    frame_index: int
    points_xy: tuple[tuple[float, float], ...]
    labels: tuple[int, ...]

    def __post_init__(self) -> None:
        _check_frame(self)
        where = f"on frame {self.frame_index}"
        _put(self, "points_xy", checks.points(self.points_xy, where))
        _put(self, "labels", checks.labels(self.labels, len(self.points_xy), where))


@dataclass(frozen=True, slots=True)
class MaskPrompt:
    """The object's mask at the original video's size; `encode_mask` makes it of an array."""

    frame_index: int
    mask: Rle

    def __post_init__(self) -> None:
        _check_frame(self)
        if not isinstance(self.mask, Rle):
            what = "None, as of a mask without a pixel" if self.mask is None else f"of type {type(self.mask).__name__}"
            reason = "give what encode_mask makes of a (height, width) array of bool with at least one True"
            raise PromptError(f"the mask on frame {self.frame_index} is {what}: {reason}")


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """Words that are looked up on a frame: every object found there becomes a track of its own."""

    frame_index: int
    text: str

    def __post_init__(self) -> None:
        _check_frame(self)
        checks.text(self.text, f"the text on frame {self.frame_index}")


@dataclass(frozen=True, slots=True)
class EverythingPrompt:
    """Nothing in particular: every automatic mask of the frame becomes a track of its own."""

    frame_index: int

    def __post_init__(self) -> None:
        _check_frame(self)


AutoPrompt = TextPrompt | EverythingPrompt
"""What has to be looked up before anything can be followed; such a prompt stands alone in its track."""

Prompt = BoxPrompt | PointsPrompt | MaskPrompt | AutoPrompt


@dataclass(frozen=True, slots=True)
class Video:
    """One file or one folder of numbered frames."""

    video_id: str
    uri: str

    def __post_init__(self) -> None:
        checks.identifier(self.video_id, "video_id")
        _put(self, "uri", checks.uri(self.uri, f"the uri of video {self.video_id!r}"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Leg:
    """One direction of one track: the frames it covers, from its first conditioning frame on.

    ``start_frame`` is that first conditioning frame; ``end_frame`` is the last frame, included, or None for the end
    of the video. A reverse leg has ``end_frame <= start_frame``. ``first_row`` is the first frame that the leg writes
    a row for: the backward leg of a track that goes both ways begins on the prompted frame, whose row the forward leg
    writes. ``fingerprint`` names the saved work of the track in a job; it is "" where no work is saved.
    """

    track: "Track" = field(repr=False)
    reverse: bool
    start_frame: int
    end_frame: int | None
    first_row: int
    fingerprint: str = ""

    def covers(self, frame_index: int) -> bool:
        """Whether the track is propagated on this frame."""
        if self.reverse:
            assert self.end_frame is not None
            return self.end_frame <= frame_index <= self.start_frame
        return self.start_frame <= frame_index and (self.end_frame is None or frame_index <= self.end_frame)

    def writes(self, frame_index: int) -> bool:
        """Whether the leg writes a row for this frame."""
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

    def __post_init__(self) -> None:
        if not isinstance(self.video, Video):
            raise PromptError(f"video is {checks.shown(self.video)}: it should be a Video(video_id, uri)")
        checks.identifier(self.object_id, "object_id")
        try:
            _put(self, "prompts", _checked_prompts(self.prompts))
            checks.one_of(self.direction, DIRECTIONS, "direction")
            self._check_span()
            _check_together(self.prompts)
        except PromptError as error:
            raise PromptError(f"video {self.video.video_id!r}, object {self.object_id!r}: {error}") from None

    def _check_span(self) -> None:
        for name, value in (("start_frame", self.start_frame), ("end_frame", self.end_frame)):
            if value is not None and not checks.is_plain_frame(value):
                _put(self, name, checks.frame_index(value, name))
        start, end = self.start_frame or 0, self.end_frame
        if end is not None and end < start:
            raise PromptError(f"end_frame {end} lies before start_frame {start}; exchange them")
        for prompt in self.prompts:
            if prompt.frame_index < start or (end is not None and prompt.frame_index > end):
                span = f"{start} to {'the last' if end is None else end}"
                reason = f"outside the frames of its track, {span}; move the prompt or widen the span"
                raise PromptError(f"the prompt on frame {prompt.frame_index} is {reason}")

    @property
    def track_id(self) -> TrackId:
        """(video_id, object_id)."""
        return self.video.video_id, self.object_id

    @property
    def auto_prompt(self) -> AutoPrompt | None:
        """The prompt that has to be looked up before anything can be followed; None if there is none."""
        first = next(iter(self.prompts), None)
        return first if isinstance(first, AutoPrompt) else None

    def tracks_of_detections(self, found: Sequence[Prompt]) -> "tuple[Track, ...]":
        """The tracks in place of this one once it is looked up: ``<object_id>#0``, ``#1``, … one for each prompt."""
        return tuple(
            replace(self, object_id=f"{self.object_id}#{number}", prompts=(prompt,))
            for number, prompt in enumerate(found)
        )

    @property
    def legs(self) -> tuple[Leg, ...]:
        """The one or two directions in which this track is propagated; their rows do not overlap."""
        leg = partial(Leg, track=self)
        frames = [prompt.frame_index for prompt in self.prompts]
        first, last, lowest = min(frames), max(frames), self.start_frame or 0
        forward = leg(reverse=False, start_frame=first, end_frame=self.end_frame, first_row=first)
        if self.direction == "forward":
            return (forward,)
        if self.direction == "backward":
            return (leg(reverse=True, start_frame=last, end_frame=lowest, first_row=last),)
        return (forward, leg(reverse=True, start_frame=first, end_frame=lowest, first_row=first - 1))


def check_distinct(tracks: Iterable[Track]) -> None:
    """Raise PromptError for two tracks of one video_id and object_id, or two URIs of one video_id."""
    seen: set[TrackId] = set()
    uris: dict[str, str] = {}
    for track in tracks:
        video_id, uri = track.video.video_id, track.video.uri
        if track.track_id in seen:
            reason = "there are two tracks of that name; give each an object_id of its own, or one track all prompts"
            raise PromptError(f"video {video_id!r}, object {track.object_id!r}: {reason}")
        if uris.setdefault(video_id, uri) != uri:
            raise PromptError(f"video {video_id!r} has two URIs in these tracks; give each video a video_id of its own")
        seen.add(track.track_id)


def _check_frame(prompt: "Prompt") -> None:
    if not checks.is_plain_frame(prompt.frame_index):
        _put(prompt, "frame_index", checks.frame_index(prompt.frame_index))


_put = object.__setattr__
"""How a frozen value takes what a check has made of one of its fields."""


def _checked_prompts(prompts: Iterable[Prompt]) -> tuple[Prompt, ...]:
    if isinstance(prompts, Prompt) or not isinstance(prompts, Iterable):
        raise PromptError(f"prompts is a {type(prompts).__name__}: it should be a tuple of prompts")
    checked = prompts if type(prompts) is tuple else tuple(prompts)
    if not checked:
        raise PromptError("it has no prompt; give at least one, such as BoxPrompt(0, (x1, y1, x2, y2))")
    for prompt in checked:
        if not isinstance(prompt, Prompt):
            raise PromptError(f"{checks.shown(prompt)} is not a prompt; give a BoxPrompt, PointsPrompt or MaskPrompt")
    return checked


def _check_together(prompts: Sequence[Prompt]) -> None:
    """What finds objects stands alone in its track; each frame says where the object is, by one box or mask at most."""
    if len(prompts) == 1 and not isinstance(prompts[0], PointsPrompt):
        return
    if any(isinstance(prompt, AutoPrompt) for prompt in prompts):
        raise PromptError("what is looked up (text, everything) finds objects of its own; give it a track of its own")
    by_frame = sorted(prompts, key=lambda prompt: prompt.frame_index)
    for frame_index, group in groupby(by_frame, key=lambda prompt: prompt.frame_index):
        of_frame = set(group)  # what is said twice is said once
        kinds = Counter(map(type, of_frame))
        if kinds[BoxPrompt] > 1:
            raise PromptError(f"frame {frame_index} has {kinds[BoxPrompt]} boxes; keep one of them")
        if kinds[MaskPrompt] and len(of_frame) > 1:
            raise PromptError(f"frame {frame_index} has a mask, which stands alone; remove its other prompts")
        if not any(1 in prompt.labels if isinstance(prompt, PointsPrompt) else True for prompt in of_frame):
            raise PromptError(f"frame {frame_index} has only negative points; add a box, or a point with label 1")
