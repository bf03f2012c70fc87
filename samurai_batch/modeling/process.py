"""Prepares a process that computes on the CPU: number of threads, and reuse of freed memory."""

import ctypes
import sys

import torch

from samurai_batch.modeling.kernels import cpu_kernels

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of mallopt(3), from malloc.h
KEPT_BLOCK_BYTES = 32 * 2**20  # the maximum that glibc allows
KEPT_BYTES = 256 * 2**20


def prepare_process(num_threads: int) -> None:
    """Let PyTorch use ``num_threads``, and reuse the memory of one frame's tensors for the next frame's.

    By default, glibc returns freed blocks to the system, which clears them page by page when they are requested again;
    the cost is in the docstring of `samurai_batch.benchmark`. After this call glibc keeps blocks of up to
    KEPT_BLOCK_BYTES, up to KEPT_BYTES in each heap. Other C libraries are not changed.
    """
    torch.set_num_threads(num_threads)
    cpu_kernels()  # choose them now, not in the first frame
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, KEPT_BLOCK_BYTES)
        mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
