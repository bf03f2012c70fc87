"""Attention: softmax(q kᵀ / √c) v, which every part of the network calls here.

On the CPU, attention to many keys is computed as it is written, for a block of queries at a time: the scores of a block
stay in cache between the two products, which run at the full speed of the machine (`products`). This needs neither the
running maximum nor the division at the end that tiles over the keys would. On a GPU, for the few keys of a window, and
where gradients are wanted, PyTorch's fused kernels do it; on the CPU these have no products for bfloat16.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samurai_batch.modeling.layers import Linear
from samurai_batch.modeling.products import linear, runs_on_cpu

FEW_SCORES = 2**16  # fewer for each head are not worth products of their own
BLOCK_QUERIES = 128
BLOCK_SCORES = 2**20  # a block grows to this many scores where there are few keys: 2 MB in bfloat16


def attend(q: Tensor, k: Tensor, v: Tensor, log_weights: Tensor | None = None) -> Tensor:
    """What each query finds: q (B, heads, Lq, c), k (B, heads, Lk, c), v (B, heads, Lk, d) -> (B, heads, Lq, d).

    d may differ from c: values may be attended to before their projection. log_weights (Lk,) are added to the scores: a
    key of log n counts as n keys.
    """
    num_queries, num_keys = q.shape[2], k.shape[2]
    are_few = num_queries * num_keys < FEW_SCORES
    if not runs_on_cpu(q) or (are_few and q.dtype is not torch.bfloat16):
        weights = None if log_weights is None else log_weights.expand(1, 1, num_queries, num_keys)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=weights)
    q = q * (1 / math.sqrt(q.shape[-1]))
    if are_few:
        scores = q @ k.transpose(2, 3)
        return (scores if log_weights is None else scores + log_weights).softmax(-1) @ v
    heads = zip(q.flatten(0, 1), k.flatten(0, 1), v.transpose(2, 3).flatten(0, 1), strict=True)
    rows = max(BLOCK_QUERIES, BLOCK_SCORES // num_keys)
    found = [
        linear(linear(block, keys, log_weights).softmax(-1), values)
        for queries, keys, values in heads
        for block in queries.split(rows)
    ]
    return torch.cat(found).view(*q.shape[:3], -1)


class Attention(nn.Module):
    """Multi-head attention; ``inner_dim`` may be narrower than ``dim``, keys and values of other width."""

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
