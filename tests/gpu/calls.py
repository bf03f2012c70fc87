"""Calls of torch's functions, before they reach code that needs a real device."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from tests.gpu.gpu_tensor import GpuTensor, is_cuda
from tests.gpu.tensor_methods import METHODS, wanted

if TYPE_CHECKING:
    from tests.gpu.fake_gpu import FakeGpu


class Calls(TorchFunctionMode):
    """Answers the calls that concern the device, in place of torch."""

    def __init__(self, gpu: "FakeGpu") -> None:
        super().__init__()
        self._gpu = gpu

    def __torch_function__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        x = args[0] if args else None
        if isinstance(x, GpuTensor) and (method := METHODS.get(func)) is not None:
            return method(x, *args[1:], **kwargs)
        if isinstance(x, GpuTensor) and func is torch.nn.functional.scaled_dot_product_attention:
            return self._gpu.attend(*args, **kwargs)
        if isinstance(x, Tensor) and not isinstance(x, GpuTensor):
            return self._of_host(func, x, args, kwargs)
        if is_cuda(kwargs.get("device")):
            return self._made_on_device(func, args, kwargs)
        if kwargs.pop("pin_memory", False):
            return self._gpu.mark_pinned(func(*args, **kwargs))
        return func(*args, **kwargs)

    def _of_host(self, func: Any, x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call whose first tensor is of the host."""
        if func in (Tensor.to, Tensor.cuda):
            device, dtype, non_blocking = wanted(func, args[1:], kwargs)
            if is_cuda(device):
                return self._gpu.upload(x, dtype, non_blocking)
        if func is Tensor.pin_memory:
            return self._gpu.pin(x)
        if func is Tensor.is_pinned:
            return self._gpu.is_pinned(x)
        if func is Tensor.copy_ and isinstance(args[1], GpuTensor):
            non_blocking = bool(args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
            return self._gpu.copy_to_host(x, args[1], non_blocking)
        if is_cuda(kwargs.get("device")):
            return self._made_on_device(func, args, kwargs)
        return func(*args, **kwargs)

    def _made_on_device(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """torch.zeros(…, device="cuda") and its like."""
        made = self._gpu.carry_out(func, args, {**kwargs, "device": self._gpu.device})
        name = func.__name__
        if name == "tensor":
            self._gpu.record_upload(torch.zeros(max(1, made.numel()), dtype=made.dtype), non_blocking=False)
        self._gpu.launch(name)
        return GpuTensor(made, self._gpu)
