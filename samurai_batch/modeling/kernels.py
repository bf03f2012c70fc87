"""Chooses the kernels that the network uses on this process's CPU, once per process.

The choice depends on the processor's features, never on measured times: a choice by time could differ between runs, and
two replicas of one job would then not write the same bits. Only this module calls private operators of PyTorch; each is
tested once with a small product, and not used if it does not exist, fails, or gives other values than the plain
product.

==================  ===============================  =======================================================
kernel              where                            why
==================  ===============================  =======================================================
oneDNN's linear     float32: AVX-512                 twice MKL's rate where the processor is not Intel's
                    bfloat16: products of bfloat16   `F.linear` does not reach them
plain `F.linear`    float32: everywhere else         as fast as oneDNN or up to a fifth faster (AVX2)
float32 products    bfloat16: everywhere else        8 to 100 times as fast as PyTorch's loops over bfloat16
softmax in blocks   float32: AVX-512 not by Intel    its products by oneDNN are twice as fast as those in tiles
fused attention     float32: all other AVX-512, AVX2 a quarter to a third faster than blocks, 3 to 6 % than tiles
exp2 in tiles       float32: where not fused         exp2 takes half the time of exp and of a softmax
keys by row         float32: with these tiles        an eighth fewer multiplications, the bottleneck there
==================  ===============================  =======================================================

A network in bfloat16 keeps weights and activations in bfloat16 on every CPU. On CPUs without bfloat16 products they are
multiplied in float32, where the product of two bfloat16 numbers is exact, and each sum is rounded once: the results are
those of the plain bfloat16 network within its rounding. Because of the conversions this is slower than float32, and a
warning says so once.
"""

import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from samurai_batch.redaction import get_logger

logger = get_logger(__name__)

Products = Literal["oneDNN", "PyTorch", "float32"]
"""oneDNN's operator; the library that `F.linear` uses; `F.linear` in float32 after a conversion."""

Softmax = Literal["blocks", "tiles"]
"""A softmax over all keys for a block of queries; or exp2 in tiles of queries and keys, summed up."""

PROBE_TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}  # of sums of 32 products of numbers around one


@dataclass(frozen=True, kw_only=True)
class CpuKernels:
    """The kernels of a process.

    ``vectors`` is the instruction set of PyTorch's own loops (DEFAULT, AVX2, AVX512, …). A layer processes
    ``cached_rows`` rows of at most 2,048 channels at a time, and a block of the trunk ``strip_rows`` cells of an image,
    so that intermediate tensors stay in the cache. ``is_plain``: every layer is computed as the checkpoints define it,
    by PyTorch's public operators, for comparisons.
    """

    vectors: str
    float32_products: Products
    bfloat16_products: Products
    float32_softmax: Softmax
    cached_rows: int
    strip_rows: int
    is_plain: bool = False

    def products(self, dtype: torch.dtype) -> Products:
        """The kernel of matrix products in this dtype."""
        if dtype is torch.float32:
            return self.float32_products
        return self.bfloat16_products if dtype is torch.bfloat16 else "PyTorch"

    @property
    def prefers_fused_attention(self) -> bool:
        """Whether PyTorch's fused attention in float32 is at least as fast as ours, where it can be used.

        Its exponentials are vectorised from AVX2 on: 3 to 6 % faster than tiles there, and a fifth slower without.
        """
        return self.vectors in ("AVX2", "AVX512") and self.float32_softmax == "tiles"

    def __str__(self) -> str:
        if self.is_plain:
            return "plain PyTorch"
        attention = "fused attention, else exp2 in tiles" if self.prefers_fused_attention else None
        attention = attention or ("exp2 in tiles" if self.float32_softmax == "tiles" else "softmax in blocks")
        bfloat16 = "multiplied in float32" if self.bfloat16_products == "float32" else f"by {self.bfloat16_products}"
        return f"{self.vectors}, float32 by {self.float32_products}, bfloat16 {bfloat16}, {attention}"


_others: ContextVar[CpuKernels | None] = ContextVar("other kernels", default=None)


def cpu_kernels() -> CpuKernels:
    """The kernels of this process, or those of the surrounding `using`."""
    return _others.get() or _chosen()


@contextmanager
def using(kernels: CpuKernels) -> Iterator[None]:
    """A context in which this thread uses other kernels, for comparisons and tests."""
    token = _others.set(kernels)
    try:
        yield
    finally:
        _others.reset(token)


def plain_kernels() -> AbstractContextManager[None]:
    """A context in which this thread uses PyTorch's public operators only, to compare other kernels with."""
    return using(choose(vectors="plain", has_onednn=False, has_bfloat16=False, is_plain=True))


def choose(
    *, vectors: str, has_onednn: bool, has_bfloat16: bool, is_intel: bool = True, is_plain: bool = False
) -> CpuKernels:
    """The kernels of a CPU, by its instruction set and the dtypes that oneDNN's operator supports.

    MKL, which computes the products of tiles and fused attention, runs AVX-512 at full speed only if ``is_intel``.
    """
    is_wide = vectors == "AVX512"
    emulated: Products = "PyTorch" if is_plain else "float32"
    return CpuKernels(
        vectors=vectors,
        float32_products="oneDNN" if has_onednn and is_wide else "PyTorch",
        bfloat16_products="oneDNN" if has_bfloat16 else emulated,
        float32_softmax="blocks" if is_wide and not is_intel else "tiles",
        cached_rows=2048,
        strip_rows=2048 if is_wide else 4096,
        is_plain=is_plain,
    )


@functools.cache
def _chosen() -> CpuKernels:
    # ONEDNN_MAX_CPU_ISA can forbid oneDNN to use AVX-512; it supports bfloat16 only if it may use it.
    takes_bfloat16 = _onednn_takes_bfloat16()
    kernels = choose(
        vectors=torch.backends.cpu.get_cpu_capability(),
        has_onednn=takes_bfloat16 and _is_right(torch.float32),
        has_bfloat16=takes_bfloat16 and _is_right(torch.bfloat16),
        is_intel=_is_intel(),
    )
    logger.debug("CPU kernels: %s", kernels)
    return kernels


@functools.cache
def warn_of_slow_bfloat16() -> None:
    """Warn once per process if bfloat16 is slower than float32 on this CPU."""
    if cpu_kernels().bfloat16_products == "float32":
        logger.warning("dtype bfloat16: this CPU has no bfloat16 products; dtype float32 is faster here")


def onednn_linear_operator() -> Any | None:
    """oneDNN's linear layer, a private operator of PyTorch; None if this PyTorch has none."""
    if not torch.backends.mkldnn.is_available():
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def fused_attention_operator() -> Any | None:
    """The operator behind `F.scaled_dot_product_attention` on the CPU; None if this PyTorch has another name for it."""
    return getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)


def onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x weightᵀ + bias by oneDNN: x (..., a), weight (b, a), bias (b,) -> (..., b)."""
    # All three contiguous: it ignores the strides of a bias, and is slow with those of a matrix.
    bias = None if bias is None else bias.contiguous()
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight.contiguous(), bias, "none", [], "")
    return product


def _is_intel() -> bool:
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux; all Macs with AVX-512 have Intel processors
        return True


def _onednn_takes_bfloat16() -> bool:
    if onednn_linear_operator() is None:
        return False
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # this PyTorch does not have it any more
        return False


def _is_right(dtype: torch.dtype) -> bool:
    """Whether oneDNN's operator gives the same result as the plain product, on a small example."""
    numbers = torch.linspace(-1, 1, 47 * 32).sin().to(dtype)
    x, weight, bias = numbers[: 15 * 32].view(15, 32), numbers[15 * 32 :].view(32, 32), numbers[:32]
    with torch.inference_mode():
        try:
            product = onednn_linear(x, weight, bias)
        except (
            AttributeError,
            RuntimeError,
            TypeError,
        ) as error:  # it was removed, changed, or has no kernel on this CPU
            logger.debug("oneDNN's linear layer is not used in %s: %s", dtype, error)
            return False
        expected = F.linear(x.double(), weight.double(), bias.double())
        tolerance = PROBE_TOLERANCE[dtype]
        return torch.allclose(product.double(), expected, rtol=tolerance, atol=tolerance)
