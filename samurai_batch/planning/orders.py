"""Orders of the scheduler to replicas, reports of replicas, and outcomes of the scheduler for the ledger."""

from dataclasses import dataclass, field
from typing import Literal

from samurai_batch.planning.discovery import Decision
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.planning.validation import VideoFacts
from samurai_batch.prompts import FrameDetection
from samurai_batch.stats import WorkStats
from samurai_batch.tasks import Leg, Track, Video

TrackStatus = Literal["done", "partial", "failed"]


@dataclass(frozen=True)
class OpenOrder:
    """Open a video and report its length and size."""

    order_id: int
    video: Video


@dataclass(frozen=True, kw_only=True)
class PropagateOrder:
    """Propagate legs of one direction through one chunk of one video.

    ``num_frames`` is the number of frames of the video, or of those before the truncation where it is truncated.
    """

    order_id: int
    video: Video
    reverse: bool
    chunk: int
    chunk_frames: int
    num_frames: int
    legs: tuple[Leg, ...]


@dataclass(frozen=True, kw_only=True)
class PublishOrder:
    """Join the saved parts of a track into its mask table: a row for each frame in ``rows`` that it is tracked on.

    ``chunks`` names the parts as (reverse, chunk), in ascending order of their frames. With ``keeps_memories``, those
    at the end of the track are kept for tracks of other videos; the driver says so.
    """

    order_id: int
    track: Track
    fingerprint: str
    chunk_frames: int
    chunks: tuple[tuple[bool, int], ...]
    rows: range
    keeps_memories: bool = False


@dataclass(frozen=True)
class DetectMember:
    """One track of a DetectOrder; its detections are kept under ``fingerprint``."""

    track: Track
    fingerprint: str


@dataclass(frozen=True)
class DetectOrder:
    """Run the prompts of tracks on single frames, of one video or of several pictures, and write the results.

    On a video those are the detections of auto prompts, on pictures (``task: segment``) the masks of all prompts.
    """

    order_id: int
    members: tuple[DetectMember, ...]


@dataclass(frozen=True, kw_only=True)
class DiscoverOrder:
    """Decide on one window (chunk) of a discovery, from the saved rows of its tracks and the detections.

    ``track`` is that of the discover prompt, ``known`` are the object_ids of tracks with rows in the window, and
    ``facts`` those of the video up to a truncation. ``detections`` are those of the window and of the frame after it,
    which the driver adds; with a ``detections_key``, they are read from where replicas have kept them.
    """

    order_id: int
    track: Track
    fingerprint: str
    window: int
    chunk_frames: int
    facts: VideoFacts
    known: tuple[str, ...]
    detections_key: str = ""
    detections: tuple[FrameDetection, ...] = ()

    @property
    def video(self) -> Video:
        """The video that is discovered."""
        return self.track.video


Order = OpenOrder | PropagateOrder | PublishOrder | DetectOrder | DiscoverOrder


def num_tracks_of(order: Order) -> int:
    """The tracks that an order works on; a video to open counts as one."""
    match order:
        case PropagateOrder():
            return len(order.legs)
        case DetectOrder():
            return len(order.members)
        case _:
            return 1


@dataclass(frozen=True)
class VideoOpened:
    """Answer to an OpenOrder; ``seconds`` includes fetching a remote file."""

    order_id: int
    facts: VideoFacts
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ChunkPropagated:
    """Answer to a PropagateOrder whose parts and states are all written."""

    order_id: int
    stats: WorkStats
    seconds: float


@dataclass(frozen=True)
class TrackPublished:
    """Answer to a PublishOrder whose mask table is written."""

    order_id: int
    num_rows: int
    seconds: float


@dataclass(frozen=True)
class Detected:
    """Answer to a DetectOrder: for each member, in their order, the rows published, or why there are none."""

    order_id: int
    answers: tuple[int | Failure, ...]
    seconds: float
    stats: WorkStats = field(default_factory=WorkStats)


@dataclass(frozen=True)
class Discovered:
    """Answer to a DiscoverOrder. A decision without missing tracks is written."""

    order_id: int
    decision: Decision
    seconds: float


@dataclass(frozen=True)
class OrderFailed:
    """Answer to an order that failed."""

    order_id: int
    failure: Failure
    seconds: float


Report = VideoOpened | ChunkPropagated | TrackPublished | Detected | Discovered | OrderFailed


@dataclass(frozen=True)
class Assignment:
    """An order, and the idle replica it goes to."""

    replica_id: str
    order: Order


@dataclass(frozen=True, kw_only=True)
class TrackSettled:
    """A track has ended: published, published up to a truncation, or failed. No order includes it any more.

    ``failure`` says why it is not "done"; ``seconds`` is its share of replica time in this run.
    """

    track: Track
    fingerprint: str
    status: TrackStatus
    num_rows: int = 0
    attempts: int = 1
    seconds: float = 0.0
    failure: Failure | None = None


@dataclass(frozen=True)
class WorkInvalidated:
    """Saved work that has to be deleted before the next order: all chunks of one direction of a track."""

    fingerprint: str
    reverse: bool


@dataclass(frozen=True)
class VideoFactsKnown:
    """A video's length and size; kept in the ledger for later runs."""

    video_id: str
    facts: VideoFacts


@dataclass(frozen=True)
class VideoTruncated:
    """A video is truncated; kept in the ledger for a run that continues saved work. See Failure."""

    video_id: str
    failure: Failure


Outcome = TrackSettled | WorkInvalidated | VideoFactsKnown | VideoTruncated


def is_new_truncation(order: Order, failure: Failure) -> bool:
    """Whether a failure shows a truncation that was not known: reading ended before the frames of the order."""
    return (
        failure.kind is FailureKind.TRUNCATED
        and isinstance(order, PropagateOrder)
        and failure.frame_reached is not None
        and failure.frame_reached < order.num_frames
    )
