"""When the device's memory ends: every way it can do so becomes a MemoryError."""

from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")


def within_memory(step: Callable[[], T]) -> T:
    """The result of ``step``. Raises MemoryError where the device's memory is too small for it."""
    try:
        return step()
    except RuntimeError as error:
        if not (isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)):
            raise
        message = str(error).partition("\n")[0]
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # outside of the except clause, which keeps the failed step's tensors alive
    raise MemoryError(message)
