"""What the driver needs to know of a job."""

from dataclasses import dataclass

from samurai_batch.job import JobConfig
from samurai_batch.planning.retry import RetryLimits

LOSSES_PER_DEATH = 3
"""A replica that is lost with its node says so much less of its chunk than one that dies by itself."""


@dataclass(frozen=True, kw_only=True)
class DriverSettings:
    """What the driver needs to know of a job. Times are seconds.

    ``pictures_per_order``: every track is answered at once, on so many pictures by one order; None where tracks are
    followed through videos. A replica is replaced after ``chunks_per_replica``; None keeps it. ``retry_failed`` tries
    again what failed on its input before, though that is the same.
    A run whose heartbeat is older than ``stale_after_s`` is taken for dead; that must be many heartbeats.
    """

    output: str
    chunk_frames: int
    max_tracks_per_shard: int
    keep_partial: bool
    limits: RetryLimits
    split_shards: bool = True
    chunks_per_replica: int | None = None
    pictures_per_order: int | None = None
    retry_failed: bool = False
    num_transfers: int = 16
    tick_s: float = 0.5
    heartbeat_s: float = 5.0
    stale_after_s: float = 60.0

    @classmethod
    def of(cls, config: JobConfig, *, retry_failed: bool = False) -> "DriverSettings":
        """The settings of a job."""
        return cls(
            output=config.output,
            chunk_frames=config.chunk_frames,
            max_tracks_per_shard=config.max_tracks_per_shard,
            keep_partial=config.keep_partial,
            split_shards=config.split_shards,
            limits=RetryLimits(config.max_attempts, config.max_attempts, LOSSES_PER_DEATH * config.max_attempts),
            pictures_per_order=config.pictures_per_batch if config.task == "segment" else None,
            retry_failed=retry_failed,
            chunks_per_replica=config.chunks_per_replica,
        )
