"""The scheduler's records of videos, tracks, legs, shards and running orders. Mutable, private to planning."""

from dataclasses import dataclass, field, replace

from samurai_batch.planning.chunks import first_chunk, last_chunk, last_frame
from samurai_batch.planning.orders import (
    DetectMember,
    DetectOrder,
    DiscoverOrder,
    OpenOrder,
    Order,
    PropagateOrder,
    PublishOrder,
)
from samurai_batch.planning.resume import SavedWork
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.planning.shards import even_bounds
from samurai_batch.planning.validation import VideoFacts
from samurai_batch.tasks import Leg, Track, Video


@dataclass(slots=True)
class Tries:
    """Failures of one piece of work: reports of an error, replicas that died of it, and replicas that were lost."""

    attempts: int = 0
    deaths: int = 0
    losses: int = 0


@dataclass(slots=True, eq=False)
class VideoRecord:
    """One video with pending tracks; its shards are ``unopened`` until its facts are known.

    A ``discovery`` releases its frames window by window: tracks are propagated up to ``released_frames``.
    """

    video: Video
    expected_frames: int
    facts: VideoFacts | None = None
    readable_frames: int | None = None
    released_frames: int | None = None
    discovery: "DiscoveryRecord | None" = None
    truncation: Failure | None = None
    tracks: "list[TrackRecord]" = field(default_factory=list)
    unopened: "list[ShardRecord]" = field(default_factory=list)
    tries: Tries = field(default_factory=Tries)

    @property
    def num_frames(self) -> int:
        """Frames that are released and can be read, so before a known truncation; an estimate before it is opened."""
        num_frames = self.last_frame + 1
        return num_frames if self.released_frames is None else min(num_frames, self.released_frames)

    @property
    def last_frame(self) -> int:
        """The last frame that can be read, released or not."""
        if self.readable_frames is not None:
            return self.readable_frames - 1
        return (self.facts.num_frames if self.facts else self.expected_frames) - 1


@dataclass(slots=True, eq=False)
class TrackRecord:
    """One pending track. ``failure`` ends it unless ``is_cut_short``; ``num_running`` orders include it now.

    ``num_left`` sums what is left over its legs. A track that ``is_held`` belongs to a discovery that is not done:
    nothing of it is published or settled.
    """

    track: Track
    fingerprint: str
    video: VideoRecord
    legs: "list[LegRecord]" = field(default_factory=list)
    failure: Failure | None = None
    is_cut_short: bool = False
    is_publishing: bool = False
    is_settled: bool = False
    is_held: bool = False
    has_restarted: bool = False
    num_left: int = 0
    num_running: int = 0
    num_failed_orders: int = 0
    seconds: float = 0.0
    tries: Tries = field(default_factory=Tries)

    @property
    def is_open(self) -> bool:
        """Whether there is still something to be done for the track."""
        return not self.is_settled and (self.failure is None or self.is_cut_short)

    @property
    def is_given_up(self) -> bool:
        """Whether the track has failed; it settles when no order includes it any more."""
        return self.failure is not None and not self.is_cut_short

    def set_scene_cuts(self, scene_cuts: tuple[int, ...] | None) -> None:
        """Tell the track and its legs where the shots of their video begin, if that concerns them."""
        if self.track.sampling.on_cut != "ignore":
            self.track = replace(self.track, scene_cuts=scene_cuts)
            for leg in self.legs:
                leg.leg = replace(leg.leg, track=self.track)

    def publish_order(self, order_id: int, chunk_frames: int) -> PublishOrder:
        """The order to join all parts, lowest frames first: those of the reverse leg, then the forward one's."""
        legs = sorted(self.legs, key=lambda leg: not leg.leg.reverse)
        chunks = [(leg.leg.reverse, chunk) for leg in legs for chunk in leg.chunks(chunk_frames)]
        lowest, highest = legs[0].rows, legs[-1].rows
        return PublishOrder(
            order_id=order_id,
            track=self.track,
            fingerprint=self.fingerprint,
            chunk_frames=chunk_frames,
            chunks=tuple(chunks),
            rows=range(lowest.start, highest.stop),
        )


@dataclass(slots=True, eq=False)
class LegRecord:
    """One leg of a pending track: all chunks before ``next_chunk`` are done.

    ``shard`` is the shard it belongs to now; others may still list it. ``left`` are its remaining frames, ascending;
    none for a track that has failed. `JobState` keeps them up to date, by an estimate while the video is not open.
    """

    track: TrackRecord
    leg: Leg
    next_chunk: int
    shard: "ShardRecord | None" = None
    left: range = range(0)

    def chunks(self, chunk_frames: int) -> range:
        """All chunks of the leg, ascending. The video's length must be known."""
        first = first_chunk(self.leg, chunk_frames)
        last = last_chunk(self.leg, chunk_frames, self.track.video.num_frames)
        assert last is not None
        return range(min(first, last), max(first, last) + 1)

    @property
    def rows(self) -> range:
        """The frames, ascending, that the leg leaves a row for. The video's length must be known."""
        end = last_frame(self.leg, self.track.video.num_frames)
        assert end is not None
        return range(end, self.leg.first_row + 1) if self.leg.reverse else range(self.leg.first_row, end + 1)


@dataclass(slots=True, eq=False)
class ShardRecord:
    """Legs of one direction that go through the chunks in lock step, one order at a time.

    ``num_to_encode`` and ``num_to_propagate`` are the frames left for it as the backlog has last counted them.
    """

    video: VideoRecord
    legs: list[LegRecord]
    tries: Tries = field(default_factory=Tries)
    num_to_encode: int = 0
    num_to_propagate: int = 0

    def __post_init__(self) -> None:
        for leg in self.legs:
            leg.shard = self

    def prune(self) -> list[LegRecord]:
        """Drop the legs that have no frames left and return the others. The video's length must be known."""
        self.legs = [leg for leg in self.legs if leg.left and leg.shard is self]
        return self.legs

    def propagate_order(self, order_id: int, chunk_frames: int) -> tuple[PropagateOrder, list[LegRecord]]:
        """The order for the earliest chunk that any leg lacks, and the legs that lack it."""
        reverse = self.legs[0].leg.reverse
        chunks = [leg.next_chunk for leg in self.legs]
        chunk = max(chunks) if reverse else min(chunks)
        legs = [leg for leg in self.legs if leg.next_chunk == chunk]
        order = PropagateOrder(
            order_id=order_id,
            video=self.video.video,
            reverse=reverse,
            chunk=chunk,
            chunk_frames=chunk_frames,
            num_frames=self.video.num_frames,
            legs=tuple(leg.leg for leg in legs),
        )
        return order, legs


@dataclass(slots=True, eq=False)
class DetectRecord:
    """Tracks whose prompts are answered by one order."""

    tracks: list[TrackRecord]
    tries: Tries = field(default_factory=Tries)

    @property
    def video_id(self) -> str:
        """The first track's video."""
        return self.tracks[0].track.video.video_id

    def detect_order(self, order_id: int) -> DetectOrder:
        """The order for all of them."""
        return DetectOrder(order_id, tuple(DetectMember(track.track, track.fingerprint) for track in self.tracks))

    def split(self, num_parts: int) -> "list[DetectRecord]":
        """Records of fewer tracks each, with the tries so far."""
        bounds = even_bounds(len(self.tracks), num_parts)
        return [DetectRecord(self.tracks[low:high], replace(self.tries)) for low, high in bounds]


@dataclass(slots=True, eq=False)
class DiscoveryRecord:
    """A discover prompt at work: all windows before ``window`` are decided.

    ``track`` is that of the prompt, ``known`` are the held tracks with rows in this window, by object_id, the oldest
    first; ``saved`` is what an earlier run has left of them. While ``is_deciding``, the window is queued or at a
    replica. Where the job itself detects, ``detections_key`` is not "", ``detected`` windows have their detections, and
    ``detecting`` has a held track for each of the others.
    """

    video: VideoRecord
    track: TrackRecord
    window: int
    detections_key: str = ""
    detected: frozenset[int] = frozenset()
    detecting: list[TrackRecord] = field(default_factory=list)
    known: dict[str, TrackRecord] = field(default_factory=dict)
    saved: dict[str, SavedWork] = field(default_factory=dict)
    is_deciding: bool = False
    tries: Tries = field(default_factory=Tries)

    def discover_order(self, order_id: int, chunk_frames: int) -> DiscoverOrder:
        """The order to decide on the window."""
        assert self.video.facts is not None
        return DiscoverOrder(
            order_id=order_id,
            track=self.track.track,
            fingerprint=self.track.fingerprint,
            window=self.window,
            chunk_frames=chunk_frames,
            detections_key=self.detections_key,
            facts=replace(self.video.facts, num_frames=self.video.last_frame + 1),
            known=tuple(
                name for name, track in self.known.items() if track.legs[0].leg.start_frame <= self.video.last_frame
            ),
        )


Work = VideoRecord | ShardRecord | TrackRecord | DetectRecord | DiscoveryRecord


@dataclass(slots=True)
class Running:
    """A running order: its replica, its piece of work, and the legs of a PropagateOrder.

    ``tracks`` are those whose saved work the order may read or write; none while it opens a video.
    """

    replica_id: str
    order: Order
    work: Work
    legs: list[LegRecord] = field(default_factory=list)
    tracks: list[TrackRecord] = field(init=False)

    def __post_init__(self) -> None:
        match self.work:
            case DetectRecord(tracks=tracks):
                self.tracks = tracks
            case TrackRecord() as track:
                self.tracks = [track]
            case DiscoveryRecord(track=track):
                self.tracks = [track]
            case _:
                self.tracks = [leg.track for leg in self.legs]

    @property
    def affected_tracks(self) -> list[TrackRecord]:
        """The tracks that fail if the order fails for good: all of the video if it cannot be opened."""
        return self.work.tracks if isinstance(self.work, VideoRecord) else self.tracks

    def final_failure(self, failure: Failure) -> Failure:
        """The failure of the tracks, which says how often the order was tried."""
        tries, what = self.work.tries, _describe(self.order)
        if failure.kind is FailureKind.DIED:
            message = f"{what} ended {tries.deaths} replicas, the last one with: {failure.message}"
        elif failure.kind is FailureKind.LOST:
            message = f"{what} lost {tries.losses} replicas, the last one with: {failure.message}"
        elif tries.attempts > 1:
            message = f"{what} failed {tries.attempts} times, the last time with: {failure.message}"
        else:
            return failure
        return Failure(failure.kind, message, failure.frame_reached)


def _describe(order: Order) -> str:
    match order:
        case OpenOrder():
            return "opening the video"
        case PropagateOrder():
            low = order.chunk * order.chunk_frames
            return f"propagating frames {low} to {min(low + order.chunk_frames, order.num_frames) - 1}"
        case DetectOrder():
            return "answering the prompt"
        case DiscoverOrder():
            return "deciding which detections become tracks"
        case _:
            return "publishing the mask table"
