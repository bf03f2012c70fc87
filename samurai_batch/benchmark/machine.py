"""The machine that is measured on, and how fast it multiplies matrices."""

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from samurai_batch.modeling.kernels import cpu_kernels
from samurai_batch.modeling.products import is_multiplied_in_float32, linear

SIDE = {"cpu": 1536, "cuda": 8192}  # on a GPU, a product of the smaller takes as long as to launch it
TRIES = 7


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What results are worth nothing without.

    ``matmul_gflops`` is the best of a few products of square matrices, by whichever of PyTorch's libraries is faster.
    ``kernels`` says what the network computes with on this CPU; nothing on a GPU.
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
    """What runs this process, as it is now: other programs slow the product, too."""
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
        # Without products of bfloat16, PyTorch's own take a second each.
        products = (linear,) if is_multiplied_in_float32(a) else (torch.matmul, linear)
        for product in products * TRIES:
            start_s = now(device)
            product(a, b)
            best_s = min(best_s, now(device) - start_s)
    return 2 * side**3 / best_s / 1e9


def now(device: torch.device) -> float:
    """Seconds by a clock that waits until the device has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def has_room(num_replicas: int, cpus_each: float, gpus_each: float) -> bool:
    """Whether so many replicas can work at once here: a job that asks for more waits for them."""
    num_gpus = torch.cuda.device_count() if gpus_each else 0
    return num_replicas * cpus_each <= num_cores() and num_replicas * gpus_each <= num_gpus


def _processor() -> str:
    if platform.system() == "Linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def num_cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if platform.system() == "Linux" else os.cpu_count() or 1
