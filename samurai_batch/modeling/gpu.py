"""How the network computes on an NVIDIA GPU: dtype, attention kernel, and PyTorch's switches that decide about them.

What is said here of speed is from the kernels' documentation: nothing in it has been measured on a GPU yet.

==================  =====================  ===========================================================================
compute capability  dtype by default       attention
==================  =====================  ===========================================================================
8.0 and higher      bfloat16               flash attention; memory-efficient attention in float32, and where keys have
                                           weights (``pool_memories``, and SAM's relative positions)
below 8.0           float16                memory-efficient attention: flash attention and products of bfloat16 begin
                                           at 8.0
==================  =====================  ===========================================================================

Flash attention needs queries, keys and values of one width. So in the memory attention values are projected to the
width of the keys before it, as the checkpoints say (`memory_attention`); elsewhere they are attended to unprojected.
cuDNN's attention is switched off: it prepares a plan for each new number of keys, which every track has in its first
16 frames, and PyTorch prefers it to flash attention on Hopper.
"""

from typing import Any

import torch

FLASH_CAPABILITY = (8, 0)  # Ampere
FLASH_MAX_WIDTH = 256
HALF_DTYPES = (torch.bfloat16, torch.float16)

Capability = tuple[int, int]


def prepare_gpu() -> None:
    """Set PyTorch's switches for this process: float32 is float32, the same bits every time, two kinds of attention.

    TensorFloat-32, which cuDNN uses by default from compute capability 8.0 on, rounds factors to 10 bits: the mask
    decoder is kept in float32 because its rounding shows in masks, so it is switched off, in products as well. For
    transposed convolutions, of which the mask decoder has two, cuDNN may choose a kernel that adds in any order; and
    where it may try kernels, the fastest of one process is not that of another.
    """
    cudnn: Any = torch.backends.cudnn  # mypy does not know what is in it beside functions
    cudnn.allow_tf32 = False
    cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = "ieee"  # the line before leaves it to the whole of PyTorch
    torch.backends.cuda.matmul.allow_tf32 = False
    cudnn.deterministic, cudnn.benchmark = True, False
    torch.backends.cuda.enable_cudnn_sdp(False)


def auto_dtype(device: torch.device | str) -> torch.dtype:
    """The dtype to compute in on a device: bfloat16 or, before compute capability 8.0, float16; float32 on the CPU."""
    device = torch.device(device)
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= FLASH_CAPABILITY else torch.float16


def can_flash(dtype: torch.dtype, capability: Capability) -> bool:
    """Whether flash attention exists for this dtype on GPUs of this compute capability."""
    return dtype in HALF_DTYPES and capability >= FLASH_CAPABILITY


def attention_backend(
    widths: tuple[int, int, int], dtype: torch.dtype, capability: Capability, *, has_weights: bool = False
) -> str:
    """Which of PyTorch's kernels computes attention: "flash", "memory-efficient" or, in float64, "math".

    ``widths`` are the channels of queries, keys and values in one head; ``has_weights``: keys have weights.
    """
    if dtype is torch.float64:
        return "math"
    is_even = len(set(widths)) == 1 and widths[0] <= FLASH_MAX_WIDTH
    return "flash" if can_flash(dtype, capability) and is_even and not has_weights else "memory-efficient"


def wants_even_widths(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether attention on this device gains by values that are as wide as keys."""
    return device.type == "cuda" and can_flash(dtype, torch.cuda.get_device_capability(device))
