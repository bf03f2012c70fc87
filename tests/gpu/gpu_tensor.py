"""Tensors that say they are on "cuda:0"."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tests.gpu.fake_gpu import FakeGpu

CUDA = torch.device("cuda", 0)


class GpuTensor(Tensor):
    """A tensor on the device "cuda:0", whose numbers are in ``inner``."""

    inner: Tensor  # type: ignore[assignment]  # in place of a method of Tensor, which the package does not use
    gpu: "FakeGpu"
    made_at: int
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # the mode sees all calls

    @staticmethod
    def __new__(cls, inner: Tensor, gpu: "FakeGpu") -> "GpuTensor":
        with torch.inference_mode(False):  # an inference tensor cannot be the view of a parameter made outside
            made: GpuTensor = Tensor._make_wrapper_subclass(
                cls,
                inner.size(),
                strides=inner.stride(),
                storage_offset=inner.storage_offset(),
                dtype=inner.dtype,
                device=CUDA,
            )
        return made

    def __init__(self, inner: Tensor, gpu: "FakeGpu") -> None:
        assert not isinstance(inner, GpuTensor)
        self.inner, self.gpu, self.made_at = inner, gpu, gpu.enqueued

    def __repr__(self, **_: object) -> str:  # type: ignore[override]
        return f"GpuTensor({tuple(self.shape)}, {self.dtype})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        gpu = next(x.gpu for x in tensors_in(args, kwargs) if isinstance(x, GpuTensor))
        return gpu.dispatch(func, args, kwargs)


def tensors_in(args: Sequence[Any], kwargs: dict[str, Any]) -> Iterator[Tensor]:
    """The tensors among an operation's arguments, some of which are lists of tensors."""
    for x in (*args, *kwargs.values()):
        if isinstance(x, Tensor):
            yield x
        elif isinstance(x, list | tuple):
            yield from (one for one in x if isinstance(one, Tensor))


def is_cuda(device: Any) -> bool:
    """Whether a device, or its name, is a GPU; False for None."""
    return device is not None and torch.device(device).type == "cuda"
