"""What a machine has for the replicas of a job, one line each, and what of it would let the job fail.

`samurai-batch doctor` prints it of this machine or of every node; a run makes the same checks before it starts
replicas (`node_checks`).
"""

import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from samurai_batch.errors import ConfigError
from samurai_batch.job import JobConfig
from samurai_batch.modeling.cuda_setup import (
    CudaSetup,
    capability_text,
    dtype_warning,
    read_cuda_setup,
    why_unusable,
    with_one_gpu,
)
from samurai_batch.modeling.gpu import attention_backend
from samurai_batch.modeling.kernels import cpu_kernels
from samurai_batch.redaction import get_logger
from samurai_batch.runtime.devices import dtype_of
from samurai_batch.video import describe_decoder

logger = get_logger(__name__)

Level = Literal["ok", "warning", "problem"]

_MEMORY_INFO, _CGROUP_LIMIT = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line: what was checked, and what was there. With a "problem" a job fails; both levels name the remedy."""

    subject: str
    result: str
    level: Level = "ok"

    def __str__(self) -> str:
        return f"{self.level:<8} {self.subject:<10} {self.result}"


def problems(checks: Sequence[Check]) -> list[str]:
    """What would let a job fail, each as one sentence."""
    return [f"{check.subject}: {check.result}" for check in checks if check.level == "problem"]


def log_warnings(checks: Sequence[Check], where: str) -> None:
    """Log what is slow or unused, but lets no job fail."""
    for check in checks:
        if check.level == "warning":
            logger.warning("%s: %s: %s", where, check.subject, check.result)


def check_here(config: JobConfig) -> None:
    """Check this machine before replicas are started on it. Raises ConfigError if the job would fail."""
    checks = check_machine(config)
    log_warnings(checks, "this machine")
    if wrong := problems(checks):
        raise ConfigError("no replica can work on this machine: " + "; ".join(wrong))


def check_machine(config: JobConfig, submitter: str | None = None) -> tuple[Check, ...]:
    """Check this machine for the replicas of a job; ``config.device`` is decided, or "auto" for a job that starts here.

    ``submitter`` is the version of this package in the process that starts the job, if that is another machine.
    """
    return check_setup(config, read_cuda_setup(), submitter)


def check_setup(config: JobConfig, setup: CudaSetup, submitter: str | None = None) -> tuple[Check, ...]:
    """`check_machine` with the GPUs and their software as values."""
    is_on_gpu = _is_on_gpu(config, setup)
    return (
        _check_package(submitter),
        Check(subject="torch", result=f"{setup.torch}, {_build(setup)}"),
        Check(subject="driver", result=setup.driver or "none"),
        *_check_gpus(config, setup, is_on_gpu),
        _check_network(config, setup, is_on_gpu),
        *_check_compiler(config, is_on_gpu),
        Check(subject="memory", result=_memory()),
        _check_decoder(config),
    )


def _is_on_gpu(config: JobConfig, setup: CudaSetup) -> bool:
    """Whether replicas here compute on a GPU. Ray reserves one for ``device: auto`` wherever the driver shows it."""
    if config.device != "auto":
        return config.device == "cuda"
    return setup.works or (config.pool == "ray" and bool(setup.gpus) and not setup.hides_gpus)


def _check_package(submitter: str | None) -> Check:
    ours = version("samurai-batch")
    result = f"{platform.python_version()}, samurai-batch {ours}, Ray {version('ray')}"
    if submitter in (None, ours):
        return Check(subject="python", result=result)
    return Check(
        subject="python",
        result=f"{result}, but the job is started by samurai-batch {submitter}; install the same version on both",
        level="problem",
    )


def _build(setup: CudaSetup) -> str:
    return f"built with CUDA {setup.cuda_build}" if setup.cuda_build else "built without CUDA"


def _check_gpus(config: JobConfig, setup: CudaSetup, is_on_gpu: bool) -> Iterator[Check]:
    """A line for each GPU, and one for what keeps PyTorch from using them."""
    for index, gpu in enumerate(setup.gpus):
        memory = ""
        if gpu.free_bytes is not None and gpu.total_bytes is not None:
            memory = f", {_gigabytes(gpu.free_bytes)} of {_gigabytes(gpu.total_bytes)} GB free"
        capability = f"compute capability {capability_text(gpu.capability)}"
        yield Check(subject=f"GPU {index}", result=f"{gpu.name}, {capability}{memory}")
    is_first_only = config.pool == "local" and setup.works
    reason = why_unusable(with_one_gpu(setup) if is_first_only else setup)
    if is_on_gpu and reason:
        yield Check(subject="CUDA", result=f"{reason}; or set device: cpu", level="problem")
    elif config.device == "auto" and setup.gpus and reason and not setup.hides_gpus:
        yield Check(subject="CUDA", result=f"not used: {reason}", level="warning")
    elif not setup.gpus:
        yield Check(subject="GPU", result="none")


def _check_network(config: JobConfig, setup: CudaSetup, is_on_gpu: bool) -> Check:
    """Device, dtype and attention kernel of the network."""
    dtype = dtype_of(config)
    name = str(dtype).removeprefix("torch.")
    if not is_on_gpu:
        return Check(subject="network", result=f"on the CPU in {name}; kernels: {cpu_kernels()}")
    if not setup.gpus:
        return Check(subject="network", result=f"on a GPU in {name}")
    if told := dtype_warning(dtype, setup.gpus):
        return Check(subject="network", result=told, level="warning")
    lowest = min(gpu.capability for gpu in setup.gpus)
    attention = attention_backend((256, 256, 256), dtype, lowest)  # memory attention makes its widths equal for flash
    return Check(subject="network", result=f"on a GPU in {name}, {attention} attention")


def _check_compiler(config: JobConfig, is_on_gpu: bool) -> Iterator[Check]:
    """torch.compile calls a compiler: Triton one of C, and its code for the CPU one of C++."""
    if not config.compile:
        return
    variable, names = ("CC", ("gcc", "clang")) if is_on_gpu else ("CXX", ("g++", "clang++"))
    path = next((path for name in (os.environ.get(variable), *names) if name and (path := shutil.which(name))), None)
    if path is not None:
        yield Check(subject="compiler", result=path)
    else:
        result = f"compile: true needs {' or '.join(names)}, and neither is there; install one, or set compile: false"
        yield Check(subject="compiler", result=result, level="problem")


def _check_decoder(config: JobConfig) -> Check:
    try:
        return Check(subject="decoder", result=describe_decoder(config.decoder))
    except ConfigError as error:
        return Check(subject="decoder", result=str(error), level="problem")


def _memory() -> str:
    """The host's free memory, and the limit of this container if it has one."""
    try:
        lines = dict(line.split(":", 1) for line in _MEMORY_INFO.read_text().splitlines())
        free, total = (int(lines[name].split()[0]) * 1024 for name in ("MemAvailable", "MemTotal"))
    except (OSError, KeyError, ValueError):
        return "this system does not tell"
    limit = _CGROUP_LIMIT.read_text().strip() if _CGROUP_LIMIT.exists() else ""
    told = f"{_gigabytes(free)} of {_gigabytes(total)} GB free"
    return f"{told}; this container has a limit of {_gigabytes(int(limit))} GB" if limit.isdecimal() else told


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:.1f}"
