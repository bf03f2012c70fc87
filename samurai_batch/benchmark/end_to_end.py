"""Measures whole jobs on Ray against a bare loop: the framework's overhead, and the speed-up by a second replica."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from samurai_batch.benchmark.clip import clip_tracks, write_clip
from samurai_batch.benchmark.machine import num_cores
from samurai_batch.benchmark.subprocesses import in_processes_at_once, in_subprocess, wait_for_the_others
from samurai_batch.errors import SamuraiBatchError
from samurai_batch.job import JobConfig, make_job
from samurai_batch.ledger.status import RunSummary, exit_code
from samurai_batch.masks import MaskRow, rows_to_table
from samurai_batch.planning.orders import Order
from samurai_batch.runtime.pool import Pool, PoolEvent, PoolFailed, ReplicaDied, ReplicaReady
from samurai_batch.runtime.run import run_job
from samurai_batch.tasks import Track
from samurai_batch.tracking.frame_batches import frame_batches
from samurai_batch.tracking.mask_rows import mask_rows, start_masks
from samurai_batch.tracking.prompts import to_frame_prompt
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput
from samurai_batch.tracking.video_masks import MaskEncoder
from samurai_batch.video import open_video

NUM_CLIPS = 2


@dataclass(frozen=True, kw_only=True)
class EndToEnd:
    """Seconds to track one object in each of two clips, by a bare loop, by a job with one replica, and with two.

    A job's time is counted from the moment all replicas are ready until the last table is written; ``startup_s`` is the
    time before, with a Ray cluster of its own. ``two_bare_s`` is the time of two bare loops at once, one clip each:
    what the machine allows. It and ``two_replicas_s`` are None if the machine has no room for a second replica.
    """

    num_frames: int
    bare_s: float
    two_bare_s: float | None
    one_replica_s: float
    two_replicas_s: float | None
    startup_s: float

    @property
    def overhead(self) -> float:
        """The additional time of a job, as a share of the bare loop's."""
        return self.one_replica_s / self.bare_s - 1

    @property
    def scaling(self) -> float | None:
        """The speed-up of two replicas over one."""
        return self.two_replicas_s and self.one_replica_s / self.two_replicas_s

    @property
    def bare_scaling(self) -> float | None:
        """The speed-up of two bare loops at once over one."""
        return self.two_bare_s and self.bare_s / self.two_bare_s


def measure_end_to_end(config: JobConfig, num_frames: int, folder: Path) -> EndToEnd:
    """Run bare loops and jobs, one after the other; each bare loop in a subprocess.

    Of ``config``, model and threads are used, and the output is not.
    """
    clips = [str(write_clip(folder / f"clip{number}.mp4", num_frames)) for number in range(NUM_CLIPS)]
    has_two = has_room_for(NUM_CLIPS, config)
    bare_s = in_subprocess(run_bare_loop, config, clips, str(folder / "bare.parquet"))
    each = [partial(run_bare_loop, config, [clip], f"{clip}.parquet") for clip in clips]
    two_bare_s = max(in_processes_at_once(each)) if has_two else None
    tracks = [track for clip in clips for track in clip_tracks(Path(clip), 1)]
    one = run_measured(config, tracks, folder / "job1", 1)
    two = run_measured(config, tracks, folder / "job2", NUM_CLIPS) if has_two else None
    return EndToEnd(
        num_frames=num_frames * NUM_CLIPS,
        bare_s=bare_s,
        two_bare_s=two_bare_s,
        one_replica_s=one.propagated_s,
        two_replicas_s=two.propagated_s if two else None,
        startup_s=one.startup_s,
    )


def has_room_for(num_replicas: int, config: JobConfig) -> bool:
    """Whether this machine has enough cores and GPUs for so many replicas."""
    from samurai_batch.runtime.devices import device_of

    gpus_each = config.num_gpus_per_replica
    if gpus_each is None:
        gpus_each = 1.0 if device_of(config) == "cuda" else 0.0
    num_gpus = torch.cuda.device_count() if gpus_each else 0
    return num_replicas * config.num_cpus_per_replica <= num_cores() and num_replicas * gpus_each <= num_gpus


def run_bare_loop(config: JobConfig, clips: list[str], output: str) -> float:
    """`bare_loop` with the model, threads and batches of a job; returns seconds."""
    from samurai_batch.modeling.checkpoints import load_weights
    from samurai_batch.modeling.process import prepare_process
    from samurai_batch.runtime.assembly import make_tracker, network_threads

    prepare_process(network_threads(config))
    tracker = make_tracker(config, load_weights(config.model, config.weights))
    tracks = [track for clip in clips for track in clip_tracks(Path(clip), 1)]
    wait_for_the_others()
    return bare_loop(tracker, tracks, output, config.frames_per_batch)


def bare_loop(tracker: Tracker, tracks: Sequence[Track], output: str, frames_per_batch: int = 1) -> float:
    """Decode, track, collect rows and write one Parquet file, with nothing else around it; returns seconds.

    Tracks are propagated one after the other, each forward from a box on frame 0.
    """
    start_s = time.perf_counter()
    rows = [row for track in tracks for row in _propagated(tracker, track, frames_per_batch)]
    table: pa.Table = rows_to_table(rows)
    pq.write_table(table, output, compression="zstd")
    return time.perf_counter() - start_s


def _propagated(tracker: Tracker, track: Track, frames_per_batch: int) -> list[MaskRow]:
    rows: list[MaskRow] = []
    encoder = MaskEncoder(tracker.settings.fill_hole_area)
    with open_video(track.video.uri, ahead=False) as source:
        height, width = source.info.height, source.info.width
        prompt = to_frame_prompt(track.prompts, height, width, tracker.model.image_size, None)
        state = TrackState(num_frames=source.info.num_frames)
        for batch in frame_batches(tracker.model, source.frames(range(source.info.num_frames)), frames_per_batch):
            features = tracker.encode(batch.pixels)
            for number, place in enumerate(batch.frames):
                track_input = TrackInput(state, None if place.index else prompt)
                (result,) = tracker.step(features.frame(number), [track_input], video_size=(height, width))
                rows += mask_rows([track], place, [result], start_masks(encoder, place, [result]))
    return rows


@dataclass
class PatientPool:
    """Wraps a pool: holds back its events until ``num_replicas`` are ready, and measures when that is."""

    pool: Pool
    num_replicas: int
    ready_s: float = 0.0
    closed_s: float = 0.0

    def __post_init__(self) -> None:
        self._held: list[PoolEvent] = []

    def submit(self, replica_id: str, order: Order) -> None:
        """See `Pool`."""
        self.pool.submit(replica_id, order)

    def wait(self, timeout_s: float) -> list[PoolEvent]:
        """See `Pool`; returns nothing until all replicas are ready or one has failed."""
        events = self.pool.wait(timeout_s)
        if self.ready_s:
            return events
        self._held += events
        num_ready = sum(isinstance(event, ReplicaReady) for event in self._held)
        has_failed = any(isinstance(event, PoolFailed | ReplicaDied) for event in self._held)
        if num_ready < self.num_replicas and not has_failed:
            return []
        self.ready_s = time.perf_counter()
        return self._held

    def replace(self, replica_id: str) -> None:
        """See `Pool`."""
        self.pool.replace(replica_id)

    def close(self) -> None:
        """See `Pool`; all tables have been written."""
        self.closed_s = time.perf_counter()
        self.pool.close()


@dataclass(frozen=True)
class MeasuredJob:
    """Seconds until all replicas were ready, and from then until the last table was written."""

    startup_s: float
    propagated_s: float
    summary: RunSummary


def run_measured(config: JobConfig, tracks: Sequence[Track], output: Path, num_replicas: int) -> MeasuredJob:
    """Run a job of these tracks. Raises SamuraiBatchError if a track fails."""
    from samurai_batch.runtime import assembly

    job = make_job(config.model_dump() | {"output": str(output), "replicas": num_replicas})
    pools: list[PatientPool] = []

    def make_pool(plan: assembly.ReplicaPlan) -> Pool:
        pools.append(PatientPool(assembly.make_pool(plan), num_replicas))
        return pools[0]

    start_s = time.perf_counter()
    summary = run_job(job, tracks=tracks, make_pool=make_pool)
    if exit_code(summary):
        raise SamuraiBatchError(f"the measured job failed: {summary.problems}")
    return MeasuredJob(pools[0].ready_s - start_s, pools[0].closed_s - pools[0].ready_s, summary)
