"""Methods of tensors whose Python bindings look for a real device, spelled out by operations."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tests.gpu.gpu_tensor import CUDA, GpuTensor


def wanted(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, torch.dtype | None, bool]:
    """Device, dtype and non_blocking of a call of ``to``, ``cpu`` or ``cuda``."""
    device, dtype, flags = kwargs.get("device"), kwargs.get("dtype"), []
    if func is Tensor.cuda:
        device = device or CUDA
    for value in args:
        if isinstance(value, Tensor):
            device, dtype = value.device, value.dtype
        elif isinstance(value, torch.dtype):
            dtype = value
        elif isinstance(value, bool):
            flags.append(value)
        elif value is not None:
            device = value
    return device, dtype, bool(kwargs.get("non_blocking", flags[0] if flags else False))


def _to(x: GpuTensor, *args: Any, **kwargs: Any) -> Tensor:
    device, dtype, non_blocking = wanted(Tensor.to, args, kwargs)
    if device is not None and torch.device(device).type == "cpu":
        return x.gpu.copied_to_host(x, {"dtype": dtype, "non_blocking": non_blocking})
    if dtype in (None, x.dtype) and not kwargs.get("copy"):
        return x
    made: Tensor = torch.ops.aten._to_copy(x, dtype=dtype, memory_format=kwargs.get("memory_format"))
    return made


def _getitem(x: GpuTensor, index: Any) -> Tensor:
    view, tensors = _sliced(x, index)
    return view if not tensors else torch.ops.aten.index(view, tensors)


def _setitem(x: GpuTensor, index: Any, value: Any) -> None:
    view, tensors = _sliced(x, index)
    if not isinstance(value, Tensor):
        value = torch.full((), value, dtype=x.dtype)
    if tensors:
        torch.ops.aten.index_put_(view, tensors, value)
    else:
        torch.ops.aten.copy_(view, value)


def _sliced(x: Tensor, index: Any) -> tuple[Tensor, list[Tensor | None]]:
    """The view that numbers, slices, None and Ellipsis of an index give, and the index's tensors by axis."""
    parts = index if isinstance(index, tuple) else (index,)
    num_axes = sum(part is not None and part is not Ellipsis for part in parts)
    view, axis = x, 0
    tensors: list[Tensor | None] = []
    for part in parts:
        if part is None:
            view, axis = torch.ops.aten.unsqueeze(view, axis), axis + 1
        elif part is Ellipsis:
            axis += x.dim() - num_axes
        elif isinstance(part, slice):
            if part != slice(None):
                view = torch.ops.aten.slice(view, axis, part.start, part.stop, 1 if part.step is None else part.step)
            axis += 1
        elif isinstance(part, Tensor | list):
            tensors += [None] * (axis - len(tensors)) + [torch.as_tensor(part)]
            axis += 1
        else:
            view = torch.ops.aten.select(view, axis, int(part))
    return view, tensors


def _number(x: GpuTensor) -> Any:
    return torch.ops.aten._local_scalar_dense(x)


def _new_tensor(x: GpuTensor, data: Any, **kwargs: Any) -> Tensor:
    return x.gpu.upload(torch.tensor(data, dtype=kwargs.get("dtype", x.dtype)), None, non_blocking=False)


def _copy(x: GpuTensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    copied: Tensor = torch.ops.aten.copy_(x, source, non_blocking)
    return copied


def _contiguous(x: GpuTensor, memory_format: torch.memory_format = torch.contiguous_format) -> Tensor:
    if x.is_contiguous(memory_format=memory_format):
        return x
    made: Tensor = torch.ops.aten.clone(x, memory_format=memory_format)
    return made


METHODS: dict[Any, Callable[..., Any]] = {
    Tensor.to: _to,
    Tensor.cpu: lambda x: _to(x, "cpu"),
    Tensor.cuda: lambda x, *_, **__: x,
    Tensor.float: lambda x: _to(x, torch.float32),
    Tensor.double: lambda x: _to(x, torch.float64),
    Tensor.half: lambda x: _to(x, torch.float16),
    Tensor.bfloat16: lambda x: _to(x, torch.bfloat16),
    Tensor.long: lambda x: _to(x, torch.int64),
    Tensor.int: lambda x: _to(x, torch.int32),
    Tensor.bool: lambda x: _to(x, torch.bool),
    Tensor.tolist: lambda x: x.gpu.tolist(x),
    Tensor.item: _number,
    Tensor.__float__: lambda x: float(_number(x)),
    Tensor.__int__: lambda x: int(_number(x)),
    Tensor.__index__: lambda x: int(_number(x)),
    Tensor.__bool__: lambda x: bool(_number(x)),
    Tensor.__getitem__: _getitem,
    Tensor.__setitem__: _setitem,
    Tensor.contiguous: _contiguous,
    Tensor.copy_: _copy,
    Tensor.new_tensor: _new_tensor,
    Tensor.nonzero: torch.ops.aten.nonzero.default,
    torch.nonzero: torch.ops.aten.nonzero.default,
    Tensor.is_pinned: lambda x: False,
}
