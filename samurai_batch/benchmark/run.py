"""Runs all measurements of a benchmark, one after the other."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from samurai_batch.benchmark.baselines import BaselineCost, measure_baselines, why_no_baseline
from samurai_batch.benchmark.costs import FULL_MEMORY, Costs, measure_costs
from samurai_batch.benchmark.end_to_end import EndToEnd, has_room_for, measure_end_to_end
from samurai_batch.benchmark.machine import Machine, describe_machine, num_cores
from samurai_batch.benchmark.mask_costs import MaskCost, measure_mask_costs
from samurai_batch.benchmark.memory import Peak, measure_peak
from samurai_batch.benchmark.sharing import Sharing, measure_sharing
from samurai_batch.errors import ConfigError
from samurai_batch.job import JobConfig, make_job
from samurai_batch.modeling.checkpoints import Weights, load_weights
from samurai_batch.modeling.process import prepare_process
from samurai_batch.modeling.weight_files import SHIPPED
from samurai_batch.runtime.assembly import make_tracker
from samurai_batch.runtime.devices import device_of, dtype_of

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
MAX_BASELINE_TRACKS = 4  # transformers propagates tracks one by one, so more of them say nothing new
NUM_SHARING = 2  # replicas
SHARED_CHUNK_FRAMES = 60  # so that a short video has several chunks


@dataclass(frozen=True, kw_only=True)
class BenchmarkSettings:
    """What is measured of each model; the defaults take about a minute on an idle machine.

    ``weights`` None uses the weights that ship, or untrained ones if there are none (speed does not depend on values);
    ``image_size`` None uses each model's own. ``num_frames`` is the length of each of two clips of the end-to-end
    measurement, ``num_memory_frames`` that of the clip for peak memory, ``num_shared_frames`` that of a video whose
    tracks are split over two replicas; 0 leaves out the measurement, and so does ``masks`` False for run lengths.
    """

    models: tuple[str, ...] = ("nano",)
    weights: str | None = None
    image_size: int | None = None
    dtype: Dtype = "auto"
    compile: bool = False
    cuda_graphs: bool = False
    frames_per_batch: int = 1
    tracks: tuple[int, ...] = (1, 2, 4, 8, 16)
    threads: int = 1
    repeats: int = 5
    num_frames: int = 120
    num_memory_frames: int = 60
    num_shared_frames: int = 0
    masks: bool = True


@dataclass(frozen=True, kw_only=True)
class ModelResult:
    """The measurements of one model; ``no_baseline_reason`` says why ``baselines`` is empty."""

    model: str
    weights: str
    image_size: int
    costs: Costs
    baselines: tuple[BaselineCost, ...]
    no_baseline_reason: str | None
    peak: Peak | None
    end_to_end: EndToEnd | None
    sharing: Sharing | None


@dataclass(frozen=True, kw_only=True)
class Results:
    """All measurements, and the machine."""

    machine: Machine
    models: tuple[ModelResult, ...]
    masks: tuple[MaskCost, ...] = ()


def run_benchmark(settings: BenchmarkSettings, on_progress: Callable[[str], None]) -> Results:
    """Measure; ``on_progress`` gets the name of each measurement as it starts.

    Raises ConfigError for a model or weights that do not exist, and for CUDA graphs without a GPU.
    """
    prepare_process(settings.threads)
    jobs = [_job(settings, model) for model in settings.models]
    if settings.cuda_graphs and device_of(jobs[0]) != "cuda":
        raise ConfigError("CUDA graphs (--cuda-graphs) need a GPU, and this machine has none; leave them out")
    weights = [load_weights(job.model, job.weights) for job in jobs]  # raises before any measurement
    on_progress("the machine")
    machine = describe_machine(dtype_of(jobs[0]), torch.device(device_of(jobs[0])))
    results = tuple(_measure(settings, job, one, machine, on_progress) for job, one in zip(jobs, weights, strict=True))
    masks: tuple[MaskCost, ...] = ()
    if settings.masks:
        on_progress("run lengths of masks")
        masks = tuple(measure_mask_costs(settings.repeats))
    return Results(machine=machine, models=results, masks=masks)


def _measure(
    settings: BenchmarkSettings, job: JobConfig, weights: Weights, machine: Machine, on_progress: Callable[[str], None]
) -> ModelResult:
    on_progress(f"{job.model}: seconds to encode a frame and to propagate tracks through it")
    tracker = make_tracker(job.model_copy(update={"tracker": FULL_MEMORY}), weights)
    model = tracker.model
    costs = measure_costs(tracker, settings.frames_per_batch, settings.tracks, settings.repeats, machine.matmul_gflops)
    reason = why_no_baseline(weights.config)
    if machine.device != "cpu":
        reason = "the baseline runs on the CPU only, and this benchmark on a GPU"
    baselines: tuple[BaselineCost, ...] = ()
    if reason is None:
        on_progress(f"{job.model}: the same with transformers")
        few = [count for count in settings.tracks if count <= MAX_BASELINE_TRACKS]
        baselines = measure_baselines(weights, model.image_size, few, settings.repeats)
    peak = end_to_end = sharing = None
    with tempfile.TemporaryDirectory(prefix="samurai_batch-bench-") as folder:
        if settings.num_memory_frames:
            on_progress(f"{job.model}: memory")
            peak = measure_peak(job, settings.num_memory_frames, Path(folder))
        if settings.num_frames:
            on_progress(f"{job.model}: jobs on Ray, against the bare loop")
            end_to_end = measure_end_to_end(job, settings.num_frames, Path(folder))
        if settings.num_shared_frames and not has_room_for(NUM_SHARING, job):
            on_progress(f"{job.model}: skipped a video shared by two replicas, as there is no room for a second one")
        elif settings.num_shared_frames:
            on_progress(f"{job.model}: a video shared by two replicas")
            short = job.model_copy(update={"chunk_frames": SHARED_CHUNK_FRAMES})
            sharing = measure_sharing(short, settings.num_shared_frames, NUM_SHARING, Path(folder))
    return ModelResult(
        model=job.model,
        weights=weights.source,
        image_size=model.image_size,
        costs=costs,
        baselines=baselines,
        no_baseline_reason=reason,
        peak=peak,
        end_to_end=end_to_end,
        sharing=sharing,
    )


def _job(settings: BenchmarkSettings, model: str) -> JobConfig:
    drawn = None if (SHIPPED / f"{model}.safetensors").exists() else "untrained:0"
    return make_job(
        {
            "prompts": "none: tracks are given",
            "output": "none: each job has its own",
            "model": model,
            "weights": settings.weights or drawn,
            "image_size": settings.image_size,
            "dtype": settings.dtype,
            "compile": settings.compile,
            "cuda_graphs": settings.cuda_graphs,
            "frames_per_batch": settings.frames_per_batch,
            "num_cpus_per_replica": float(min(settings.threads, num_cores())),
            "threads_per_replica": settings.threads,
        }
    )
