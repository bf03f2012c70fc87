"""One video, end to end, without Ray: this file tells the story.

    read frames ──> encode once ──> step all tracks ──> masks in video pixels ──> rows of the mask table

A chunk is a pure function: (video, frames, legs, track states) -> (mask rows, track states). A whole video is
propagated chunk after chunk, each with the track states of the chunk before it; any process may take the next one.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

import pyarrow as pa

from samurai_batch.background import BackgroundCalls, prefetch
from samurai_batch.errors import ConfigError
from samurai_batch.masks.interpolation import with_interpolated_boxes
from samurai_batch.masks.shots import with_shots
from samurai_batch.masks.table import MaskRow, rows_to_table
from samurai_batch.modeling.pixels import to_model_input
from samurai_batch.planning.chunks import chunks_in_order, frames_to_propagate, num_steps
from samurai_batch.stats import WorkStats
from samurai_batch.tasks import Leg, Track, VideoInfo
from samurai_batch.tracking.frame_batches import EncodedBatches, FrameInfo, TimedFrameSource, frame_batches
from samurai_batch.tracking.mask_rows import lanes_of, mask_rows, start_masks
from samurai_batch.tracking.prompts import check_tracks, prompt_on
from samurai_batch.tracking.recent_frames import RecentFrames, range_of
from samurai_batch.tracking.stopwatch import Stopwatch, peak_memory_bytes
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput, TrackResult
from samurai_batch.tracking.video_masks import MaskEncoder, PendingMasks
from samurai_batch.tracking.waiting_rows import WaitingRows
from samurai_batch.video import scene_cuts_of
from samurai_batch.video.frames import FrameSource

MAX_SCALED_BATCHES = 2  # that wait for the network
MAX_STEPPED_FRAMES = 4  # that wait for their rows
NO_STATES: Mapping[str, bytes] = {}


@dataclass(frozen=True, kw_only=True)
class ChunkResult:
    """Mask rows of a chunk and the track states after its last frame, by object id, and what was measured."""

    tables: Mapping[str, pa.Table]
    states: Mapping[str, bytes]
    stats: WorkStats


def propagate_chunk(
    tracker: Tracker,
    source: FrameSource,
    legs: Sequence[Leg],
    frames: range,
    states: Mapping[str, bytes] = NO_STATES,
    *,
    frames_per_batch: int = 1,
    use_threads: bool = True,
    check: Callable[[], None] = lambda: None,
) -> ChunkResult:
    """Propagate legs of one direction through ``frames``, which descend for reverse legs.

    ``states`` are the track states after the chunk before, by object id; a leg without one starts in this chunk, as
    does one whose state are the memories of another video (`tracking.carried_memories`). A leg is stepped on the frames
    it covers, and leaves rows on those it writes. ``frames_per_batch`` frames are encoded together. With
    ``use_threads``, scaling frames and making rows run in threads beside the network; without, in the caller's thread,
    which is faster where no CPU is free. ``check`` is called before each frame; what it raises ends the chunk. Raises
    StateError for a state that is damaged or of another network, and what reading the video raises.
    """
    _check_counts(frames_per_batch=frames_per_batch)
    model = tracker.model
    active = [_ActiveLeg.start(leg, states.get(leg.track.object_id), source.info, tracker) for leg in legs]
    watch = Stopwatch(model.no_obj_ptr.device)
    recent = _frames_before(tracker, source, active, frames)
    needed = (frame for frame in source.frames(frames) if any(leg.covers(frame.index) for leg in legs))
    num_scaled, num_stepped = (MAX_SCALED_BATCHES, MAX_STEPPED_FRAMES) if use_threads else (0, 0)
    encoder = MaskEncoder(tracker.settings.fill_hole_area)
    with (
        closing(prefetch(frame_batches(model, needed, frames_per_batch), num_scaled)) as batches,
        BackgroundCalls(num_stepped) as background,
    ):
        encoded = EncodedBatches(batches, tracker.encode, watch)
        for batch, features in encoded:
            for position, frame in enumerate(batch.frames):
                check()
                here = [one for one in active if one.leg.covers(frame.index)]
                inputs = [one.input_on(frame, tracker) for one in here]
                is_last = position == len(batch.frames) - 1  # then a GPU encodes the next batch while the host waits
                before_wait = encoded.encode_ahead if is_last else lambda: None
                recent.add(frame.index, features.frame(position))
                results = tracker.step(features.frame(position), inputs, before_wait, frame.size, recent)
                recent.keep(_frames_needed(tracker, active))
                watch.lap("propagate")
                masks = start_masks(encoder, frame, results)
                background.call(partial(_add_rows, here, frame, results, masks))
                watch.lap("write")
        background.finish()
    tables = {one.leg.track.object_id: rows_to_table(one.rows) for one in active}
    new_states = {one.leg.track.object_id: one.saved() for one in active}
    watch.lap("write")
    stats = WorkStats(
        frames_encoded=encoded.frames_encoded + recent.num_encoded,
        track_frames=sum(one.num_steps for one in active),
        rescue_tests=sum(one.num_tests for one in active),
        rescues=sum(one.num_rescues for one in active),
        device_memory_bytes=peak_memory_bytes(model.no_obj_ptr.device),
        stage_s=watch.seconds(),
    )
    return ChunkResult(tables=tables, states=new_states, stats=stats)


@dataclass
class _ActiveLeg:
    """A leg in the chunk at hand: its track state, which every step moves on, and its rows so far.

    Rows of a tracker with several paths come later than their frames; until then they ``wait``, one for each lane.
    """

    leg: Leg
    state: TrackState
    rows: list[MaskRow] = field(default_factory=list)
    waiting: WaitingRows = field(default_factory=WaitingRows)
    num_steps: int = 0
    num_tests: int = 0
    num_rescues: int = 0

    @classmethod
    def start(cls, leg: Leg, saved: bytes | None, info: VideoInfo, tracker: Tracker) -> "_ActiveLeg":
        if saved is None:
            return cls(leg, TrackState(num_frames=num_steps(leg, info.num_frames)))
        state = TrackState.from_bytes(saved, tracker.model.no_obj_ptr.device)
        state.check_made_by(tracker.model.config, tracker.model.image_size)
        num_frames = state.num_carried + num_steps(leg, info.num_frames)
        state.num_frames = max(state.num_frames, num_frames)  # files may have been added since it was saved
        return cls(leg, state, waiting=WaitingRows.take_from(state))

    def input_on(self, frame: FrameInfo, tracker: Tracker) -> TrackInput:
        return TrackInput(self.state, prompt_on(self.leg.track, frame, tracker.model.image_size))

    def count(self, result: TrackResult) -> None:
        """Count a step, and what its rescue did."""
        self.num_steps += 1
        self.num_tests += result.is_tested
        self.num_rescues += result.is_rescued

    def goes_on_in(self, frames: range) -> bool:
        """Whether the first of these frames that it covers has no prompt, so that its state says what comes there."""
        first = next((index for index in frames if self.leg.covers(index)), None)
        return first is not None and all(prompt.frame_index != first for prompt in self.leg.track.prompts)

    def saved(self) -> bytes:
        """The track state with the rows that wait."""
        self.waiting.put_into(self.state)
        return self.state.to_bytes()


def _frames_before(tracker: Tracker, source: FrameSource, active: Sequence[_ActiveLeg], frames: range) -> RecentFrames:
    """The frames before a chunk that its legs may look back at, read from the video again; none without a rescue."""
    model, recent = tracker.model, RecentFrames(tracker.encode)
    needed = _frames_needed(tracker, [one for one in active if one.goes_on_in(frames)])
    if not needed:
        return recent
    weight = model.no_obj_ptr
    for frame in source.frames(range_of(needed, frames.step < 0)):
        if frame.index in needed:
            recent.add_pixels(frame.index, to_model_input(frame.pixels, model.image_size, weight.dtype, weight.device))
    return recent


def _frames_needed(tracker: Tracker, active: Sequence[_ActiveLeg]) -> set[int]:
    rescue = tracker.rules.rescue
    return set() if rescue is None else {index for one in active for index in rescue.frames_needed(one.state)}


def _add_rows(
    active: Sequence[_ActiveLeg], frame: FrameInfo, results: Sequence[TrackResult], masks: PendingMasks
) -> None:
    rows = iter(mask_rows([one.leg.track for one in active], frame, results, masks))
    for one, result in zip(active, results, strict=True):
        one.count(result)
        of_lanes = [next(rows) for _ in lanes_of(result)]
        one.rows += one.waiting.add(of_lanes, result.decided, one.leg.writes(frame.index))


def track_video(
    tracker: Tracker,
    source: TimedFrameSource,
    tracks: Sequence[Track],
    chunk_frames: int = 200,
    frames_per_batch: int = 1,
) -> Mapping[str, pa.Table]:
    """Track all objects of one video in this process: mask tables by object id, sorted by frame.

    The forward legs of all tracks are propagated together, then the backward ones, in chunks like those of a job. Cuts
    are measured first if any track says what becomes of it there.
    Raises PromptError, before any work, for a track that does not fit its video, or two of one object_id, and
    ConfigError for numbers of frames below 1.
    """
    _check_counts(chunk_frames=chunk_frames, frames_per_batch=frames_per_batch)
    info = source.info
    check_tracks(tracks, info)
    if any(track.sampling.on_cut != "ignore" for track in tracks):
        scene_cuts = scene_cuts_of(source)
        tracks = [replace(track, scene_cuts=scene_cuts) for track in tracks]
    parts: dict[str, list[pa.Table]] = {track.object_id: [] for track in tracks}
    for reverse in (False, True):
        legs = [leg for track in tracks for leg in track.legs if leg.reverse == reverse]
        states: dict[str, bytes] = {}
        for chunk in chunks_in_order(info.num_frames, chunk_frames, reverse):
            here = [leg for leg in legs if frames_to_propagate([leg], chunk, chunk_frames, info.num_frames)]
            if here:
                frames = frames_to_propagate(here, chunk, chunk_frames, info.num_frames)
                result = propagate_chunk(tracker, source, here, frames, states, frames_per_batch=frames_per_batch)
                states.update(result.states)
                for object_id, table in result.tables.items():
                    parts[object_id].append(table)
    return {track.object_id: _joined(track, parts[track.object_id], source) for track in tracks}


def _joined(track: Track, parts: Sequence[pa.Table], source: TimedFrameSource) -> pa.Table:
    table = pa.concat_tables(parts).sort_by("frame_index").combine_chunks()
    if track.sampling.interpolates:
        table = with_interpolated_boxes(table, source.timestamp_s, track.scene_cuts or ())
    return with_shots(table, track.scene_cuts)


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ConfigError(f"{name} is {count!r}: it should be a whole number of frames, 1 or more")
