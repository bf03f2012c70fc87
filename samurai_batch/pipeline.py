"""One video, end to end, without Ray: this file tells the story.

    frames ──> encode once ──> step all tracks ──> masks in video pixels ──> rows of the mask table

A chunk is a pure function: (video, frames, track states in) -> (mask rows, track states out). Following a whole
video is calling it chunk after chunk, anywhere, with the states of the one before.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Protocol

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from samurai_batch.background import BackgroundCalls, prefetch
from samurai_batch.chunk import ChunkResult, Member
from samurai_batch.errors import ConfigError, PromptError
from samurai_batch.masks.table import MaskRow, rows_to_table
from samurai_batch.modeling.pixels import to_model_input
from samurai_batch.modeling.sam2 import SAM2
from samurai_batch.planning.chunks import frames_to_propagate, last_frame
from samurai_batch.planning.validation import VideoFacts, validation_error
from samurai_batch.rle import decode_mask, encode_mask
from samurai_batch.stats import WorkStats
from samurai_batch.tasks import Box, Leg, MaskPrompt, Track, check_distinct
from samurai_batch.tracking.masks_out import to_video_masks
from samurai_batch.tracking.prompts import FramePrompt, to_frame_prompt
from samurai_batch.tracking.stopwatch import Stopwatch
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput, TrackResult
from samurai_batch.video import Frame, VideoInfo

FRAMES_AHEAD = 2  # scaled, and waiting for the network
FRAMES_BEHIND = 4  # followed, and waiting for their rows


class FrameSource(Protocol):
    """What is read of a video: :class:`samurai_batch.video.VideoSource`, or anything like it."""

    @property
    def info(self) -> VideoInfo:
        """Number and size of frames."""
        ...

    def frames(self, indices: range) -> Iterator[Frame]:
        """The frames, in the order of ``indices``."""
        ...


def propagate_chunk(
    tracker: Tracker,
    source: FrameSource,
    members: Sequence[Member],
    frames: range,
    *,
    frames_per_batch: int = 1,
    threads_beside: bool = True,
    check: Callable[[], None] = lambda: None,
) -> ChunkResult:
    """Propagate legs of one direction through ``frames``, given in walking order (descending for reverse legs).

    A member takes part on the frames its leg covers, and leaves rows on those it writes. ``frames_per_batch`` frames
    are encoded together. ``check`` is called before each frame; what it raises ends the chunk without a result. Raises
    StateError for a state that is damaged or another network's, and what reading the video raises.

    With ``threads_beside``, while the network follows a frame, the next ones are scaled and the rows of those before it
    are made, each in a thread of its own that is at most a few frames away. Without, all of it takes turns in the
    caller's thread, which costs less where no core is free. Whether frames are decoded ahead is up to the source.
    """
    _check_counts(frames_per_batch=frames_per_batch)
    num_ahead, num_behind = (FRAMES_AHEAD, FRAMES_BEHIND) if threads_beside else (0, 0)
    followed = [_ActiveTrack.start(member, source.info, tracker.model) for member in members]
    frames_encoded = track_frames = 0
    watch = Stopwatch(tracker.model.no_obj_ptr.device)
    with (
        closing(prefetch(_arriving(tracker, source, followed, frames, frames_per_batch), num_ahead)) as ahead,
        BackgroundCalls(num_behind) as rows,
    ):
        for batch in ahead:
            watch.lap("decode")
            features = tracker.encode(batch.pixels)
            watch.lap("encode")
            frames_encoded += len(batch.frames)
            for place, frame in enumerate(batch.frames):
                check()
                active = [one for one in followed if one.leg.covers(frame.index)]
                results = tracker.step(features.frame(place), [one.input_on(frame, tracker) for one in active])
                watch.lap("propagate")
                rows.call(partial(_make_rows, tracker, frame, active, results))
                watch.lap("write")
                track_frames += len(active)
        rows.finish()
    tables = {one.track.object_id: rows_to_table(one.rows) for one in followed}
    states = {one.track.object_id: one.state.to_bytes() for one in followed}
    watch.lap("write")
    stats = WorkStats(
        frames_encoded=frames_encoded,
        track_frames=track_frames,
        device_memory_bytes=_peak_memory_bytes(tracker.model.no_obj_ptr.device),
        stage_s=watch.seconds(),
    )
    return ChunkResult(tables=tables, states=states, stats=stats)


def _peak_memory_bytes(device: torch.device) -> int:
    return int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else 0


@dataclass(frozen=True)
class FramePlace:
    """Where in its video a frame stands, and the video's size in pixels."""

    index: int
    timestamp_s: float
    height: int
    width: int


@dataclass(frozen=True)
class FrameBatch:
    """B frames as the network takes them, pixels (B, 3, S, S)."""

    frames: tuple[FramePlace, ...]
    pixels: torch.Tensor


def _arriving(
    tracker: Tracker, source: FrameSource, followed: Sequence["_ActiveTrack"], frames: range, per_batch: int
) -> Iterator[FrameBatch]:
    """The frames that somebody is followed on."""
    needed = (frame for frame in source.frames(frames) if any(one.leg.covers(frame.index) for one in followed))
    return frame_batches(tracker, needed, per_batch)


def frame_batches(tracker: Tracker, frames: Iterable[Frame], per_batch: int) -> Iterator[FrameBatch]:
    """Frames scaled one by one, and ``per_batch`` of them put together; the last batch may be smaller."""
    scaled = ((_place(frame), _model_input(tracker, frame)) for frame in frames)
    while batch := tuple(islice(scaled, per_batch)):
        places, pixels = zip(*batch, strict=True)
        yield FrameBatch(places, pixels[0] if len(pixels) == 1 else torch.cat(pixels))


def _place(frame: Frame) -> FramePlace:
    return FramePlace(frame.index, frame.timestamp_s, *frame.pixels.shape[:2])


def _model_input(tracker: Tracker, frame: Frame) -> torch.Tensor:
    model = tracker.model
    return to_model_input(frame.pixels, model.image_size, model.no_obj_ptr.dtype, model.no_obj_ptr.device)


@dataclass
class _ActiveTrack:
    """A member on its way through the chunk."""

    track: Track
    leg: Leg
    state: TrackState
    rows: list[MaskRow] = field(default_factory=list)

    @classmethod
    def start(cls, member: Member, info: VideoInfo, model: SAM2) -> "_ActiveTrack":
        if member.state is not None:
            state = TrackState.from_bytes(member.state, model.no_obj_ptr.device)
            state.check_made_by(model.config, model.image_size)
            return cls(member.track, member.leg, state)
        end = last_frame(member.leg, info.num_frames)
        assert end is not None
        return cls(member.track, member.leg, TrackState(num_frames=abs(end - member.leg.start_frame) + 1))

    def input_on(self, frame: FramePlace, tracker: Tracker) -> TrackInput:
        prompts = list(dict.fromkeys(one for one in self.track.prompts if one.frame_index == frame.index))
        if not prompts:
            return TrackInput(self.state)
        masks = [_decoded(prompt) for prompt in prompts if isinstance(prompt, MaskPrompt)]
        mask = torch.from_numpy(masks[0]) if masks else None
        prompt: FramePrompt = to_frame_prompt(prompts, frame.height, frame.width, tracker.model.image_size, mask)
        return TrackInput(self.state, prompt)


def _decoded(prompt: MaskPrompt) -> NDArray[np.bool_]:
    try:
        return decode_mask(prompt.mask)
    except ValueError as error:
        reason = f"{error}; encode it again, with encode_mask or pycocotools"
        raise PromptError(f"the mask on frame {prompt.frame_index} is damaged: {reason}") from error


def _make_rows(
    tracker: Tracker, frame: FramePlace, active: Sequence[_ActiveTrack], results: Sequence[TrackResult]
) -> None:
    logits = torch.stack([result.low_res_logits for result in results])
    masks = to_video_masks(logits, frame.height, frame.width, tracker.settings.fill_hole_area)
    for one, result, mask in zip(active, results, masks, strict=True):
        if one.leg.writes(frame.index):
            one.rows.append(mask_row(one.track, frame, result, mask))


def mask_row(track: Track, frame: FramePlace, result: TrackResult, mask: NDArray[np.bool_]) -> MaskRow:
    """What the mask table says of a track on a frame; mask (H, W) is in the video's pixels."""
    return MaskRow(
        video_id=track.video.video_id,
        object_id=track.object_id,
        frame_index=frame.index,
        timestamp_s=frame.timestamp_s,
        height=frame.height,
        width=frame.width,
        segmentation=encode_mask(mask),
        mask_score=result.mask_score,
        object_score=result.object_score,
        motion_score=result.motion_score,
        mask_index=result.mask_index,
        prompted=any(prompt.frame_index == frame.index for prompt in track.prompts),
        predicted_xywh=_predicted_in_video(frame, result),
    )


def _predicted_in_video(frame: FramePlace, result: TrackResult) -> Box | None:
    """Where the motion model expected the object, from the model's image to a COCO box in pixels of the video.

    The tracker's boxes end on their last pixel, those of the table behind it.
    """
    if result.predicted_box_xyxy is None:
        return None
    size = 4 * result.low_res_logits.shape[-1]
    scale_x, scale_y = frame.width / size, frame.height / size
    left, top, right, bottom = result.predicted_box_xyxy
    return left * scale_x, top * scale_y, (right - left + 1) * scale_x, (bottom - top + 1) * scale_y


def track_video(
    tracker: Tracker,
    source: FrameSource,
    tracks: Sequence[Track],
    chunk_frames: int = 200,
    frames_per_batch: int = 1,
) -> Mapping[str, pa.Table]:
    """Follow all tracks of one video in this process: mask tables by object id, sorted by frame.

    The forward legs of all tracks go together, then the backward ones, chunk by chunk as a job would do it.
    Raises PromptError, before any work, for a track that does not fit its video, or two of one object_id, and
    ConfigError for numbers of frames below 1.
    """
    _check_counts(chunk_frames=chunk_frames, frames_per_batch=frames_per_batch)
    _check_tracks(tracks, source.info)
    follow = partial(propagate_chunk, tracker, source, frames_per_batch=frames_per_batch)
    parts: dict[str, list[pa.Table]] = {track.object_id: [] for track in tracks}
    for reverse in (False, True):
        members = [Member(track, leg) for track in tracks for leg in track.legs if leg.reverse == reverse]
        for result in _propagate_all(follow, source.info.num_frames, members, reverse, chunk_frames):
            for object_id, table in result.tables.items():
                parts[object_id].append(table)
    return {
        object_id: pa.concat_tables(tables).sort_by("frame_index").combine_chunks()
        for object_id, tables in parts.items()
    }


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ConfigError(f"{name} is {count!r}: it should be a whole number of frames, 1 or more")


def _check_tracks(tracks: Sequence[Track], info: VideoInfo) -> None:
    """Whether all of them can be followed through one video, each in rows of its own."""
    check_distinct(tracks)
    if len(videos := {track.video.video_id for track in tracks}) > 1:
        raise PromptError(f"the tracks are of several videos ({', '.join(sorted(videos))}); follow one video at a time")
    facts = VideoFacts(info.num_frames, info.height, info.width)
    for track in tracks:
        if problem := _problem(track, facts):
            raise PromptError(f"object {track.object_id!r}: {problem}")


def _problem(track: Track, facts: VideoFacts) -> str | None:
    if track.auto_prompt is not None:
        return "text and everything have to be looked up first: a job does so (run_job), track_video does not"
    try:
        for prompt in track.prompts:
            if isinstance(prompt, MaskPrompt):
                _decoded(prompt)
    except PromptError as error:
        return str(error)
    return validation_error(track, facts)


def _propagate_all(
    follow: Callable[[Sequence[Member], range], ChunkResult],
    num_frames: int,
    members: list[Member],
    reverse: bool,
    chunk_frames: int,
) -> Iterator[ChunkResult]:
    """Walk legs of one direction through the video, each chunk from the states of the one before."""
    chunks = range(-(-num_frames // chunk_frames))
    for chunk in reversed(chunks) if reverse else chunks:
        here = [m for m in members if frames_to_propagate([m.leg], chunk, chunk_frames, num_frames)]
        if not here:
            continue
        frames = frames_to_propagate([m.leg for m in here], chunk, chunk_frames, num_frames)
        result = follow(here, frames)
        members = [replace(m, state=result.states.get(m.track.object_id, m.state)) for m in members]
        yield result
