"""One copy of the model at work: opens videos, propagates chunks, publishes tracks. A plain class; pools wrap it.

Between orders a replica keeps only the video it has open: track states and rows are read from storage and written to
it. Every failure becomes a report.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samurai_batch.background import for_each
from samurai_batch.errors import StateError
from samurai_batch.ledger.checkpoints import part_uri, state_uri
from samurai_batch.ledger.store import Store
from samurai_batch.masks import bytes_to_table, mask_table_uri, table_to_bytes
from samurai_batch.masks.interpolation import with_interpolated_boxes
from samurai_batch.masks.shots import with_shots
from samurai_batch.masks.table import rows_to_table
from samurai_batch.planning.chunks import first_chunk, frames_to_propagate, is_past, step
from samurai_batch.planning.continuation import is_continuable
from samurai_batch.planning.discovery import Decision, DiscoveryRules
from samurai_batch.planning.fingerprints import SCENE_CUTS_VERSION
from samurai_batch.planning.orders import (
    ChunkPropagated,
    Detected,
    DetectMember,
    DetectOrder,
    Discovered,
    DiscoverOrder,
    OpenOrder,
    Order,
    OrderFailed,
    PropagateOrder,
    PublishOrder,
    Report,
    TrackPublished,
    VideoOpened,
)
from samurai_batch.planning.retry import Failure
from samurai_batch.planning.validation import VideoFacts
from samurai_batch.prompts import DiscoverPrompt, FrameDetection, Prompt
from samurai_batch.redaction import get_logger
from samurai_batch.runtime.continuation import keep_boundary_state, rows_before
from samurai_batch.runtime.detection import detections_uri, write_detections
from samurai_batch.runtime.discovery import carry_out
from samurai_batch.runtime.failures import StoppedError, as_failure
from samurai_batch.runtime.memories import (
    MemoriesAtEnd,
    begins_with_memories,
    keep_memories,
    memories_of_source,
    with_name_of_memories,
)
from samurai_batch.runtime.window_detections import write_window
from samurai_batch.stats import WorkStats
from samurai_batch.storage import redact_uri
from samurai_batch.tasks import Leg, Track, Video

if TYPE_CHECKING:  # a decoder and torch are loaded by who makes a replica
    from samurai_batch.pipeline import ChunkResult
    from samurai_batch.video import VideoSource

logger = get_logger(__name__)


class Propagate(Protocol):
    """`pipeline.propagate_chunk` with a tracker of its own; raises MemoryError when the device is too small."""

    def __call__(
        self,
        source: "VideoSource",
        legs: Sequence[Leg],
        frames: range,
        states: Mapping[str, bytes],
        /,
        *,
        check: Callable[[], None],
    ) -> "ChunkResult":
        """The rows and states of one chunk; ``check`` is called before each frame."""
        ...


Detect = Callable[["VideoSource", Track], Sequence[Prompt]]
"""A box or mask for each object that the auto prompt of a track means in its video."""

DetectWindow = Callable[["VideoSource", Track], Sequence[FrameDetection]]
"""What is detected on the sampled frames of the window of a track's discover prompt."""

MeasureCuts = Callable[["VideoSource", Callable[[], None]], tuple[int, ...]]
"""`video.scene_cuts_of`: where the shots of a video begin. What it is given is called before each frame."""

OpenVideo = Callable[[str], "VideoSource"]
"""Opens the video at a URI. Raises VideoError for one that is missing or damaged, StorageError."""


@dataclass(kw_only=True, eq=False)
class PublishingReplica:
    """What replicas of both tasks have: videos that they open, and an output to which they publish mask tables.

    ``metadata`` goes into every mask table, beside the fingerprint; ``num_transfers`` bounds the reads and writes that
    run at once.
    """

    open_video: OpenVideo
    store: Store
    output: str
    metadata: Mapping[str, str]
    num_transfers: int = 8
    _is_stopping: bool = field(default=False, init=False)

    @property
    def device(self) -> str:
        """The device that the replica computes on, as its tables name it."""
        return self.metadata.get("device", "")

    def stop(self) -> None:
        """Called from another thread: the running order ends at its next frame or picture, unsaved."""
        self._is_stopping = True

    def check_not_stopping(self) -> None:
        """Raise StoppedError after `stop`."""
        if self._is_stopping:
            raise StoppedError("the job is being stopped")

    def publish(self, track: Track, fingerprint: str, table: pa.Table) -> None:
        """Write the mask table of a track."""
        uri = mask_table_uri(self.output, track.video.video_id, track.object_id)
        self.store.write_bytes(uri, table_to_bytes(table, {**self.metadata, "fingerprint": fingerprint}))


@dataclass(kw_only=True, eq=False)
class Replica(PublishingReplica):
    """The replica of ``task: track``. Carries out orders, one at a time.

    ``detect`` is needed only for auto prompts, ``rules`` and ``detect_window`` only for those of kind discover.
    With ``keeps_boundary_states``, tracks can go on in files that are added; not where rows wait for later frames.
    ``measure_cuts`` is None where a job ignores scene cuts; ``memories_at_end`` is needed only for from_video prompts.
    """

    propagate: Propagate
    detect: Detect | None = None
    rules: DiscoveryRules | None = None
    detect_window: DetectWindow | None = None
    keeps_boundary_states: bool = True
    measure_cuts: MeasureCuts | None = None
    memories_at_end: MemoriesAtEnd = lambda state, num_frames, has_recent: state
    _open: "tuple[Video, VideoSource] | None" = field(default=None, init=False)

    def run(self, order: Order) -> Report:
        """Carry out an order; every failure comes back as an OrderFailed."""
        started_s = time.monotonic()
        try:
            match order:
                case OpenOrder():
                    return VideoOpened(order.order_id, self._facts(order.video), time.monotonic() - started_s)
                case PropagateOrder():
                    return self._propagate_chunk(order, started_s)
                case PublishOrder():
                    num_rows = self._publish(order)
                    return TrackPublished(order.order_id, num_rows, time.monotonic() - started_s)
                case DiscoverOrder():
                    return Discovered(order.order_id, self._discover(order), time.monotonic() - started_s)
                case DetectOrder():
                    answers = tuple(self._detect_objects(member) for member in order.members)
                    return Detected(order.order_id, answers, time.monotonic() - started_s)
        except Exception as error:  # a replica outlives every order; what nobody foresaw is "internal"
            self.close()  # a reader that has failed once is not asked again
            return OrderFailed(order.order_id, as_failure(error), time.monotonic() - started_s)

    def close(self) -> None:
        """Let the open video go."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _source(self, video: Video) -> "VideoSource":
        if self._open is None or self._open[0] != video:
            self.close()
            self._open = (video, self.open_video(video.uri))
        return self._open[1]

    def _facts(self, video: Video) -> VideoFacts:
        self.check_not_stopping()
        source = self._source(video)
        info = asdict(source.info)
        if self.measure_cuts is None:
            return VideoFacts(**info)
        scene_cuts = self.measure_cuts(source, self.check_not_stopping)
        return VideoFacts(**info, scene_cuts=scene_cuts, scene_cuts_version=SCENE_CUTS_VERSION)

    # -- auto prompts

    def _detect_objects(self, member: DetectMember) -> int | Failure:
        """Detect the objects of one auto prompt and keep them; the prompt itself has no rows."""
        self.check_not_stopping()
        try:
            source = self._source(member.track.video)
            if isinstance(member.track.auto_prompt, DiscoverPrompt):
                assert self.detect_window is not None, "this job has no discover prompts"
                found = self.detect_window(source, member.track)
                write_window(self.store, self.output, member.fingerprint, member.track, found)
                return 0
            assert self.detect is not None, "this job has no auto prompts"
            write_detections(self.store, self.output, member.fingerprint, self.detect(source, member.track))
        except Exception as error:
            self.close()
            return as_failure(error)
        return 0

    def _discover(self, order: DiscoverOrder) -> Decision:
        self.check_not_stopping()
        assert self.rules is not None, "this job has no discover prompts"
        uri = detections_uri(self.output, order.fingerprint)
        return carry_out(order, self.rules, self.store, self.output, uri, self.num_transfers)

    # -- one chunk

    def _propagate_chunk(self, order: PropagateOrder, started_s: float) -> ChunkPropagated:
        self.check_not_stopping()
        source = self._source(order.video)
        frames = frames_to_propagate(order.legs, order.chunk, order.chunk_frames, order.num_frames)
        states = self._load(order)
        try:
            result = self.propagate(source, order.legs, frames, states, check=self.check_not_stopping)
        except StateError as error:
            raise with_name_of_memories(error, self.output, order) from error
        propagated_s = time.monotonic()
        self._save(order, result)
        ended_s = time.monotonic()
        return ChunkPropagated(
            order_id=order.order_id,
            stats=result.stats + WorkStats(stage_s={"write": ended_s - propagated_s}),
            seconds=ended_s - started_s,
        )

    def _load(self, order: PropagateOrder) -> dict[str, bytes]:
        """The track states after the chunk before, by object id, of all legs but those that start in this chunk.

        A leg that starts here with the memories of another video has these.
        """
        before = order.chunk - step(order.reverse)
        starting = [leg for leg in order.legs if order.chunk == first_chunk(leg, order.chunk_frames)]
        legs = [leg for leg in order.legs if leg not in starting or begins_with_memories(leg, order)]

        def read(leg: Leg) -> bytes:
            if begins_with_memories(leg, order):
                return memories_of_source(self.store, self.output, leg.track)
            return self._read(self._state_uri(order, leg, before), "the track state of the chunk before")

        states = for_each(read, legs, self.num_transfers)
        return {leg.track.object_id: state for leg, state in zip(legs, states, strict=True)}

    def _save(self, order: PropagateOrder, result: "ChunkResult") -> None:
        """Write rows and state of every leg, then delete the states of two chunks before.

        The states that this chunk started from stay: if the replica dies before it answers, another repeats the chunk.
        """
        outdated = order.chunk - 2 * step(order.reverse)

        def save_one(leg: Leg) -> None:
            object_id = leg.track.object_id
            uri = part_uri(self.output, leg.fingerprint, order.reverse, order.chunk, order.chunk_frames)
            self.store.write_bytes(uri, table_to_bytes(result.tables[object_id], {}))
            self.store.write_bytes(self._state_uri(order, leg, order.chunk), result.states[object_id])

        def delete_outdated(leg: Leg) -> None:
            if not is_past(first_chunk(leg, order.chunk_frames), outdated, order.reverse):
                self.store.delete(self._state_uri(order, leg, outdated))

        for_each(save_one, order.legs, self.num_transfers)
        for_each(delete_outdated, order.legs, self.num_transfers)

    def _read(self, uri: str, what: str) -> bytes:
        try:
            return self.store.read_bytes(uri)
        except FileNotFoundError as error:
            raise StateError(f"{redact_uri(uri)}: {what} is missing") from error

    def _state_uri(self, order: PropagateOrder, leg: Leg, chunk: int) -> str:
        return state_uri(self.output, leg.fingerprint, order.reverse, chunk, order.chunk_frames)

    # -- one finished track

    def _publish(self, order: PublishOrder) -> int:
        def read(chunk: tuple[bool, int]) -> pa.Table:
            uri = part_uri(self.output, order.fingerprint, *chunk, order.chunk_frames)
            return bytes_to_table(self._read(uri, "the mask table of this chunk"))

        may_continue = self.keeps_boundary_states and is_continuable(order.track)
        tables, first = rows_before(self.store, self.output, order) if may_continue else ([], 0)
        tables += for_each(read, [one for one in order.chunks if one[1] >= first], self.num_transfers)
        legs = order.track.legs
        frames = [index for index in order.rows if any(leg.writes(index) for leg in legs)]
        if sum(table.num_rows for table in tables) < len(frames):
            tables.append(self._waiting_rows(order))
        table = pa.concat_tables(tables).sort_by("frame_index").combine_chunks()
        if order.track.origin:  # a discovery may have ended the track before the frames that it was propagated through
            table = table.filter(pc.less(table["frame_index"], order.rows.stop)).combine_chunks()
        if not np.array_equal(table["frame_index"].to_numpy(), frames):
            raise StateError(
                f"the saved parts hold {table.num_rows} rows that are not frames "
                f"{order.rows.start} to {order.rows.stop - 1}, once each"
            )
        _check_whose(table, order.track)
        scene_cuts = order.track.scene_cuts
        if order.track.sampling.interpolates:
            source = self._source(order.track.video)
            table = with_interpolated_boxes(table, source.timestamp_s, scene_cuts or ())
        if may_continue:
            keep_boundary_state(self.store, self.output, order, len(frames))
        if order.keeps_memories:
            keep_memories(self.store, self.output, order, self.memories_at_end)
        self.publish(order.track, order.fingerprint, with_shots(table, scene_cuts))
        return int(table.num_rows)

    def _waiting_rows(self, order: PublishOrder) -> pa.Table:
        """Rows that were not decided where a track ends earlier than was known: those of the best path there."""
        from samurai_batch.tracking.waiting_rows import rows_of_best_path  # torch, which no other order here needs

        chunks = [chunk for reverse, chunk in order.chunks if not reverse]  # a reverse leg ends where it was meant to
        if not chunks:
            return rows_to_table([])
        uri = state_uri(self.output, order.fingerprint, False, max(chunks), order.chunk_frames)
        return rows_to_table(rows_of_best_path(self._read(uri, "the track state of the last chunk")))


def _check_whose(table: pa.Table, track: Track) -> None:
    """Parts lie under a fingerprint; that they hold this track's rows is not to be taken for granted."""
    for name, own in (("video_id", track.video.video_id), ("object_id", track.object_id)):
        others = set(table[name].unique().to_pylist()) - {own}
        if others:
            raise StateError(f"the saved parts hold rows whose {name} is {others.pop()!r}, not {own!r}")
