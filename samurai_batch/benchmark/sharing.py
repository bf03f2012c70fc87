"""Measures a video whose shard is split over replicas, and compares it with the cost model's prediction.

A shard of n tracks costs E + n * M per frame, and half of it E + n/2 * M (`planning.shards`). Replicas on one
machine slow each other a little, because cores share a cache with each other and with Ray's processes. So E and M are
measured with as many replicas at work, each on a video of its own.
"""

from dataclasses import dataclass
from pathlib import Path

from samurai_batch import storage
from samurai_batch.benchmark.clip import clip_tracks, write_clip
from samurai_batch.benchmark.end_to_end import MeasuredJob, run_measured
from samurai_batch.job import JobConfig
from samurai_batch.ledger.store import read_run
from samurai_batch.planning.rates import Rates
from samurai_batch.planning.shards import even_bounds

NUM_TRACKS = 8


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """Seconds to track the objects of one clip by one replica and by ``num_replicas``, once all are ready.

    ``rates_alone`` were measured by the job with one replica, ``rates_together`` by one with a clip per replica.
    """

    num_frames: int
    num_replicas: int
    chunk_frames: int
    rates_alone: Rates
    rates_together: Rates
    one_replica_s: float
    shared_s: float
    num_splits: int

    @property
    def predicted_s(self) -> float:
        """The cost model's prediction of ``shared_s``.

        One replica processes the first chunk, because the scheduler has no rates before; then the shard is split. The
        largest part decides, and its tracks' states have to be moved.
        """
        low, high = max(even_bounds(NUM_TRACKS, self.num_replicas), key=lambda part: part[1] - part[0])
        first_s = chunk_s(self.rates_alone, self.chunk_frames, NUM_TRACKS)
        left = self.num_frames - self.chunk_frames
        rest_s = chunk_s(self.rates_together, self.chunk_frames, high - low) * left / self.chunk_frames
        return self.rates_alone.open_s + first_s + self.rates_together.move_s(high - low) + rest_s

    @property
    def error(self) -> float:
        """(measured - predicted) / predicted time."""
        return self.shared_s / self.predicted_s - 1


def chunk_s(rates: Rates, num_frames: int, num_tracks: int) -> float:
    """Seconds to process one chunk, saving its states and rows included."""
    return num_frames * (rates.encode_s + num_tracks * rates.propagate_s) + num_tracks * rates.save_s


def measure_sharing(config: JobConfig, num_frames: int, num_replicas: int, folder: Path) -> Sharing:
    """Run three jobs, one after the other. Of ``config``, model, threads and chunks are used, and the output is not.

    Meaningful only if each replica has a core of its own and nothing else runs.
    """
    clips = [write_clip(folder / f"shared{number}.mp4", num_frames) for number in range(num_replicas)]
    together = [track for clip in clips for track in clip_tracks(clip, NUM_TRACKS // num_replicas)]
    one = run_measured(config, clip_tracks(clips[0], NUM_TRACKS), folder / "alone", 1)
    unsplit = config.model_copy(update={"split_shards": False})
    beside = run_measured(unsplit, together, folder / "together", num_replicas)
    shared = run_measured(config, clip_tracks(clips[0], NUM_TRACKS), folder / "shared", num_replicas)
    return Sharing(
        num_frames=num_frames,
        num_replicas=num_replicas,
        chunk_frames=config.chunk_frames,
        rates_alone=_rates_of(one),
        rates_together=_rates_of(beside),
        one_replica_s=one.propagated_s,
        shared_s=shared.propagated_s,
        num_splits=shared.summary.totals.splits,
    )


def _rates_of(job: MeasuredJob) -> Rates:
    summary = job.summary
    record = read_run(storage, summary.output, summary.run_id)
    assert record is not None
    assert record.rates is not None, "a run that has processed a chunk has measured rates"
    return record.rates
