"""Matrix products by the fastest kernels of this CPU (`kernels`), on which nearly all of a frame's time is spent.

A function that processes every row of its input independently can be applied to some rows at a time (`by_rows`), so
that its intermediate tensors stay in the cache and are cheap to allocate. A function that processes every track
independently can be applied to one track after the other (`one_by_one`), which reuses the memory of the previous one.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from samurai_batch.modeling.kernels import cpu_kernels, onednn_linear


def runs_on_cpu(x: Tensor) -> bool:
    """Whether the CPU's kernels process x: not on a GPU, with gradients, in `torch.compile`, or with plain kernels."""
    if x.device.type != "cpu" or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    return not cpu_kernels().is_plain


def is_computed_plainly(x: Tensor) -> bool:
    """Whether x is to be processed as the checkpoints define it (`kernels.plain_kernels`): on the CPU, uncompiled."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling() and cpu_kernels().is_plain


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x weightᵀ + bias: (..., a), (b, a), (b,) -> (..., b)."""
    if not runs_on_cpu(x) or torch.is_autocast_enabled("cpu"):
        return F.linear(x, weight, bias)
    products = cpu_kernels().products(x.dtype)
    if products == "oneDNN":
        return onednn_linear(x, weight, bias)
    if products == "float32":
        return multiplied(F.linear, x, weight, bias)
    return F.linear(x.contiguous(), weight, bias)  # a non-contiguous x would become many small products


def multiplied(product: Callable[..., Tensor], *xs: Tensor | None) -> Tensor:
    """product(*xs); computed in float32 and rounded once, if xs are bfloat16 and this CPU has no bfloat16 products."""
    if not is_multiplied_in_float32(xs[0]):
        return product(*xs)
    return product(*(None if x is None else x.float() for x in xs)).bfloat16()


def is_multiplied_in_float32(x: Tensor | None) -> bool:
    """Whether x is bfloat16 on a CPU without bfloat16 products."""
    if x is None or x.dtype is not torch.bfloat16:
        return False
    return runs_on_cpu(x) and cpu_kernels().products(x.dtype) == "float32"


def by_rows(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """function(x) for x (..., channels), in parts, for a function that processes each row of channels independently."""
    num_rows = x.numel() // max(x.shape[-1], 1)
    if not runs_on_cpu(x) or num_rows <= cpu_kernels().cached_rows:
        return function(x)
    parts = x.reshape(num_rows, -1).split(cpu_kernels().cached_rows)
    return torch.cat([function(part) for part in parts]).unflatten(0, x.shape[:-1])


def one_by_one(function: Callable[..., Tensor], *xs: Tensor) -> Tensor:
    """function(*xs) for xs (N, ...), one by one, for a function that processes each of the N independently."""
    if not runs_on_cpu(xs[0]) or len(xs[0]) == 1:
        return function(*xs)
    return torch.cat([function(*parts) for parts in zip(*(x.split(1) for x in xs), strict=True)])
