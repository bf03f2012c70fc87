"""Which kernels the network computes with on this process's CPU: chosen once, in this one place.

What is chosen depends on what the processor has, never on a stopwatch: a choice by time would round one way today and
another tomorrow, and two replicas of one job would not write the same bits. Private operators of PyTorch are reached
through this module alone; each is called once with a small product, and left out where it does not exist, fails or
gives other values than the plain product.

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
keys by row         float32: with these tiles        an eighth fewer products, which is what time goes to there
==================  ===============================  =======================================================

A network in bfloat16 keeps its weights and what its layers pass on in bfloat16 on every CPU. Without products of
bfloat16 they are multiplied in float32, where the product of two such numbers is exact, and each sum is rounded once:
the values of the plain bfloat16 network, within its own rounding. That is slower than float32, by the conversions, and
is said once.
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
"""oneDNN's own operator; whatever `F.linear` takes; `F.linear` of the same numbers in float32."""

Softmax = Literal["blocks", "tiles"]
"""Blocks of queries against all keys; or tiles of queries and keys, by powers of two that are added up."""

PROBE_TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}  # of sums of 32 products of numbers around one


@dataclass(frozen=True, kw_only=True)
class CpuKernels:
    """What a process computes with on its CPU.

    ``vectors`` is what PyTorch's own loops are compiled for (DEFAULT, AVX2, AVX512, …). ``cached_rows`` is how many
    rows of at most 2,048 channels a layer treats at a time, so that what it makes on the way stays in cache, and
    ``strip_rows`` is how many cells of a picture the blocks of the trunk do.
    ``is_plain`` says that every layer is computed as the checkpoints write it, by PyTorch's public operators: for
    comparisons.
    """

    vectors: str
    float32_products: Products
    bfloat16_products: Products
    float32_softmax: Softmax
    cached_rows: int
    strip_rows: int
    is_plain: bool = False

    def products(self, dtype: torch.dtype) -> Products:
        """How numbers of this dtype are multiplied."""
        if dtype is torch.float32:
            return self.float32_products
        return self.bfloat16_products if dtype is torch.bfloat16 else "PyTorch"

    @property
    def prefers_fused_attention(self) -> bool:
        """Whether PyTorch's fused attention in float32 is at least as fast as ours, where it can be used.

        Its exponentials are vectors from AVX2 on: 3 to 6 % faster than tiles there, and a fifth slower without.
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
    """The kernels of this process; within `using`, those."""
    return _others.get() or _chosen()


@contextmanager
def using(kernels: CpuKernels) -> Iterator[None]:
    """Within this, this thread computes by other kernels: for comparisons and tests."""
    token = _others.set(kernels)
    try:
        yield
    finally:
        _others.reset(token)


def plain_kernels() -> AbstractContextManager[None]:
    """Within this, this thread computes by PyTorch's public operators alone: what fast kernels are compared with."""
    return using(choose(vectors="plain", has_onednn=False, has_bfloat16=False, is_plain=True))


def choose(
    *, vectors: str, has_onednn: bool, has_bfloat16: bool, is_intel: bool = True, is_plain: bool = False
) -> CpuKernels:
    """The kernels of a CPU: the vectors of PyTorch's loops, and whether oneDNN's operator multiplies either dtype.

    MKL, which multiplies in tiles and fused attention, does so at full speed in AVX-512 where ``is_intel``.
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
    # What oneDNN may use can be less than what the processor has (ONEDNN_MAX_CPU_ISA): with AVX-512 it takes bfloat16.
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
    """Say, once in a process, that bfloat16 brings nothing on this CPU; nothing where it does."""
    if cpu_kernels().bfloat16_products == "float32":
        logger.warning("dtype bfloat16: this CPU has no bfloat16 products; dtype float32 is faster here")


def onednn_linear_operator() -> Any | None:
    """oneDNN's linear layer, which PyTorch calls private; None where this PyTorch has none."""
    if not torch.backends.mkldnn.is_available():
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def fused_attention_operator() -> Any | None:
    """What `F.scaled_dot_product_attention` calls on the CPU; None where this PyTorch names it otherwise."""
    return getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)


def onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x weightᵀ + bias by oneDNN."""
    # Contiguous, all three: it reads past the strides of a bias, and is slow with those of a matrix.
    bias = None if bias is None else bias.contiguous()
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight.contiguous(), bias, "none", [], "")
    return product


def _is_intel() -> bool:
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # no Linux; there are no AVX-512 Macs but by Intel
        return True


def _onednn_takes_bfloat16() -> bool:
    if onednn_linear_operator() is None:
        return False
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # of a PyTorch that has it no more
        return False


def _is_right(dtype: torch.dtype) -> bool:
    """Whether oneDNN's operator gives the plain product of a few numbers."""
    numbers = torch.linspace(-1, 1, 47 * 32).sin().to(dtype)
    x, weight, bias = numbers[: 15 * 32].view(15, 32), numbers[15 * 32 :].view(32, 32), numbers[:32]
    with torch.inference_mode():
        try:
            found = onednn_linear(x, weight, bias)
        except (AttributeError, RuntimeError, TypeError) as error:  # it has gone, changed, or has no kernel here
            logger.debug("oneDNN's linear layer is not used in %s: %s", dtype, error)
            return False
        expected = F.linear(x.double(), weight.double(), bias.double())
        tolerance = PROBE_TOLERANCE[dtype]
        return torch.allclose(found.double(), expected, rtol=tolerance, atol=tolerance)
