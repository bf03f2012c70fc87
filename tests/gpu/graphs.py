"""CUDA graphs of the fake GPU: operations that are recorded once, and repeated with the same memory.

As on a GPU, a capture carries nothing out: what it has written is spoilt when it ends. A replay reads its arguments
where the recorded operations have read them, and writes where they have written; whatever the host has decided in the
meantime, it repeats. In a capture the host may neither wait nor copy to the device.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tests.gpu.gpu_tensor import tensors_in

if TYPE_CHECKING:
    from tests.gpu.fake_gpu import FakeGpu

SPOILT = 77  # integers in memory that a capture has not written


@dataclass(frozen=True)
class Operation:
    """One recorded operation on the tensors behind the device's; ``made`` are those of its results that are new."""

    function: Callable[..., Any]
    args: Sequence[Any]
    kwargs: dict[str, Any]
    made: list[Tensor]

    def repeat(self) -> None:
        result = self.function(*self.args, **self.kwargs)
        for place, value in zip(self.made, _new(result, self.args, self.kwargs), strict=True):
            place.copy_(value)

    def spoil(self) -> None:
        for place in self.made:
            place.fill_(torch.nan if place.is_floating_point() else SPOILT)


class CudaGraph:
    """torch.cuda.CUDAGraph."""

    gpu: "FakeGpu"

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self._operations: list[Operation] = []

    def add(self, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], result: Any) -> None:
        """Record an operation."""
        if self.gpu.has_values:
            self._operations.append(Operation(function, args, kwargs, _new(result, args, kwargs)))

    def end_capture(self) -> None:
        for operation in self._operations:
            operation.spoil()

    def replay(self) -> None:
        self.gpu.launch("graph")
        for operation in self._operations:
            operation.repeat()


@contextmanager
def capture(graph: CudaGraph, pool: object = None, capture_error_mode: str = "global") -> Iterator[None]:
    """``torch.cuda.graph``: what this thread asks of the device is recorded, not counted."""
    assert capture_error_mode == "thread_local", "threads that make rows would be refused what they do"
    graph.gpu.graph = graph
    try:
        yield
    finally:
        graph.gpu.graph = None
    graph.end_capture()


def _new(result: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors of a result that have memory of their own, and are no views of arguments."""
    known = {x.untyped_storage().data_ptr() for x in tensors_in(args, kwargs)}
    return [x for x in tensors_in([result], {}) if x.untyped_storage().data_ptr() not in known]
