"""When the device's memory ends: every way it can do so becomes a MemoryError."""

from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")


def within_memory(step: Callable[[], T]) -> T:
    """What a step gives. Raises MemoryError where the device is too small for it, and whatever else the step raises."""
    try:
        return step()
    except RuntimeError as error:
        message = memory_message(error)
    raise memory_error(message)


def memory_message(error: RuntimeError) -> str:
    """What torch says of memory that has ended; any other error is raised again."""
    if isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error):
        return str(error).partition("\n")[0]
    raise error


def memory_error(message: str) -> MemoryError:
    """To be made outside of the except clause: only there are the failed step's tensors free to go back."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return MemoryError(message)
