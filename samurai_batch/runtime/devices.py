"""Where replicas compute: decided once, before any is started, and checked by each where it starts.

Ray hides GPUs from no process by itself: one that reserves none sees all of them. So the plan of a job names cpu or
cuda, and a replica without a reserved GPU is given none to see (`ray_pool`).
"""

import torch

from samurai_batch.job import JobConfig
from samurai_batch.modeling.cuda_setup import capability_text, current_gpu
from samurai_batch.redaction import get_logger
from samurai_batch.runtime.recipe import resolved_dtype

logger = get_logger(__name__)


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
