"""What goes wrong in a replica, as a value that the scheduler decides on."""

from collections.abc import Callable
from typing import TypeVar

from samurai_batch.errors import PromptError, StateError, StorageError, TruncatedVideoError, VideoError
from samurai_batch.planning.retry import Failure, FailureKind
from samurai_batch.redaction import get_logger

logger = get_logger(__name__)

T = TypeVar("T")

_KINDS: tuple[tuple[type[Exception], FailureKind], ...] = (
    (VideoError, FailureKind.VIDEO),
    (PromptError, FailureKind.PROMPT),
    (StateError, FailureKind.STATE),
    (StorageError, FailureKind.STORAGE),
    (MemoryError, FailureKind.OUT_OF_MEMORY),
)


OUT_OF_MEMORY = (
    "DefaultCPUAllocator",  # the host, without its killer
    "out of memory",  # "CUDA error: out of memory", of the driver or of pinned memory
    "cudaErrorMemoryAllocation",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "ALLOCATION_FAILED",  # CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED, …_HOST_…
)
"""What is in the messages of errors that PyTorch has no type of its own for."""


class StoppedError(Exception):
    """The replica was told to stop; its order is dropped."""


def as_failure(error: Exception) -> Failure:
    """An exception as a `Failure`. One of an unexpected kind is "internal", and its traceback is logged."""
    if isinstance(error, TruncatedVideoError):
        return Failure(FailureKind.TRUNCATED, str(error), error.frame_reached)
    for error_type, kind in _KINDS:
        if isinstance(error, error_type):
            return Failure(kind, str(error) or "the device ran out of memory")
    if not isinstance(error, StoppedError):
        logger.exception("an order failed")
    return Failure(FailureKind.INTERNAL, f"{type(error).__name__}: {error}")


def within_memory(step: Callable[[], T]) -> T:
    """The result of ``step``. Raises MemoryError if the device's memory is too small for it."""
    import torch  # only a replica with a network calls this

    try:
        return step()
    except RuntimeError as error:
        message = str(error)
        if not isinstance(error, torch.OutOfMemoryError) and not any(sign in message for sign in OUT_OF_MEMORY):
            raise
        message = message.partition("\n")[0]
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # outside of the except clause, which keeps the failed step's tensors alive
    raise MemoryError(message)
