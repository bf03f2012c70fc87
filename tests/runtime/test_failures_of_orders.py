import gc
import weakref
from collections.abc import Iterator
from contextlib import closing

import pytest
import torch

from samurai_batch.background import prefetch
from samurai_batch.runtime.failures import within_memory


def failing(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory\n at"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    ],
)
def test_memory_that_ends_is_a_memory_error_of_one_line(error: Exception) -> None:
    with pytest.raises(MemoryError) as raised:
        within_memory(lambda: failing(error))
    assert str(raised.value) == str(error).splitlines()[0]


def test_any_other_error_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="shapes do not match"):
        within_memory(lambda: failing(RuntimeError("shapes do not match")))
    assert within_memory(lambda: 3) == 3


class Held:
    """Stands for a tensor: its memory is free when nothing refers to it."""


def test_after_memory_has_ended_nothing_of_the_failed_step_is_kept() -> None:
    """In the step itself and in the thread that prefetches; without the garbage collector, which comes too late."""
    alive: weakref.WeakSet[Held] = weakref.WeakSet()

    def items() -> Iterator[int]:
        held = Held()
        alive.add(held)
        yield 1
        raise torch.OutOfMemoryError("CUDA out of memory.")

    def step() -> int:
        held = Held()
        alive.add(held)
        with closing(prefetch(items(), 2)) as prefetched:
            return sum(prefetched)

    gc.disable()
    try:
        with pytest.raises(MemoryError):
            within_memory(step)
        assert not alive
    finally:
        gc.enable()
