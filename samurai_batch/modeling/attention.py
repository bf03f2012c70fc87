"""Attention, softmax(q kᵀ / √c) v, for all parts of the network.

PyTorch's fused kernels compute it on a GPU, for the few keys of a window, when gradients are needed, and for many keys
in float32 on CPUs where they are fastest (`kernels`) and values are as wide as keys. In all other cases on the CPU, the
matrix products of `products` compute it for a block of queries at a time, whose scores stay in the cache. (On the CPU,
the fused kernels have no bfloat16 products.)

With these products, the softmax takes a visible share of the time. It subtracts the largest score of each query, so
that exponentials do not overflow, which scores of usual size do not need. Without that subtraction, neither the largest
score nor the sum has to be known in advance, and a block of queries can process the keys tile by tile: in bfloat16
(`_over_tiles`), and in float32 where `kernels` says so, by exp2 of scores whose queries were multiplied by log₂ e
(`_by_powers_of_two`). The sum of exponentials shows whether the scores were in the usual range; if not, the block is
computed again with a softmax (`_by_softmax`).
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samurai_batch.modeling.kernels import cpu_kernels
from samurai_batch.modeling.layers import Linear
from samurai_batch.modeling.products import is_multiplied_in_float32, linear, runs_on_cpu

FEW_SCORES = 2**16  # per head; below, the products of this module are not faster
BLOCK_QUERIES = 128
BLOCK_SCORES = 2**20  # with few keys, a block has more queries, up to this many scores: 2 MB in bfloat16
TILE_QUERIES = 1024
TILE_BYTES = 2**21  # of scores: about 1,024 keys in bfloat16, 512 in float32
TILE_STEP = 64  # keys per tile are a multiple of it, because other products are slower
USUAL_SUMS = (1e-30, 1e35)  # of exponentials: far from underflow and overflow in float32 and bfloat16
LOG2_E = math.log2(math.e)

Tile = tuple[Tensor, Tensor, Tensor | None]
"""Keys (n, c), values (n, d) and log_weights (n,) of a tile."""


def attend(q: Tensor, k: Tensor, v: Tensor, log_weights: Tensor | None = None) -> Tensor:
    """Attention: q (B, heads, Lq, c), k (B, heads, Lk, c), v (B, heads, Lk, d) -> (B, heads, Lq, d).

    d may differ from c, for values that are projected afterwards. log_weights (Lk,) are added to the scores, so a key
    with log n counts as n keys.
    """
    if is_multiplied_in_float32(q):
        weights = None if log_weights is None else log_weights.float()
        return attend(q.float(), k.float(), v.float(), weights).to(q.dtype)
    are_few = q.shape[2] * k.shape[2] < FEW_SCORES
    if not runs_on_cpu(q) or _is_fused(q, v, are_few):
        if q.device.type == "cuda" and q.stride(0) == 0:
            q = q.contiguous()  # one query of all tracks: not every kernel takes strides of zero
        weights = None if log_weights is None else log_weights.expand(1, 1, q.shape[2], k.shape[2])
        return F.scaled_dot_product_attention(q, k, v, attn_mask=weights)
    q = q * (1 / math.sqrt(q.shape[-1]))
    if are_few:
        scores = q @ k.transpose(2, 3)
        return (scores if log_weights is None else scores + log_weights).softmax(-1) @ v
    heads = zip(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), strict=True)
    return torch.stack([_attend_to_many(*head, log_weights) for head in heads]).view(*q.shape[:3], -1)


def _is_fused(q: Tensor, v: Tensor, are_few: bool) -> bool:
    """Whether PyTorch's fused kernel is the fastest choice on the CPU."""
    if are_few:
        return q.dtype is not torch.bfloat16
    return q.dtype is torch.float32 and q.shape[-1] == v.shape[-1] and cpu_kernels().prefers_fused_attention


def _attend_to_many(q: Tensor, k: Tensor, v: Tensor, log_weights: Tensor | None) -> Tensor:
    """One head on the CPU: scaled q (Lq, c), k (Lk, c), v (Lk, d) -> (Lq, d)."""
    k = k.contiguous()
    in_tiles = q.dtype is torch.bfloat16 or (q.dtype is torch.float32 and cpu_kernels().float32_softmax == "tiles")
    if not in_tiles:
        return _by_softmax(q, k, v, log_weights)
    tiles = _tiles(k, v, log_weights)
    over_tiles = _over_tiles if q.dtype is torch.bfloat16 else _by_powers_of_two
    blocks = [(block, over_tiles(block, tiles)) for block in q.split(TILE_QUERIES)]
    return torch.cat([_by_softmax(q, k, v, log_weights) if x is None else x for q, x in blocks])


def _by_softmax(q: Tensor, k: Tensor, v: Tensor, log_weights: Tensor | None) -> Tensor:
    """As `_attend_to_many`, with a softmax over all keys for a block of queries."""
    values = v.T.contiguous()
    blocks = q.split(max(BLOCK_QUERIES, BLOCK_SCORES // len(k)))
    return torch.cat([linear(linear(block, k, log_weights).softmax(-1), values) for block in blocks])


def _tiles(k: Tensor, v: Tensor, log_weights: Tensor | None) -> list[Tile]:
    """The keys in tiles of about equal size."""
    most = TILE_BYTES // TILE_QUERIES // k.itemsize
    size = math.ceil(len(k) / max(1, round(len(k) / most)) / TILE_STEP) * TILE_STEP
    keys = k.split(size)
    weights = [None] * len(keys) if log_weights is None else log_weights.split(size)
    values = (part.T.contiguous().T for part in v.split(size))  # the layout that is fastest in the products
    return list(zip(keys, values, weights, strict=True))


def _over_tiles(q: Tensor, tiles: Sequence[Tile]) -> Tensor | None:
    """As `_by_softmax`, without subtracting the largest score; None if exponentials are too large or too small."""
    total, sums = (q.new_zeros(len(q), size, dtype=torch.float32) for size in (tiles[0][1].shape[1], 1))
    for keys, values, log_weights in tiles:
        exponentials = linear(q, keys, log_weights).exp_()
        total += linear(exponentials, values.T)
        sums += exponentials.sum(-1, keepdim=True)  # sums in float32 without a copy in float32
    return (total / sums).to(q.dtype) if _are_usual(sums) else None


def _by_powers_of_two(q: Tensor, tiles: Sequence[Tile]) -> Tensor | None:
    """As `_over_tiles`, for float32, with exp2, which takes half the time of exp."""
    sums = TileSums(q, tiles[0][1].shape[1])
    q = q * LOG2_E
    for keys, values, log_weights in tiles:
        sums.add(q, keys, values, None if log_weights is None else log_weights * LOG2_E)
    return sums.result()


class TileSums:
    """Attention of a block of queries in float32, accumulated over tiles of keys; all tiles share one score buffer."""

    def __init__(self, q: Tensor, num_channels: int) -> None:
        self._total, self._sums = q.new_zeros(len(q), num_channels), q.new_zeros(len(q), 1)
        self._buffer = q.new_empty(0)

    def add(self, q: Tensor, keys: Tensor, values: Tensor, log_weights: Tensor | None = None) -> None:
        """Add keys (n, c) and values (n, d) for queries q (Lq, c); scores and log_weights (n,) are to base 2."""
        size = len(q) * len(keys)
        if len(self._buffer) < size:
            self._buffer = q.new_empty(size)
        scores = torch.mm(q, keys.T, out=self._buffer[:size].view(len(q), len(keys)))
        if log_weights is not None:
            scores += log_weights
        self._total.addmm_(scores.exp2_(), values)
        self._sums += scores.sum(-1, keepdim=True)

    def result(self) -> Tensor | None:
        """The attention (Lq, d); None if exponentials were too large or too small."""
        return self._total / self._sums if _are_usual(self._sums) else None


def _are_usual(sums: Tensor) -> bool:
    least, most = (float(bound) for bound in sums.aminmax())
    return USUAL_SUMS[0] < least and most < USUAL_SUMS[1]  # False for NaN


class Attention(nn.Module):
    """Multi-head attention; ``inner_dim`` (all heads) and ``key_dim`` (keys and values) default to ``dim``."""

    def __init__(self, dim: int, num_heads: int, inner_dim: int | None = None, key_dim: int | None = None) -> None:
        super().__init__()
        inner_dim, key_dim = inner_dim or dim, key_dim or dim
        self.num_heads = num_heads
        self.q_proj = Linear(dim, inner_dim)
        self.k_proj = Linear(key_dim, inner_dim)
        self.v_proj = Linear(key_dim, inner_dim)
        self.out_proj = Linear(inner_dim, dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (B, Lq, dim), k and v (B, Lk, key_dim) -> (B, Lq, dim)."""
        query, key, value = self._split(self.q_proj(q)), self._split(self.k_proj(k)), self._split(self.v_proj(v))
        return self.out_proj(attend(query, key, value).transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """(B, L, inner_dim) -> (B, heads, L, inner_dim / heads)."""
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
