"""Videos, prompts and tracks: plain frozen values, used by every layer.

Making one with a wrong value raises PromptError. Whether a prompt lies inside its video is checked when the video is
opened (`planning.validation`).
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, get_args

from samurai_batch import checks
from samurai_batch.checks import checked, shown
from samurai_batch.errors import PromptError
from samurai_batch.frame_sampling import ALL_FRAMES, FrameSampling
from samurai_batch.prompts import AutoPrompt, FromVideoPrompt, Prompt, check_together, checked_prompts

Direction = Literal["forward", "backward", "both"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
TrackId = tuple[str, str]
"""What names a track in one output: video_id and object_id."""


@dataclass(frozen=True, slots=True)
class Video:
    """A video file, or a folder of numbered frames; or several files that are one video, their URIs one a line."""

    video_id: str
    uri: str

    def __post_init__(self) -> None:
        checked(checks.identifier, self.video_id, "video_id")
        _put(self, "uri", checked(checks.uri, self.uri, f"uri of video {self.video_id!r}"))

    @property
    def num_files(self) -> int:
        """The number of its files, or folders."""
        return self.uri.count("\n") + 1


@dataclass(frozen=True)
class VideoInfo:
    """Length and size of a video.

    ``num_frames`` is what the video declares: a truncated one yields fewer. ``height`` and ``width`` are pixels as
    displayed, after rotation.
    """

    num_frames: int
    height: int
    width: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Leg:
    """One direction of a track: the frames through which its mask is propagated.

    ``start_frame`` is the first conditioning frame, or the first one at all where conditioning frames are those of
    another video; ``end_frame`` is the last frame, included; None: the end of the video. A reverse leg has
    ``end_frame <= start_frame``. ``first_row`` is the first frame for which the leg writes a row: the prompted frame of
    a track that goes both ways is written by the forward leg.
    ``fingerprint`` names the saved work of the track in a job; it is "" if no work is saved.
    """

    track: "Track" = field(repr=False)
    reverse: bool
    start_frame: int
    end_frame: int | None
    first_row: int
    fingerprint: str = ""

    def covers(self, frame_index: int) -> bool:
        """Whether the mask is propagated to this frame."""
        return self.spans(frame_index) and self.track.samples(frame_index) and not self._has_ended(frame_index)

    def spans(self, frame_index: int) -> bool:
        """Whether the frame lies between the first and the last one of the leg."""
        if self.reverse:
            assert self.end_frame is not None
            return self.end_frame <= frame_index <= self.start_frame
        return self.start_frame <= frame_index and (self.end_frame is None or frame_index <= self.end_frame)

    def _has_ended(self, frame_index: int) -> bool:
        """Whether a cut has ended the track: no frame of this shot that the leg has come through has a prompt."""
        track, shot = self.track, self.track.shot_of(frame_index)
        within = range(frame_index, self.start_frame + 1) if self.reverse else range(self.start_frame, frame_index + 1)
        prompted = (one.frame_index for one in track.prompts if one.frame_index in within)
        return track.ends_at_cuts and all(track.shot_of(one) != shot for one in prompted)

    def writes(self, frame_index: int) -> bool:
        """Whether the leg writes a row for this frame."""
        if not self.covers(frame_index):
            return False
        return frame_index <= self.first_row if self.reverse else frame_index >= self.first_row


@dataclass(frozen=True, kw_only=True, slots=True)
class Track:
    """One object to track through one video.

    ``start_frame`` and ``end_frame``, both included, are the first and last frame of the track (None: of the video);
    every prompt lies between them. The direction forward starts at the first prompted frame, backward at the last one,
    both at the first one in both directions. ``origin`` is the fingerprint of the discover prompt that started the
    track; it decides the track's prompts, and so stands for them in its fingerprint. ``sampling`` may leave out
    frames; in a job it is the job's. ``scene_cuts`` are the first frames of all shots but the first, once measured.
    """

    video: Video
    object_id: str
    prompts: tuple[Prompt, ...] = field(repr=False)
    start_frame: int | None = None
    end_frame: int | None = None
    direction: Direction = "forward"
    origin: str = field(default="", repr=False)
    sampling: FrameSampling = ALL_FRAMES
    scene_cuts: tuple[int, ...] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.video, Video):
            raise PromptError(f"video is {shown(self.video)}: it should be a Video(video_id, uri)")
        checked(checks.identifier, self.object_id, "object_id")
        try:
            _put(self, "prompts", self._named(checked_prompts(self.prompts)))
            checked(checks.one_of(DIRECTIONS), self.direction, "direction")
            self._check_span()
            check_together(self.prompts)
            self._check_carried()
        except PromptError as error:
            raise PromptError(f"video {self.video.video_id!r}, object {self.object_id!r}: {error}") from None

    def _named(self, prompts: tuple[Prompt, ...]) -> tuple[Prompt, ...]:
        """The prompts; one of kind from_video that names no object means the one of the same name."""
        if not any(isinstance(one, FromVideoPrompt) for one in prompts):
            return prompts
        return tuple(
            replace(one, object_id=self.object_id) if isinstance(one, FromVideoPrompt) and not one.object_id else one
            for one in prompts
        )

    def _check_carried(self) -> None:
        prompt = self.carried_from
        if prompt is None:
            return
        if prompt.video_id == self.video.video_id:
            raise PromptError("its from_video names its own video; name another one, or give it a box, points or mask")
        if (start := self.legs[0].start_frame) != prompt.frame_index:
            reason = f"and its track starts on frame {start}; put it there, or move the other prompts"
            raise PromptError(f"the from_video prompt is on frame {prompt.frame_index}, {reason}")

    def _check_span(self) -> None:
        for name, value in (("start_frame", self.start_frame), ("end_frame", self.end_frame)):
            if value is not None and not checks.is_plain_frame(value):
                _put(self, name, checked(checks.frame_index, value, name))
        start, end = self.start_frame or 0, self.end_frame
        if end is not None and end < start:
            raise PromptError(f"end_frame {end} is before start_frame {start}; exchange them")
        for prompt in self.prompts:
            if prompt.frame_index < start or (end is not None and prompt.frame_index > end):
                span = f"{start} to {'the last' if end is None else end}"
                reason = f"outside the frames of its track, {span}; move the prompt or widen the span"
                raise PromptError(f"the prompt on frame {prompt.frame_index} is {reason}")

    @property
    def track_id(self) -> TrackId:
        """(video_id, object_id)."""
        return self.video.video_id, self.object_id

    def samples(self, frame_index: int) -> bool:
        """Whether a frame within the track is tracked."""
        every = self.sampling.every
        return frame_index % every == 0 or any(prompt.frame_index == frame_index for prompt in self.prompts)

    def is_prompted_on(self, frame_index: int) -> bool:
        """Whether a prompt says where the object is on this frame; from_video does not."""
        return any(one.frame_index == frame_index and not isinstance(one, FromVideoPrompt) for one in self.prompts)

    @property
    def ends_at_cuts(self) -> bool:
        """Whether there are cuts, and they end the track."""
        return self.sampling.on_cut == "end" and bool(self.scene_cuts)

    def shot_of(self, frame_index: int) -> int:
        """The shot of a frame, from 0, as far as cuts have been measured."""
        return bisect_right(self.scene_cuts or (), frame_index)

    @property
    def auto_prompt(self) -> AutoPrompt | None:
        """The prompt whose objects are detected first; None if the track has none."""
        first = next(iter(self.prompts), None)
        return first if isinstance(first, AutoPrompt) else None

    @property
    def carried_from(self) -> FromVideoPrompt | None:
        """The prompt by which it begins with the memories of another track; None if it has none."""
        return next((prompt for prompt in self.prompts if isinstance(prompt, FromVideoPrompt)), None)

    def tracks_of_detections(self, found: Sequence[Prompt]) -> "tuple[Track, ...]":
        """The tracks that replace this one, one for each detected prompt, called ``<object_id>#0``, ``#1``, …"""
        return tuple(
            replace(self, object_id=f"{self.object_id}#{number}", prompts=(prompt,))
            for number, prompt in enumerate(found)
        )

    @property
    def legs(self) -> tuple[Leg, ...]:
        """One leg for each direction; their rows do not overlap."""
        leg = partial(Leg, track=self)
        frames = [prompt.frame_index for prompt in self.prompts]
        first, last, lowest = min(frames), max(frames), self.start_frame or 0
        forward = leg(reverse=False, start_frame=first, end_frame=self.end_frame, first_row=first)
        if self.direction == "forward":
            return (forward,)
        if self.direction == "backward":
            return (leg(reverse=True, start_frame=last, end_frame=lowest, first_row=last),)
        return (forward, leg(reverse=True, start_frame=first, end_frame=lowest, first_row=first - 1))


def possible_prompts(track_id: TrackId) -> list[TrackId]:
    """The tracks whose prompt may have detected an object of this name: ``x`` of ``x#0`` and of ``x#cup-10-0``.

    Names of classes may have a ``#``, too; then there are several.
    """
    video_id, object_id = track_id
    return [(video_id, object_id[:place]) for place, sign in enumerate(object_id) if sign == "#"]


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


_put = object.__setattr__  # sets a field of a frozen dataclass while it is being made
