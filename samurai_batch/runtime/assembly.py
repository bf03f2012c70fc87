"""From a job's configuration to the parts that run it: tracker settings, recipe, replicas, a pool of them."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path

import torch

from samurai_batch import storage
from samurai_batch.errors import ConfigError, StorageError
from samurai_batch.images.networks import ImageNetwork, Sam2Network, build_network, load_image_weights
from samurai_batch.images.pictures import ObjectDetector
from samurai_batch.images.predictor import ImagePredictor
from samurai_batch.job import JobConfig
from samurai_batch.modeling.checkpoints import Weights, build_model, load_weights
from samurai_batch.modeling.compiling import compiled_encoder
from samurai_batch.modeling.configs import SamConfig
from samurai_batch.modeling.cuda_graphs import with_cuda_graphs
from samurai_batch.modeling.operations import Operations
from samurai_batch.modeling.process import prepare_process
from samurai_batch.modeling.sam2 import SAM2
from samurai_batch.pipeline import propagate_chunk
from samurai_batch.planning.fingerprints import Recipe
from samurai_batch.redaction import get_logger, redact_logging
from samurai_batch.runtime.capacity import ReplicaResources, even_share
from samurai_batch.runtime.detection import detect
from samurai_batch.runtime.devices import (
    check_device,
    device_of,
    dtype_of,
    keep_to_share,
    with_local_device,
    with_reserved_device,
)
from samurai_batch.runtime.failures import within_memory
from samurai_batch.runtime.machine_checks import check_here
from samurai_batch.runtime.pool import LocalPool, Pool, Worker
from samurai_batch.runtime.replica import OpenVideo, Replica
from samurai_batch.runtime.segmenting import PictureReplica
from samurai_batch.runtime.window_detections import detect_window
from samurai_batch.tracking.carried_memories import carried_memories
from samurai_batch.tracking.tracker import Tracker
from samurai_batch.video import StagingCache, VideoSource, open_staged, open_video, scene_cuts_of

logger = get_logger(__name__)

JobWeights = Weights | Weights[SamConfig]

MAX_DECODING_THREADS = 16
"""FFmpeg advises against more."""

MACHINE_THREADS = torch.get_num_threads()
"""What PyTorch takes this machine for, OMP_NUM_THREADS included, before anybody divides it."""


@dataclass(frozen=True)
class ReplicaPlan:
    """All that a process needs to build its replica; the weights are most of it."""

    config: JobConfig
    weights: JobWeights
    metadata: Mapping[str, str]


def load_job_weights(config: JobConfig) -> JobWeights:
    """The weights of a job, in the dtype it computes in. Raises ConfigError and CheckpointError."""
    load = load_weights if config.task == "track" else load_image_weights
    return load(config.model, config.weights).in_dtype(dtype_of(config))


def make_replica(plan: ReplicaPlan) -> Worker:
    """Build the network once, with its caches; called in the process that works with it.

    Raises ConfigError if the job's device is a GPU that cannot be used here.
    """
    return _make_replica(plan, check_device(plan.config))


def _make_replica(plan: ReplicaPlan, device: Mapping[str, str]) -> Worker:
    """The replica on a device that can be used; its name and compute capability go into the tables' metadata."""
    config, metadata = plan.config, {**plan.metadata, **device}
    has_threads = use_threads(config)
    open_video = video_opener(config, ahead=has_threads)
    if config.task == "segment":
        network = build_network(plan.weights, config.image_size, dtype_of(config), device_of(config))
        return PictureReplica(
            detector=_make_detector(network, config),
            open_video=open_video,
            store=storage,
            output=config.output,
            metadata=metadata,
        )
    assert not isinstance(plan.weights.config, SamConfig), "a job that tracks is refused without a tracker"
    tracker = make_tracker(config, plan.weights)
    detector = _make_detector(Sam2Network(tracker.model), config)

    propagate = partial(propagate_chunk, tracker, frames_per_batch=config.frames_per_batch, use_threads=has_threads)
    return Replica(
        propagate=lambda *chunk, check: within_memory(lambda: propagate(*chunk, check=check)),
        detect=lambda source, track: within_memory(partial(detect, detector, source, track)),
        rules=config.discovery,
        detect_window=lambda source, track: within_memory(
            partial(detect_window, detector, source, track, config.discovery.every)
        ),
        memories_at_end=partial(carried_memories, rules=tracker.rules),
        keeps_boundary_states=tracker.rules.paths is None,
        measure_cuts=None if config.frame_sampling.on_cut == "ignore" else scene_cuts_of,
        open_video=open_video,
        store=storage,
        output=config.output,
        metadata=metadata,
    )


def _make_detector(network: ImageNetwork, config: JobConfig) -> ObjectDetector:
    return ObjectDetector(ImagePredictor(network), config.detector, config.detector_threshold, config.everything)


def make_replica_process(plan: ReplicaPlan) -> Worker:
    """`make_replica` in a process of its own, whose CPU threads are the replica's."""
    prepare_process(network_threads(plan.config))
    redact_logging()
    device = check_device(plan.config)
    keep_to_share(plan.config)
    return _make_replica(plan, device)


def network_threads(config: JobConfig) -> int:
    """CPU threads that a replica's network computes with.

    Unless the job sets it, all CPUs of the replica but one, which is left to the threads that decode and make rows. If
    those compete with the network's threads, all of these wait for the one that is preempted: two threads on two cores
    were 10 to 40 % slower than one.
    """
    return config.threads_per_replica or max(1, _num_cpus(config) - 1)


def use_threads(config: JobConfig) -> bool:
    """Whether a replica decodes, scales and makes rows in background threads, or in turns with its network.

    In turns only where the job gives all CPUs of a replica to its network, which those threads would preempt.
    """
    threads = config.threads_per_replica
    return threads is None or threads < _num_cpus(config) or device_of(config) == "cuda"


def decoding_threads(config: JobConfig) -> int:
    """Threads that a replica decodes with: one beside a network on the CPU, which the others would preempt.

    Beside a network on a GPU all of the replica's CPUs but one, which is left to the thread that starts its kernels.
    """
    return min(max(1, _num_cpus(config) - 1), MAX_DECODING_THREADS) if device_of(config) == "cuda" else 1


def _num_cpus(config: JobConfig) -> int:
    """CPUs that are a replica's own."""
    if config.pool == "local":
        return MACHINE_THREADS // (config.replicas or 1)
    return math.ceil(config.num_cpus_per_replica)


def make_tracker(config: JobConfig, weights: Weights) -> Tracker:
    """The tracker of a job on the device it asks for."""
    model = build_model(weights, config.image_size, dtype_of(config), device_of(config))
    replays = config.cuda_graphs and device_of(config) == "cuda"
    operations = make_operations(
        model, is_compiled=config.compile, frames_per_batch=config.frames_per_batch, replays=replays
    )
    return Tracker(model, config.tracker_settings, operations)


def make_operations(
    model: SAM2, *, is_compiled: bool = False, frames_per_batch: int = 1, replays: bool = False
) -> Operations:
    """The network's operations for a tracker: the image encoder compiled, the others replayed as CUDA graphs, or not.

    An image encoder that is not compiled is replayed as well.
    """
    operations = Operations.of(model)
    if is_compiled:
        operations = replace(operations, encode_image=compiled_encoder(model, frames_per_batch))
    return with_cuda_graphs(operations, captures_encoder=not is_compiled) if replays else operations


def make_pool(plan: ReplicaPlan) -> Pool:
    """The pool a job asks for, its replicas being built."""
    config = plan.config
    if config.pool == "local":
        check_here(config)
        plan = replace(plan, config=with_local_device(config))
        prepare_process(network_threads(plan.config))
        return LocalPool(make_replica, plan, config.replicas or 1)
    starts_ray = config.ray_address is None and "RAY_ADDRESS" not in os.environ
    if starts_ray and "error" in os.environ.get("PYTHONWARNINGS", ""):
        raise ConfigError("PYTHONWARNINGS makes errors of warnings, and Ray does not start then; unset it")
    from samurai_batch.runtime import ray_pool  # Ray is loaded by jobs that run on it
    from samurai_batch.runtime.node_checks import check_nodes

    has_connected = ray_pool.connect(config.ray_address)
    try:
        resources = requested_resources(config)
        plan = replace(plan, config=with_reserved_device(config, resources.num_gpus))
        check_nodes(plan.config, resources)
        return ray_pool.RayPool(make_replica_process, plan, config.replicas, resources, owns_connection=has_connected)
    except BaseException:
        if has_connected:
            ray_pool.disconnect()
        raise


def table_metadata(config: JobConfig, recipe: Recipe, weights: JobWeights, run_id: str) -> dict[str, str]:
    """What every mask table of a run says of how it was made."""
    return {
        "run_id": run_id,
        "model": recipe.model,
        "weights": weights.source,
        "weights_digest": recipe.weights_digest,
        "image_size": str(recipe.image_size),
        "dtype": recipe.dtype,
        "tracker_settings": json.dumps(dict(recipe.settings)),
        "tracker_version": str(recipe.tracker_version),
        "look_up": json.dumps(dict(recipe.detection)),
        "frame_sampling": json.dumps(asdict(config.frame_sampling)),
        "samurai_batch_version": version("samurai-batch"),
    }


def video_opener(config: JobConfig, *, ahead: bool) -> OpenVideo:
    """Opens videos by URI: local ones where they are, others through a cache that is made when the first one needs it.

    A user without a home folder has nowhere to put copies, and needs none for local videos.
    """
    num_threads = decoding_threads(config)
    staging = cache(lambda: StagingCache(_made_cache_folder(config), int(config.cache_limit_gb * 1e9)))

    def open_one(uri: str) -> VideoSource:
        if any(map(storage.is_remote, storage.uris_of_files(uri))):
            return open_staged(uri, staging(), ahead=ahead, decoder=config.decoder, num_threads=num_threads)
        paths = [str(storage.local_path(file)) for file in storage.uris_of_files(uri)]
        return open_video(storage.as_one(paths), ahead=ahead, decoder=config.decoder, num_threads=num_threads)

    return open_one


def cache_folder(config: JobConfig) -> Path:
    """Where copies of remote videos lie on this machine. Raises RuntimeError for a user without a home folder."""
    if config.cache_dir is not None:
        return storage.local_path(config.cache_dir)
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "samurai_batch" / "videos"


def _made_cache_folder(config: JobConfig) -> Path:
    try:
        folder = cache_folder(config)
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        raise StorageError(
            f"copies of remote videos have no folder on this machine ({error}); set cache_dir to one you may write to"
        ) from error
    return folder


def requested_resources(config: JobConfig) -> ReplicaResources:
    """What a replica of a job requests of the Ray that this process has joined."""
    return ReplicaResources(num_cpus=config.num_cpus_per_replica, num_gpus=even_share(_num_gpus(config)))


def _num_gpus(config: JobConfig) -> float:
    if config.num_gpus_per_replica is not None:
        return config.num_gpus_per_replica
    if config.device != "auto":
        return float(config.device == "cuda")
    from samurai_batch.runtime.ray_cluster import node_resources

    nodes = node_resources()
    if not any(node.get("CPU") or node.get("GPU") for node in nodes):
        logger.warning(
            "device is auto and the cluster has no node yet: replicas request no GPU; set device: cuda to request one"
        )
    return float(any(node.get("GPU") for node in nodes))
