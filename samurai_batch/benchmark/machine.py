"""Describes the machine: processor, threads, device, and its rate of matrix products."""

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from samurai_batch.modeling.kernels import cpu_kernels
from samurai_batch.modeling.products import is_multiplied_in_float32, linear

SIDE = {"cpu": 1536, "cuda": 8192}  # on a GPU, small products take no longer than their launch
TRIES = 7


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The hardware and software of a measurement.

    ``matmul_gflops`` is the best rate of a few products of square matrices, by the faster of PyTorch's libraries.
    ``kernels`` names the kernels that the network uses on this CPU; empty on a GPU.
    """

    processor: str
    cores: int
    threads: int
    device: str
    torch: str
    dtype: str
    matmul_gflops: float
    kernels: str = ""


def describe_machine(dtype: torch.dtype, device: torch.device) -> Machine:
    """Describe the machine of this process; other programs that run now lower its matmul rate."""
    return Machine(
        processor=_processor(),
        cores=num_cores(),
        threads=torch.get_num_threads(),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        torch=torch.__version__,
        dtype=str(dtype).removeprefix("torch."),
        matmul_gflops=round(_matmul_gflops(dtype, device), 1),
        kernels=str(cpu_kernels()) if device.type == "cpu" else "",
    )


def _matmul_gflops(dtype: torch.dtype, device: torch.device) -> float:
    side = SIDE[device.type]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best_s = float("inf")
    with torch.inference_mode():
        # Where bfloat16 is emulated, PyTorch's own product takes a second.
        products = (linear,) if is_multiplied_in_float32(a) else (torch.matmul, linear)
        for product in products * TRIES:
            start_s = now(device)
            product(a, b)
            best_s = min(best_s, now(device) - start_s)
    return 2 * side**3 / best_s / 1e9


def now(device: torch.device) -> float:
    """The time in seconds, once the device has finished all work submitted to it."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _processor() -> str:
    if platform.system() == "Linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def num_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if platform.system() == "Linux" else os.cpu_count() or 1
