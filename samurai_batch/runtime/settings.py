"""What the driver needs to know of a job."""

from dataclasses import dataclass, field, replace

from samurai_batch.job import JobConfig
from samurai_batch.ledger.lease import STALE_AFTER_S
from samurai_batch.manifest.detections import Detections
from samurai_batch.planning.orders import DiscoverOrder
from samurai_batch.planning.retry import RetryLimits
from samurai_batch.planning.scheduler import ScheduleSettings
from samurai_batch.prompts import DiscoverPrompt
from samurai_batch.tasks import Track

LOSSES_PER_DEATH = 3
"""A chunk may lose so many replicas with their nodes for every replica that may die of it: a lost node says less."""


@dataclass(frozen=True, kw_only=True)
class DriverSettings(ScheduleSettings):
    """What the driver needs to know of a job. Times are seconds.

    With ``segments_pictures`` (``task: segment``), a DetectOrder answers every track on its picture, and the detections
    are rows of the track's own table. Otherwise it answers only auto prompts (text, everything), and each detection
    becomes a track that is then propagated. A DetectOrder takes ``videos_per_detect_order`` videos or pictures.

    A replica is replaced after ``chunks_per_replica``; None keeps it. ``retry_failed`` retries tracks that failed
    because of their input, though that has not changed. With ``keep_memories``, those of all tracks are kept at their
    ends; otherwise those that a prompt names. A run whose heartbeat is older than ``stale_after_s`` is
    considered dead; that must be many times ``heartbeat_s``. ``detections`` are those of videos with discover prompts.
    """

    output: str
    detections: Detections = field(default_factory=dict, repr=False)
    segments_pictures: bool = False
    videos_per_detect_order: int = 1
    chunks_per_replica: int | None = None
    retry_failed: bool = False
    keep_memories: bool = False
    num_transfers: int = 16
    tick_s: float = 0.5
    heartbeat_s: float = 5.0
    stale_after_s: float = STALE_AFTER_S

    @classmethod
    def of(
        cls, config: JobConfig, *, retry_failed: bool = False, detections: Detections | None = None
    ) -> "DriverSettings":
        """The settings of a job."""
        return cls(
            output=config.output,
            detections=detections or {},
            chunk_frames=config.chunk_frames * config.frame_step,
            max_tracks_per_shard=config.max_tracks_per_shard,
            keep_partial=config.keep_partial,
            split_shards=config.split_shards,
            limits=RetryLimits(config.max_attempts, config.max_attempts, LOSSES_PER_DEATH * config.max_attempts),
            segments_pictures=config.task == "segment",
            videos_per_detect_order=config.pictures_per_batch if config.task == "segment" else 1,
            retry_failed=retry_failed,
            keep_memories=config.keep_memories,
            chunks_per_replica=config.chunks_per_replica,
        )

    def is_detected(self, track: Track) -> bool:
        """Whether DetectOrders or DiscoverOrders answer the track; others are propagated."""
        return self.segments_pictures or track.auto_prompt is not None

    def is_discovered(self, track: Track) -> bool:
        """Whether DiscoverOrders answer the track."""
        return isinstance(track.auto_prompt, DiscoverPrompt)

    def with_detections(self, order: DiscoverOrder) -> DiscoverOrder:
        """The order with the detections of its video, if the job has a table of them."""
        found = self.detections.get(order.video.video_id)
        start = order.window * order.chunk_frames
        frames = range(start, start + order.chunk_frames + 1)  # and the first one of the next window
        return order if found is None else replace(order, detections=found.on(frames))

    def has_detected_tracks(self, track: Track) -> bool:
        """Whether each detection of the track becomes a track of its own."""
        return not self.segments_pictures and track.auto_prompt is not None
