"""Memory attention: the current frame's features attend to the memory bank of each object.

Nearly all of a track's time is spent here, so the order of computation is chosen for speed. The checkpoints define

    softmax(rotate(W_q x) · rotate(W_k m)ᵀ / √c) (W_v m) W_o        rotate: rotary embedding of pairs of channels

Let P be the softmax, whose rows sum to one:

- P (W_v m) W_o = (P m) (W_v W_o): attention runs over the memories with their 64 channels instead of 256, and one
  projection of the result replaces one before and one after;
- a dot product does not depend on the order of channels: with even channels before odd ones, by reordering the rows of
  W_q and W_k, the rotation is four elementwise products with precomputed tables;
- object pointers have no position: they are rotated by angle zero, together with the cells;
- before cross-attention, a frame is the same for all tracks, so the first self-attention is computed once;
- where multiplications are the bottleneck, scores are computed row by row, with fewer of them (`keys_by_row`).

With plain kernels (`kernels.plain_kernels`), and where flash attention wants it (`gpu`), values are projected first,
as the checkpoints define. On a GPU queries and keys are rotated by fewer kernels (`_rotated_by_two_products`).

Rotated keys could be cached across frames, as projection and rotation are linear. They are not, because computing them
takes 3 % of a layer's time, and caching them 2 MB per memory, track and layer in bfloat16.

With ``pool_memories``, one key replaces 2 x 2 cells of a memory: their mean, rotated by the angle of their centre, and
weighted four times. This changes the result, and takes a quarter of the multiplications. Networks that were trained to
attend to fewer keys do it in their own ways: EfficientTAM's variants average the rotated keys (`pooled_keys`), EdgeTAM
has a perceiver (`perceiver`).
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samurai_batch.modeling.attention import Attention, attend
from samurai_batch.modeling.configs import EdgeTamConfig, VideoModelConfig
from samurai_batch.modeling.constants import Constants
from samurai_batch.modeling.gpu import wants_even_widths
from samurai_batch.modeling.kernels import cpu_kernels
from samurai_batch.modeling.keys_by_row import KeyRows, attend_by_row, by_row, key_rows
from samurai_batch.modeling.layers import Linear
from samurai_batch.modeling.perceiver import memory_rotation
from samurai_batch.modeling.pooled_keys import LOG_CELLS, POOLING, KeyPooling, key_pooling
from samurai_batch.modeling.positions import rotary_tables
from samurai_batch.modeling.products import by_rows, linear, multiplied, one_by_one

Angles = tuple[Tensor, Tensor]
"""Cosines and sines of every cell's angles: two (L, dim / 2)."""


@dataclass(frozen=True)
class Attended:
    """What every layer attends to: keys (N, Lk, key_dim) and values (N, Lv, key_dim) before their projections.

    ``angles`` of the keys; ``log_weights`` (Lv,) that scores get; ``rows``: keys and values are in this order;
    ``pooling``: projected and rotated keys are averaged, Lv of them remain.
    """

    keys: Tensor
    values: Tensor
    angles: Angles
    log_weights: Tensor | None = None
    rows: KeyRows | None = None
    pooling: KeyPooling | None = None


class RotaryAttention(Attention):
    """One-head attention with axial rotary positions on queries and keys (RoPE)."""

    def __init__(self, dim: int, key_dim: int | None = None) -> None:
        super().__init__(dim, num_heads=1, key_dim=key_dim)
        self.constants = Constants()

    def forward_rotary(self, x: Tensor, x_angles: Angles, to: Attended) -> Tensor:
        """x (1 or N, L, dim) attends to N tracks' keys -> (N, L, dim)."""

        def attention(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            if to.rows is not None:
                attended = attend_by_row(self.k_proj, query[0], keys[0], values[0], to.angles, to.rows)
                if attended is not None:
                    return attended[None]
            key = self._rotated("k_proj", keys, to.angles)
            if to.pooling is not None:
                key = to.pooling.keys(key)
            return attend(query[:, None], key[:, None], values[:, None], to.log_weights)[:, 0]

        query = self._rotated("q_proj", x, x_angles).expand(len(to.keys), -1, -1)
        if self._projects_values_first(x):
            return self.out_proj(attention(query, to.keys, self.v_proj(to.values)))
        attended = one_by_one(attention, query, to.keys, to.values)
        return linear(attended, *self._value_projection())

    def _projects_values_first(self, x: Tensor) -> bool:
        is_uneven = self.v_proj.in_features != self.v_proj.out_features
        return cpu_kernels().is_plain or (is_uneven and wants_even_widths(x.dtype, x.device))

    def _value_projection(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of W_v and W_o in one."""
        first, second = self.v_proj, self.out_proj

        def compute() -> tuple[Tensor, Tensor]:
            both = multiplied(torch.matmul, second.weight, first.weight)
            return both, multiplied(torch.matmul, second.weight, first.bias) + second.bias

        sources = (first.weight, first.bias, second.weight, second.bias)
        return self.constants.get("value_projection", compute, *sources)

    def _rotated(self, name: Literal["q_proj", "k_proj"], x: Tensor, angles: Angles) -> Tensor:
        """Project x (N, L, key_dim) and rotate its channel pairs: (N, L, dim), even channels before odd ones."""
        projection = self.q_proj if name == "q_proj" else self.k_proj
        weight, bias = projection.weight, projection.bias
        if angles[0].shape[-1] < len(weight):
            return _rotated(weight, bias, x, angles)
        twice = self.constants.get(name, lambda: (_twice(weight), _twice(bias)), weight, bias)
        return _rotated_by_two_products(*twice, x, angles)


def _rotated(weight: Tensor, bias: Tensor, x: Tensor, angles: Angles) -> Tensor:
    even, odd = (linear(x, weight[part::2], bias[part::2]) for part in (0, 1))
    cosine, sine = angles
    return torch.cat(
        (torch.addcmul(even * cosine, odd, sine, value=-1), torch.addcmul(even * sine, odd, cosine)), dim=-1
    )


def _rotated_by_two_products(weight: Tensor, bias: Tensor, x: Tensor, angles: Angles) -> Tensor:
    """As `_rotated`, by weights of `_twice` and angles of `_both`: three kernels on a GPU instead of seven."""
    straight, across = linear(x, weight, bias).chunk(2, dim=-1)
    cosine, sine = angles
    return torch.addcmul(straight * cosine, across, sine)


def _twice(parameter: Tensor) -> Tensor:
    """Rows (c, …) -> (2 c, …): the even and the odd ones, then what sines meet, the negative odd and the even ones."""
    even, odd = parameter[0::2], parameter[1::2]
    return torch.cat((even, odd, -odd, even))


def _both(angles: Angles) -> Angles:
    """Angles of pairs of channels as those of all channels, even ones before odd ones: two (L, dim)."""
    cosine, sine = (torch.cat((table, table), dim=-1) for table in angles)
    return cosine, sine


def _by_row(x: Tensor, rows: KeyRows) -> Tensor:
    """Keys (..., Lk, c) in the order of `KeyRows`: cells row by row, then pointers."""
    cells, pointers = x[..., : rows.num_cells, :], x[..., rows.num_cells :, :]
    return torch.cat((by_row(cells, rows.keys_per_row // rows.num_rows, rows.num_rows), pointers), dim=-2)


class MemoryAttentionLayer(nn.Module):
    """Self-attention over the frame, cross-attention to the memories, an MLP."""

    def __init__(self, dim: int, mem_dim: int, mlp_dim: int) -> None:
        super().__init__()
        self.self_attn = RotaryAttention(dim)
        self.cross_attn_image = RotaryAttention(dim, key_dim=mem_dim)
        self.linear1 = Linear(dim, mlp_dim)
        self.linear2 = Linear(mlp_dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, angles: Angles, memory: Attended) -> Tensor:
        """x (1 or N, L, dim) and the memories of N tracks -> (N, L, dim)."""
        normed = self.norm1(x)
        x = x + self.self_attn.forward_rotary(normed, angles, Attended(normed, normed, angles))
        x = x + self.cross_attn_image.forward_rotary(self.norm2(x), angles, memory)
        return x + by_rows(self._mlp, x)

    def _mlp(self, x: Tensor) -> Tensor:
        return self.linear2(F.relu(self.linear1(self.norm3(x))))


class MemoryAttention(nn.Module):
    """The stack of layers; position encodings are added once to the input, and to the keys of every layer."""

    rotary_cosine: Tensor
    rotary_sine: Tensor
    memory_cosine: Tensor
    memory_sine: Tensor
    pooled_cosine: Tensor
    pooled_sine: Tensor

    def __init__(self, config: VideoModelConfig, image_size: int) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(
            MemoryAttentionLayer(config.hidden_dim, config.mem_dim, config.memory_mlp_dim)
            for _ in range(config.memory_layers)
        )
        self.norm = nn.LayerNorm(config.hidden_dim)
        self.constants = Constants()
        self.side = image_size // 16
        pooled_side = self.side // POOLING
        tables = {  # (cells, dim / 2): of the frame, of one memory, and of a memory whose 2 x 2 cells are one each
            "rotary": rotary_tables(config.hidden_dim, self.side, self.side),
            "memory": memory_rotation(config, self.side),
            "pooled": rotary_tables(config.hidden_dim, pooled_side, pooled_side, POOLING),
        }
        for name, (cosine, sine) in tables.items():
            self.register_buffer(f"{name}_cosine", cosine, persistent=False)
            self.register_buffer(f"{name}_sine", sine, persistent=False)

    def forward(
        self,
        x: Tensor,
        x_pe: Tensor,
        memory: Tensor,
        memory_pe: Tensor,
        num_pointer_tokens: int,
        are_pooled: bool = False,
        key_weights: Tensor | None = None,
    ) -> Tensor:
        """x (1 or N, L, dim), x_pe (L, dim), memory and memory_pe (N, Lm, mem_dim) -> (N, L, dim).

        ``memory`` holds whole spatial memories (of L cells each, L / 4 if they are pooled, or a perceiver's tokens),
        then ``num_pointer_tokens`` pointer tokens. ``key_weights`` (N, Lm) are factors of the keys, not of the values.
        """
        x = x + 0.1 * x_pe
        num_cells = memory.shape[1] - num_pointer_tokens
        angles, key_angles = self._angles(num_cells, num_pointer_tokens, are_pooled)
        keys = memory + memory_pe
        if key_weights is not None:
            keys = keys * key_weights[..., None]
        attended = self._attended(x, keys, memory, key_angles, num_pointer_tokens, are_pooled)
        for layer in self.layers:
            x = layer(x, angles, attended)
        return self.norm(x)

    def _attended(
        self, x: Tensor, keys: Tensor, memory: Tensor, angles: Angles, num_pointer_tokens: int, are_pooled: bool
    ) -> Attended:
        """Keys and values in the form in which attention to them is cheapest."""
        num_cells = memory.shape[1] - num_pointer_tokens
        num_memories = num_cells // len(self.memory_cosine)
        if are_pooled:
            return Attended(keys, memory, angles, self._log_weights(x, num_cells, num_pointer_tokens))
        if isinstance(self.config, EdgeTamConfig):
            return Attended(keys, memory, angles)
        if (pooling := key_pooling(self.config, num_memories, self.side)) is not None:
            values, log_weights = pooling.averaged(memory), None
            if pooling.weighs_scores:
                num_pooled = values.shape[1] - num_pointer_tokens
                log_weights = self._log_weights(x, num_pooled, num_pointer_tokens)
            return Attended(keys, values, angles, log_weights, pooling=pooling)
        rows = key_rows(x, memory, num_memories, self.side)
        if rows is None:
            return Attended(keys, memory, angles)
        keys, memory, cosine, sine = (_by_row(y, rows) for y in (keys, memory, *angles))
        return Attended(keys, memory, (cosine, sine), rows=rows)

    def _log_weights(self, x: Tensor, num_cells: int, num_pointer_tokens: int) -> Tensor:
        """What pooled keys and pointers (Lm,) add to scores."""

        def compute() -> Tensor:
            return torch.cat((x.new_full((num_cells,), LOG_CELLS), x.new_zeros(num_pointer_tokens)))

        return self.constants.get("log_weights", compute, variant=(num_cells, num_pointer_tokens, x.dtype, x.device))

    def _angles(self, num_cells: int, num_pointer_tokens: int, are_pooled: bool) -> tuple[Angles, Angles]:
        """Angles of the frame's cells and of the keys; on a GPU they are kept, and doubled for `_both`."""
        cosine, sine = self.rotary_cosine, self.rotary_sine
        if cosine.device.type == "cpu" or torch.is_grad_enabled():  # where making them costs little
            return (cosine, sine), self._key_angles(num_cells, num_pointer_tokens, are_pooled)
        angles = self.constants.get("angles", lambda: _both((cosine, sine)), cosine, sine)
        key_angles = self.constants.get(
            "key_angles",
            lambda: _both(self._key_angles(num_cells, num_pointer_tokens, are_pooled)),
            *self._tables(are_pooled),
            variant=(num_cells, num_pointer_tokens, are_pooled),
        )
        return angles, key_angles

    def _key_angles(self, num_cells: int, num_pointer_tokens: int, are_pooled: bool) -> Angles:
        cosine, sine = self._tables(are_pooled)
        num_memories, pointers = num_cells // len(cosine), (num_pointer_tokens, cosine.shape[1])
        return (
            torch.cat((cosine.repeat(num_memories, 1), cosine.new_ones(pointers))),
            torch.cat((sine.repeat(num_memories, 1), sine.new_zeros(pointers))),
        )

    def _tables(self, are_pooled: bool) -> Angles:
        """The angles of one memory."""
        return (self.pooled_cosine, self.pooled_sine) if are_pooled else (self.memory_cosine, self.memory_sine)
