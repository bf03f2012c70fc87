"""What the driver needs to know of a job."""

from dataclasses import dataclass

from samurai_batch.job import JobConfig
from samurai_batch.planning.retry import RetryLimits


@dataclass(frozen=True, kw_only=True)
class DriverSettings:
    """What the driver needs to know of a job. Times are seconds.

    A run whose heartbeat is older than ``stale_after_s`` is taken for dead; that must be many heartbeats.
    """

    output: str
    chunk_frames: int
    max_tracks_per_shard: int
    keep_partial: bool
    limits: RetryLimits
    num_transfers: int = 16
    tick_s: float = 0.5
    heartbeat_s: float = 5.0
    stale_after_s: float = 60.0

    @classmethod
    def of(cls, config: JobConfig) -> "DriverSettings":
        """The settings of a job."""
        return cls(
            output=config.output,
            chunk_frames=config.chunk_frames,
            max_tracks_per_shard=config.max_tracks_per_shard,
            keep_partial=config.keep_partial,
            limits=RetryLimits(config.max_attempts, config.max_attempts),
        )
