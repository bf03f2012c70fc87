"""Matrix products at the speed of the machine: what nearly all of a frame's time is spent on.

On the CPU, PyTorch gives float32 products to MKL, which runs at half the rate of the processor where that is not
Intel's. oneDNN, which is in the same build, does not; in float32 both round alike.

What treats every row of its input alone can be applied to some rows at a time (`by_rows`): what it makes on the way
then stays in the processor's cache, and costs nothing to allocate. What treats every track alone can be applied to one
after the other (`one_by_one`), each in the memory of the one before.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

CACHED_ROWS = 2048  # of at most 2,048 channels on the way: 8 MB in bfloat16

_ONEDNN_DTYPES = (torch.float32, torch.bfloat16)


def runs_on_cpu(x: Tensor) -> bool:
    """Whether x is followed on the CPU, with no GPU's fused kernels, no gradients and no compiler at hand."""
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x weightᵀ + bias: (..., a), (b, a), (b,) -> (..., b)."""
    if x.dtype in _ONEDNN_DTYPES and runs_on_cpu(x) and _is_onednn_usable():
        # Contiguous, all three: it reads past the strides of a bias, and is slow with those of a matrix.
        bias = None if bias is None else bias.contiguous()
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight.contiguous(), bias, "none", [], "")
        return product
    return F.linear(x, weight, bias)


def _is_onednn_usable() -> bool:
    return torch.backends.mkldnn.is_available() and not torch.is_autocast_enabled("cpu")


def by_rows(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """function(x) of x (..., channels), for a function that looks at no two rows of channels together."""
    num_rows = x.numel() // max(x.shape[-1], 1)
    if not runs_on_cpu(x) or num_rows <= CACHED_ROWS:
        return function(x)
    parts = x.reshape(num_rows, -1).split(CACHED_ROWS)
    return torch.cat([function(part) for part in parts]).unflatten(0, x.shape[:-1])


def one_by_one(function: Callable[..., Tensor], *xs: Tensor) -> Tensor:
    """function(*xs) of xs (N, …), for a function that looks at no two of these N together."""
    if not runs_on_cpu(xs[0]) or len(xs[0]) == 1:
        return function(*xs)
    return torch.cat([function(*parts) for parts in zip(*(x.split(1) for x in xs), strict=True)])
