"""Replays the network's operations as CUDA graphs: all kernels of an operation are started by one call.

A graph repeats the kernels of one call with the same addresses. So arguments are copied to where the captured call has
read them, and results are copied from where it has written them. What the host decides, such as which memories a frame
attends to, is in the arguments. Shapes must be the same: an operation is captured when it is called with the same
shapes for the third time in a row, which in the first 16 frames of a track, while its memories fill, they are not.

No GPU has run this yet. The fake GPU of the tests replays it operation by operation (`tests/gpu/graphs.py`).
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from samurai_batch.modeling.constants import reading_constants
from samurai_batch.modeling.operations import Operations

CALLS_BEFORE_CAPTURE = 2
MOST_GRAPHS = 8
"""Graphs that are kept of one operation; the least recently used one is dropped."""

T = TypeVar("T")


def with_cuda_graphs(operations: Operations, *, captures_encoder: bool) -> Operations:
    """The same operations, replayed; the image encoder only if ``captures_encoder``, as compiled code is not captured.

    The results belong to the caller, and have the bits of the operations themselves. For one thread.
    """
    pool = torch.cuda.graph_pool_handle()
    return Operations(
        encode_image=Replayed(operations.encode_image, pool) if captures_encoder else operations.encode_image,
        attend_to_memory=Replayed(operations.attend_to_memory, pool),
        decode=Replayed(operations.decode, pool),
        object_pointer=Replayed(operations.object_pointer, pool),
        encode_memory=Replayed(operations.encode_memory, pool),
    )


class Replayed(Generic[T]):
    """A function of tensors, tuples and dataclasses of tensors, and constants.

    It is replayed from the third call in a row with the same shapes on.

    All functions of one ``pool`` share the memory of what they compute on the way. They may, because each result is
    copied before another graph runs.
    """

    def __init__(self, function: Callable[..., T], pool: Any) -> None:
        self._function, self._pool = function, pool
        self._graphs = OrderedDict[Hashable, _Graph]()
        self._last: Hashable = None
        self._num_calls = 0

    def __call__(self, *args: Any) -> T:
        """The function's result, in new tensors. Raises RuntimeError if it cannot be captured."""
        key = _key(args)
        if (graph := self._graphs.get(key)) is not None:
            self._graphs.move_to_end(key)
            return graph.replay(args)
        self._num_calls = self._num_calls + 1 if key == self._last else 1
        self._last = key
        if self._num_calls <= CALLS_BEFORE_CAPTURE:
            return self._function(*args)
        if len(self._graphs) == MOST_GRAPHS:
            self._graphs.popitem(last=False)
        graph = self._graphs[key] = _Graph(self._function, args, self._pool)
        return graph.replay(args)


class _Graph:
    """One captured call: where it reads its arguments, and where it writes its result."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], pool: Any) -> None:
        self._inputs = _mapped(args, torch.clone)
        # Constants are made before the capture: in it, they would be written by each replay alone.
        with reading_constants() as self._constants:  # kept, as the graph reads them
            function(*self._inputs)
        self._graph = torch.cuda.CUDAGraph()
        try:
            # Other threads of this process, which make rows, may allocate memory and wait for events meanwhile.
            with (
                reading_constants() as captured,
                torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"),
            ):
                self._outputs = function(*self._inputs)
        except RuntimeError as error:
            first = error.__context__ or error  # ending a capture that has failed raises another error
            raise RuntimeError(f"{first}; where CUDA graphs cannot be captured, leave cuda_graphs out") from first
        assert all(one is other for one, other in zip(captured, self._constants, strict=True))

    def replay(self, args: tuple[Any, ...]) -> Any:
        for place, given in zip(_tensors(self._inputs), _tensors(args), strict=True):
            place.copy_(given)
        self._graph.replay()
        return _mapped(self._outputs, torch.clone)


def _mapped(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """The same structure, with each of its tensors changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_mapped(one, change) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: _mapped(getattr(value, one.name), change) for one in fields(value)})
    return value


def _tensors(value: Any) -> list[Tensor]:
    found: list[Tensor] = []
    _mapped(value, found.append)
    return found


def _key(args: tuple[Any, ...]) -> Hashable:
    """What a graph is for: shapes, strides and dtypes of the tensors, and all constants."""
    return _mapped(args, lambda tensor: (tensor.shape, tensor.stride(), tensor.dtype))
