"""Whole jobs on Ray against the bare loop: what the framework costs, and what a second replica brings."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from samurai_batch.benchmark.clip import clip_tracks, write_clip
from samurai_batch.benchmark.machine import has_room
from samurai_batch.benchmark.subprocesses import in_processes_at_once, in_subprocess, wait_for_the_others
from samurai_batch.errors import SamuraiBatchError
from samurai_batch.job import JobConfig, make_job
from samurai_batch.planning.orders import Order
from samurai_batch.runtime.pool import Pool, PoolEvent, PoolFailed, ReplicaDied, ReplicaReady
from samurai_batch.runtime.run import run_job
from samurai_batch.runtime.summary import RunSummary, exit_code
from samurai_batch.tasks import Track

NUM_CLIPS = 2


@dataclass(frozen=True, kw_only=True)
class EndToEnd:
    """Seconds of following two clips, one track each: by the bare loop, by a job with one replica, and with two.

    Those of jobs count from the moment that every replica is ready to the last table's; ``startup_s`` is all before it,
    with a Ray cluster of its own. ``two_bare_s`` is by two loops at once, a clip each: what the machine itself allows.
    It and ``two_replicas_s`` are None where the machine has no room for a second replica.
    """

    num_frames: int
    bare_s: float
    two_bare_s: float | None
    one_replica_s: float
    two_replicas_s: float | None
    startup_s: float

    @property
    def overhead(self) -> float:
        """What a job takes more than the bare loop, as a share of it."""
        return self.one_replica_s / self.bare_s - 1

    @property
    def scaling(self) -> float | None:
        """How many times as fast two replicas are as one."""
        return self.two_replicas_s and self.one_replica_s / self.two_replicas_s

    @property
    def bare_scaling(self) -> float | None:
        """How many times as fast two bare loops are as one."""
        return self.two_bare_s and self.bare_s / self.two_bare_s


def measure_end_to_end(config: JobConfig, num_frames: int, folder: Path) -> EndToEnd:
    """Run the loop and both jobs, one after the other, in processes of their own.

    ``config`` says model and threads; its output is not used.
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
    """Whether this machine has the cores and GPUs of so many replicas."""
    from samurai_batch.runtime.assembly import device_of

    gpus_each = config.num_gpus_per_replica
    if gpus_each is None:
        gpus_each = 1.0 if device_of(config) == "cuda" else 0.0
    return has_room(num_replicas, config.num_cpus_per_replica, gpus_each)


def run_bare_loop(config: JobConfig, clips: list[str], output: str) -> float:
    """`bare_loop` with a job's model, threads and batches."""
    from samurai_batch.benchmark.bare_loop import bare_loop
    from samurai_batch.modeling.checkpoints import load_weights
    from samurai_batch.modeling.process import prepare_process
    from samurai_batch.runtime.assembly import make_tracker, network_threads

    prepare_process(network_threads(config))
    tracker = make_tracker(config, load_weights(config.model, config.weights))
    tracks = [track for clip in clips for track in clip_tracks(Path(clip), 1)]
    wait_for_the_others()
    return bare_loop(tracker, tracks, output, config.frames_per_batch)


@dataclass
class PatientPool:
    """Another pool that gives out no order before ``num_replicas`` are ready, and notes the time of it."""

    pool: Pool
    num_replicas: int
    ready_s: float = 0.0
    closed_s: float = 0.0

    def __post_init__(self) -> None:
        self._held: list[PoolEvent] = []

    def submit(self, replica_id: str, order: Order) -> None:
        """As the pool."""
        self.pool.submit(replica_id, order)

    def wait(self, timeout_s: float) -> list[PoolEvent]:
        """As the pool, from the moment that all replicas are ready."""
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
        """As the pool."""
        self.pool.replace(replica_id)

    def close(self) -> None:
        """As the pool; there is nothing more to do."""
        self.closed_s = time.perf_counter()
        self.pool.close()


@dataclass(frozen=True)
class MeasuredJob:
    """Seconds of a job: until all replicas were ready, and from then on to the last table's."""

    startup_s: float
    propagated_s: float
    summary: RunSummary


def run_measured(config: JobConfig, tracks: Sequence[Track], output: Path, num_replicas: int) -> MeasuredJob:
    """Run a job of these tracks. Raises SamuraiBatchError if one of them is not done."""
    from samurai_batch.runtime import assembly

    job = make_job(config.model_dump() | {"output": str(output), "replicas": num_replicas})
    pools: list[PatientPool] = []

    def make_pool(plan: assembly.ReplicaPlan) -> Pool:
        pools.append(PatientPool(assembly.make_pool(plan), num_replicas))
        return pools[0]

    start_s = time.perf_counter()
    summary = run_job(job, tracks=tracks, make_pool=make_pool)
    if exit_code(summary):
        raise SamuraiBatchError(f"the measured job did not end well: {summary.problems}")
    return MeasuredJob(pools[0].ready_s - start_s, pools[0].closed_s - pools[0].ready_s, summary)
