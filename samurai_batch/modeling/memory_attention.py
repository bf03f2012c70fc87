"""Memory attention: the current frame's features look at what is remembered of an object."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samurai_batch.modeling.attention import Attention
from samurai_batch.modeling.configs import Sam2Config
from samurai_batch.modeling.positions import rotary_tables, rotate


class RotaryAttention(Attention):
    """One-head attention with axial rotary positions on queries and on the first keys (RoPE)."""

    def forward_rotary(
        self, q: Tensor, k: Tensor, v: Tensor, tables: tuple[Tensor, Tensor], num_plain_keys: int
    ) -> Tensor:
        """q (B, L, dim); k, v (B, n·L + num_plain_keys, key_dim) -> (B, L, dim).

        The n memories before the last ``num_plain_keys`` keys (object pointers) share the queries' positions.
        """
        length = q.shape[1]
        query = rotate(self.split_heads(self.q_proj(q)), *tables)
        key = self.split_heads(self.k_proj(k))
        num_rotated = key.shape[2] - num_plain_keys
        maps = key[:, :, :num_rotated].unflatten(2, (-1, length))
        key = torch.cat((rotate(maps, *tables).flatten(2, 3), key[:, :, num_rotated:]), dim=2)
        return self.attend(query, key, self.split_heads(self.v_proj(v)))


class MemoryAttentionLayer(nn.Module):
    """Self-attention over the frame, cross-attention to the memories, an MLP."""

    def __init__(self, dim: int, mem_dim: int, mlp_dim: int) -> None:
        super().__init__()
        self.self_attn = RotaryAttention(dim, num_heads=1)
        self.cross_attn_image = RotaryAttention(dim, num_heads=1, key_dim=mem_dim)
        self.linear1 = nn.Linear(dim, mlp_dim)
        self.linear2 = nn.Linear(mlp_dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(
        self, x: Tensor, keys: Tensor, values: Tensor, tables: tuple[Tensor, Tensor], num_pointer_tokens: int
    ) -> Tensor:
        """x (N, L, dim), keys and values (N, Lm, mem_dim) -> (N, L, dim)."""
        normed = self.norm1(x)
        x = x + self.self_attn.forward_rotary(normed, normed, normed, tables, 0)
        x = x + self.cross_attn_image.forward_rotary(self.norm2(x), keys, values, tables, num_pointer_tokens)
        return x + self.linear2(F.relu(self.linear1(self.norm3(x))))


class MemoryAttention(nn.Module):
    """The stack of layers; positions are added once to the input, and to the keys of every layer."""

    rotary_cosine: Tensor
    rotary_sine: Tensor

    def __init__(self, config: Sam2Config, image_size: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            MemoryAttentionLayer(config.hidden_dim, config.mem_dim, config.memory_mlp_dim)
            for _ in range(config.memory_layers)
        )
        self.norm = nn.LayerNorm(config.hidden_dim)
        self.grid = (config.hidden_dim, image_size // 16, image_size // 16)
        self.rebuild_position_tables()

    def rebuild_position_tables(self) -> None:
        """Compute the rotary tables (L, dim / 2), in float64, on the current default device."""
        cosine, sine = rotary_tables(*self.grid)
        self.register_buffer("rotary_cosine", cosine, persistent=False)
        self.register_buffer("rotary_sine", sine, persistent=False)

    def forward(self, x: Tensor, x_pe: Tensor, memory: Tensor, memory_pe: Tensor, num_pointer_tokens: int) -> Tensor:
        """x (N, L, dim), x_pe (L, dim), memory and memory_pe (N, Lm, mem_dim) -> (N, L, dim).

        ``memory`` holds whole spatial memories of L cells each, then ``num_pointer_tokens`` pointer tokens.
        """
        x = x + 0.1 * x_pe
        keys = memory + memory_pe
        tables = (self.rotary_cosine, self.rotary_sine)
        for layer in self.layers:
            x = layer(x, keys, memory, tables, num_pointer_tokens)
        return self.norm(x)
