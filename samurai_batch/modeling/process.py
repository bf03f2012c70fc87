"""A process that computes on the CPU: its threads, and what becomes of the memory that it lets go."""

import ctypes
import sys

import torch

from samurai_batch.modeling.kernels import cpu_kernels

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3), by their numbers in malloc.h
KEPT_BLOCK_BYTES = 32 * 2**20  # the most that glibc allows
KEPT_BYTES = 256 * 2**20


def prepare_process(num_threads: int) -> None:
    """Compute with ``num_threads``, and keep the memory of one frame's tensors for the next frame's.

    Left alone, glibc gives blocks that are free back to the system, which clears them page by page when they are asked
    for again; what that costs is in the docstring of `samurai_batch.benchmark`. From now on blocks of up to
    KEPT_BLOCK_BYTES stay, KEPT_BYTES of them at most in each heap. Other C libraries are left as they are.
    """
    torch.set_num_threads(num_threads)
    cpu_kernels()  # chosen here, before the first frame
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, KEPT_BLOCK_BYTES)
        mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
