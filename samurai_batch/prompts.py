"""Prompts: what a user says of the object of a track, as plain frozen values."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from samurai_batch import checks
from samurai_batch.checks import checked, shown
from samurai_batch.errors import PromptError

Box = checks.Box


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
            _put(self, "box_xyxy", checked(checks.box, self.box_xyxy, f"box_xyxy on frame {self.frame_index}"))


@dataclass(frozen=True, slots=True)
class PointsPrompt:
    """Points in pixels of the original video, and a label for each: 1 on the object, 0 beside it."""

    frame_index: int
    points_xy: tuple[tuple[float, float], ...]
    labels: tuple[int, ...]

    def __post_init__(self) -> None:
        _check_frame(self)
        where = f"on frame {self.frame_index}"
        _put(self, "points_xy", checked(checks.points, self.points_xy, f"points_xy {where}"))
        _put(self, "labels", checked(checks.labels, self.labels, f"labels {where}"))
        if len(self.labels) != len(self.points_xy):
            counts = f"{len(self.labels)} label(s) for {len(self.points_xy)} point(s)"
            raise PromptError(f"{counts} {where}; give one label for each point")


@dataclass(frozen=True, slots=True)
class MaskPrompt:
    """The object's mask at the size of the original video; `encode_mask` makes one from an array."""

    frame_index: int
    mask: Rle

    def __post_init__(self) -> None:
        _check_frame(self)
        if not isinstance(self.mask, Rle):
            what = "empty" if self.mask is None else f"of type {type(self.mask).__name__}"
            remedy = "give encode_mask(array), where array is (height, width), bool, and has at least one True"
            raise PromptError(f"mask on frame {self.frame_index} is {what}: {remedy}")


@dataclass(frozen=True, slots=True)
class FromVideoPrompt:
    """No mask: the memories of a track of another video, ``video_id`` and ``object_id`` in the same output.

    They are the first conditioning frames of the track, which starts on ``frame_index``. Without an ``object_id`` it is
    that of the track. ``source`` is the fingerprint of that other track, which a job adds; "" until it is known.
    """

    frame_index: int
    video_id: str
    object_id: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        _check_frame(self)
        where = f"of the from_video prompt on frame {self.frame_index}"
        checked(checks.identifier, self.video_id, f"video_id {where}")
        if self.object_id != "":
            checked(checks.identifier, self.object_id, f"object_id {where}")

    @property
    def track_id(self) -> tuple[str, str]:
        """What names that other track: video_id and object_id."""
        return self.video_id, self.object_id


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """A text for an open-vocabulary detector: every object detected on the frame becomes a track of its own."""

    frame_index: int
    text: str

    def __post_init__(self) -> None:
        _check_frame(self)
        checked(checks.text, self.text, f"text on frame {self.frame_index}")


@dataclass(frozen=True, slots=True)
class EverythingPrompt:
    """No particular object: every automatic mask of the frame (SAM's everything mode) becomes a track of its own."""

    frame_index: int

    def __post_init__(self) -> None:
        _check_frame(self)


@dataclass(frozen=True, slots=True)
class DiscoverPrompt:
    """Every object that a detector finds on this frame or later becomes a track of its own, from where it appears.

    ``classes`` limits the objects to detections of these classes; empty: all. ``detections`` is the digest of the
    video's detections where a table gives them, and "" where the job detects. ``window`` limits the prompt to frames
    from the first to the last of it, for an order to detect there.
    """

    frame_index: int
    classes: tuple[str, ...] = ()
    detections: str = ""
    window: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        _check_frame(self)
        if isinstance(self.classes, str) or not isinstance(self.classes, Iterable):
            raise PromptError(
                f"classes is {shown(self.classes)}: it should be a list of names, as in ['car', 'person']"
            )
        _put(self, "classes", tuple(checked(checks.text, name, "class") for name in self.classes))


@dataclass(frozen=True, slots=True)
class FrameDetection:
    """What a detector has found on one frame; ``score`` is in [0, 1].

    ``box_xyxy`` is in pixels, or in shares of the picture's sides where ``is_relative``; ``mask`` is None if the
    detector gives boxes alone.
    """

    frame_index: int
    class_name: str
    score: float
    box_xyxy: Box
    mask: Rle | None = None
    is_relative: bool = False


AutoPrompt = TextPrompt | EverythingPrompt | DiscoverPrompt
"""A prompt whose objects are detected before they are tracked. It is the only prompt of its track."""

Prompt = BoxPrompt | PointsPrompt | MaskPrompt | FromVideoPrompt | AutoPrompt


def checked_prompts(prompts: Iterable[Prompt]) -> tuple[Prompt, ...]:
    """The prompts of a track as a tuple, if that is what they are."""
    if isinstance(prompts, Prompt) or not isinstance(prompts, Iterable):
        raise PromptError(f"prompts is a {type(prompts).__name__}: it should be a tuple of prompts")
    found = prompts if type(prompts) is tuple else tuple(prompts)
    if not found:
        raise PromptError("it has no prompt; give at least one, such as BoxPrompt(0, (x1, y1, x2, y2))")
    for prompt in found:
        if not isinstance(prompt, Prompt):
            raise PromptError(f"{shown(prompt)} is not a prompt; give a BoxPrompt, PointsPrompt or MaskPrompt")
    return found


def check_together(prompts: Sequence[Prompt]) -> None:
    """Check that an auto prompt is alone in its track, and that each frame has one box or mask, or a positive point."""
    if len(prompts) == 1 and not isinstance(prompts[0], PointsPrompt):
        return
    if any(isinstance(prompt, AutoPrompt) for prompt in prompts):
        kinds_of = "discover" if any(isinstance(prompt, DiscoverPrompt) for prompt in prompts) else "text or everything"
        raise PromptError(f"a {kinds_of} prompt detects several objects; give it an object_id of its own")
    if len({prompt for prompt in prompts if isinstance(prompt, FromVideoPrompt)}) > 1:
        raise PromptError("it has several from_video prompts; keep one of them")
    by_frame = sorted(prompts, key=lambda prompt: prompt.frame_index)
    for frame_index, group in groupby(by_frame, key=lambda prompt: prompt.frame_index):
        of_frame = set(group)  # repeated prompts count once
        kinds = Counter(map(type, of_frame))
        if kinds[BoxPrompt] > 1:
            raise PromptError(f"frame {frame_index} has {kinds[BoxPrompt]} boxes; keep one of them")
        if kinds[FromVideoPrompt] and len(of_frame) > 1:
            both = f"frame {frame_index} has a from_video prompt and other prompts"
            raise PromptError(f"{both}; keep from_video, which brings memories, or those that show the object")
        if kinds[MaskPrompt] and len(of_frame) > 1:
            raise PromptError(f"frame {frame_index} has a mask and other prompts; keep the mask alone")
        if not any(1 in prompt.labels if isinstance(prompt, PointsPrompt) else True for prompt in of_frame):
            raise PromptError(f"frame {frame_index} has only negative points; add a box, or a point with label 1")


def _check_frame(prompt: "Prompt") -> None:
    if not checks.is_plain_frame(prompt.frame_index):
        _put(prompt, "frame_index", checked(checks.frame_index, prompt.frame_index, "frame_index"))


_put = object.__setattr__  # sets a field of a frozen dataclass while it is being made
