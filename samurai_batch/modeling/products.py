"""Matrix products at the speed of the machine: what nearly all of a frame's time is spent on.

Which library multiplies is chosen in `kernels`.

What treats every row of its input alone can be applied to some rows at a time (`by_rows`): what it makes on the way
then stays in the processor's cache, and costs nothing to allocate. What treats every track alone can be applied to one
after the other (`one_by_one`), each in the memory of the one before.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from samurai_batch.modeling.kernels import cpu_kernels, onednn_linear


def runs_on_cpu(x: Tensor) -> bool:
    """Whether x is computed by the CPU's own kernels: no GPU, gradients, compiler, or plain kernels wanted."""
    if x.device.type != "cpu" or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    return not cpu_kernels().is_plain


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x weightᵀ + bias: (..., a), (b, a), (b,) -> (..., b)."""
    if not runs_on_cpu(x) or torch.is_autocast_enabled("cpu"):
        return F.linear(x, weight, bias)
    products = cpu_kernels().products(x.dtype)
    if products == "oneDNN":
        return onednn_linear(x, weight, bias)
    if products == "float32":
        return multiplied(F.linear, x, weight, bias)
    return F.linear(x.contiguous(), weight, bias)  # what is not contiguous becomes many small products


def multiplied(product: Callable[..., Tensor], *xs: Tensor | None) -> Tensor:
    """product(*xs); in float32, rounded once, where xs are bfloat16 and this CPU does not multiply that."""
    if not is_multiplied_in_float32(xs[0]):
        return product(*xs)
    return product(*(None if x is None else x.float() for x in xs)).bfloat16()


def is_multiplied_in_float32(x: Tensor | None) -> bool:
    """Whether x is bfloat16 on a CPU that has no products of it."""
    if x is None or x.dtype is not torch.bfloat16:
        return False
    return runs_on_cpu(x) and cpu_kernels().products(x.dtype) == "float32"


def by_rows(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """function(x) of x (..., channels), for a function that looks at no two rows of channels together."""
    num_rows = x.numel() // max(x.shape[-1], 1)
    if not runs_on_cpu(x) or num_rows <= cpu_kernels().cached_rows:
        return function(x)
    parts = x.reshape(num_rows, -1).split(cpu_kernels().cached_rows)
    return torch.cat([function(part) for part in parts]).unflatten(0, x.shape[:-1])


def one_by_one(function: Callable[..., Tensor], *xs: Tensor) -> Tensor:
    """function(*xs) of xs (N, …), for a function that looks at no two of these N together."""
    if not runs_on_cpu(xs[0]) or len(xs[0]) == 1:
        return function(*xs)
    return torch.cat([function(*parts) for parts in zip(*(x.split(1) for x in xs), strict=True)])
