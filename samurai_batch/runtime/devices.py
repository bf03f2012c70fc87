"""Where replicas compute: decided once, before any is started, and checked by each where it starts.

Ray hides GPUs from no process by itself: one that reserves none sees all of them. So the plan of a job names cpu or
cuda, and a replica without a reserved GPU is given none to see (`ray_pool`).
"""

import torch

from samurai_batch.errors import ConfigError
from samurai_batch.job import JobConfig
from samurai_batch.modeling.cuda_setup import capability_text, current_gpu
from samurai_batch.redaction import get_logger
from samurai_batch.runtime.capacity import even_share
from samurai_batch.runtime.recipe import resolved_dtype

logger = get_logger(__name__)

CONTEXT_BYTES = 600_000_000
"""What a process takes of a GPU beside PyTorch's reserve: CUDA's context and the kernels that it has loaded. Reports
name 300 to 500 MB; `jobs/gpu_checks.py` measures it."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}


def dtype_of(config: JobConfig) -> torch.dtype:
    """The dtype that a job computes in."""
    return DTYPES[resolved_dtype(config)]


def device_of(config: JobConfig) -> str:
    """The device of a job in this process, "cpu" or "cuda"; "auto" takes a GPU that PyTorch can use here."""
    if config.device != "auto":
        return config.device
    return "cuda" if torch.cuda.is_available() else "cpu"


def with_local_device(config: JobConfig) -> JobConfig:
    """The job with the device that its replicas in this process compute on."""
    return config.model_copy(update={"device": device_of(config)})


def with_reserved_device(config: JobConfig, num_gpus: float) -> JobConfig:
    """The job with the device of replicas on Ray that reserve ``num_gpus``: a GPU is used where it is reserved."""
    if num_gpus and config.dtype == "float32":
        logger.warning(
            "replicas compute in float32 on GPUs, which is slow; set dtype: bfloat16, or float16 before compute "
            "capability 8.0"
        )
    return config.model_copy(update={"device": "cuda" if num_gpus else "cpu"})


def check_device(config: JobConfig) -> dict[str, str]:
    """What a replica in this process computes on, for its tables. Raises ConfigError for a GPU that cannot be used."""
    if device_of(config) == "cpu":
        return {"device": "cpu"}
    gpu = current_gpu()
    return {"device": gpu.name, "compute_capability": capability_text(gpu.capability)}


def keep_to_share(config: JobConfig) -> None:
    """Keep this process to its share of the memory of the GPU that it reserves a part of.

    PyTorch counts only what it reserves itself; without room for CUDA's contexts, the last replica of a GPU finds less
    than its share. Raises ConfigError for a share that is no larger than a context.
    """
    share = even_share(config.num_gpus_per_replica or 0.0)
    if device_of(config) == "cpu" or not 0 < share < 1:
        return
    _, total_bytes = torch.cuda.mem_get_info()
    own = share - CONTEXT_BYTES / total_bytes
    if own <= 0:
        raise ConfigError(
            f"num_gpus_per_replica is {config.num_gpus_per_replica:g}, and that share of this GPU's "
            f"{total_bytes / 1e9:.1f} GB is taken by CUDA alone; let fewer replicas share a GPU"
        )
    torch.cuda.set_per_process_memory_fraction(own)
