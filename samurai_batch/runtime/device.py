"""When the device's memory ends."""

from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")


def within_memory(step: Callable[[], T]) -> T:
    """What a step gives, with every way the device's memory can end as a MemoryError."""
    try:
        return step()
    except torch.OutOfMemoryError as error:
        message = str(error)
    except RuntimeError as error:
        if "DefaultCPUAllocator" not in str(error):
            raise
        message = str(error)
    # Only out here are the tensors of the failed step free, and can go back to the device.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    raise MemoryError(message.partition("\n")[0])
