"""Hiera, the image trunk of SAM 2: a vision transformer in four stages with windowed attention.

Source: https://arxiv.org/abs/2306.00989; the window position embedding: https://arxiv.org/abs/2311.05613.

A block with windowed attention processes each row of windows independently. On the CPU it processes the image in
strips, so that its intermediate tensors, many times larger than its input, stay in the processor's cache.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samurai_batch.modeling.attention import attend
from samurai_batch.modeling.configs import Sam2Config
from samurai_batch.modeling.constants import Constants
from samurai_batch.modeling.kernels import cpu_kernels
from samurai_batch.modeling.layers import Conv2d, Linear, Mlp
from samurai_batch.modeling.products import multiplied, runs_on_cpu


def partition_windows(x: Tensor, size: int, padding: Tensor | None = None) -> Tensor:
    """(B, H, W, C) -> windows (B * n, size, size, C), padded right and below with ``padding`` (C,) or zeros."""
    batch, height, width, channels = x.shape
    pad_h, pad_w = -height % size, -width % size
    if pad_h or pad_w:
        cells = x
        x = x.new_zeros(channels) if padding is None else padding
        x = x.expand(batch, height + pad_h, width + pad_w, channels).clone()
        x[:, :height, :width] = cells
    x = x.view(batch, (height + pad_h) // size, size, (width + pad_w) // size, size, channels)
    return x.transpose(2, 3).reshape(-1, size, size, channels)


def join_windows(windows: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `partition_windows`: (B * n, size, size, C) -> (B, height, width, C), padding removed."""
    size, channels = windows.shape[1], windows.shape[3]
    rows, columns = -(-height // size), -(-width // size)
    x = windows.view(-1, rows, columns, size, size, channels).transpose(2, 3)
    return x.reshape(-1, rows * size, columns * size, channels)[:, :height, :width]


def max_pool(x: Tensor) -> Tensor:
    """2x2 max pooling: (B, H, W, C) -> (B, H / 2, W / 2, C)."""
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


class MultiScaleAttention(nn.Module):
    """Attention within each window; at the start of a stage, queries are pooled to half the size.

    Padding cells are zeros, so their queries, keys and values equal the bias and need no matrix products.
    """

    def __init__(self, dim: int, dim_out: int, num_heads: int, pool_queries: bool, window_size: int) -> None:
        super().__init__()
        self.window_size = window_size
        self.num_heads = num_heads
        self.pool_queries = pool_queries
        self.qkv = Linear(dim, dim_out * 3)
        self.proj = Linear(dim_out, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, dim) -> (B, H', W', dim_out)."""
        _, full_height, full_width, _ = x.shape
        qkv = self.qkv(x)
        if self.window_size:
            qkv = partition_windows(qkv, self.window_size, self.qkv.bias)
        batch, height, width, _ = qkv.shape
        q, k, v = qkv.reshape(batch, height * width, 3, self.num_heads, -1).unbind(2)
        if self.pool_queries:
            q = max_pool(q.reshape(batch, height, width, -1))
            height, width = q.shape[1:3]
            q = q.reshape(batch, height * width, self.num_heads, -1)
            full_height, full_width = full_height // 2, full_width // 2
        x = attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        x = x.transpose(1, 2).reshape(batch, height, width, -1)
        return self.proj(join_windows(x, full_height, full_width) if self.window_size else x)


class MultiScaleBlock(nn.Module):
    """A transformer block over windows of ``window_size`` cells (0: over the whole image)."""

    def __init__(self, dim: int, dim_out: int, num_heads: int, window_size: int) -> None:
        super().__init__()
        self.window_size = window_size
        self.is_stage_start = dim != dim_out
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = MultiScaleAttention(dim, dim_out, num_heads, self.is_stage_start, window_size)
        self.norm2 = nn.LayerNorm(dim_out, eps=1e-6)
        self.mlp = Mlp(dim_out, dim_out * 4, dim_out, num_layers=2, activation=F.gelu)
        if self.is_stage_start:
            self.proj = Linear(dim, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, dim) -> (B, H', W', dim_out); H' = H / 2 at the start of a stage."""
        if self.window_size == 0 or not runs_on_cpu(x):
            return self._transform(x)
        cells = self.window_size * x.shape[0] * x.shape[2]  # in one row of windows
        strips = x.split(self.window_size * max(1, cpu_kernels().strip_rows // cells), dim=1)
        return (
            self._transform(x) if len(strips) == 1 else torch.cat([self._transform(strip) for strip in strips], dim=1)
        )

    def _transform(self, x: Tensor) -> Tensor:
        shortcut, x = x, self.norm1(x)
        if self.is_stage_start:
            shortcut = max_pool(self.proj(x))
        x = shortcut + self.attn(x)
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    """Overlapping 7x7 patches at stride 4."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = Conv2d(3, dim, kernel_size=7, stride=4, padding=3)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, S / 4, S / 4, dim)."""
        image = image.contiguous(memory_format=torch.channels_last)  # so that later layers find channels contiguous
        return (self.proj(image)).permute(0, 2, 3, 1)


def resized_grid(grid: Tensor, height: int, width: int) -> Tensor:
    """Bicubic interpolation, without aligned corners or antialiasing: (h, w, C) -> (height, width, C)."""
    rows, columns = _bicubic_weights(grid.shape[0], height, grid), _bicubic_weights(grid.shape[1], width, grid)
    return multiplied(partial(torch.einsum, "yi,ijc,xj->yxc"), rows, grid, columns)


def _bicubic_weights(length: int, new_length: int, like: Tensor) -> Tensor:
    """The matrix (new_length, length) of bicubic interpolation: cheaper than resizing every channel."""
    lines = torch.eye(length, dtype=like.dtype, device=like.device)[None, None]
    return F.interpolate(lines, size=(new_length, length), mode="bicubic")[0, 0]


class Hiera(nn.Module):
    """The trunk: feature maps at strides 4, 8, 16 and 32."""

    def __init__(self, config: Sam2Config) -> None:
        super().__init__()
        dims, window, grid = config.trunk_dims, config.window_spec[0], config.position_grid
        self.patch_embed = PatchEmbed(dims[0])
        self.pos_embed = nn.Parameter(torch.zeros(1, dims[0], grid, grid))
        self.pos_embed_window = nn.Parameter(torch.zeros(1, dims[0], window, window))
        self.constants = Constants()
        self.blocks = nn.ModuleList()
        self.stage_ends = [sum(config.stages[: stage + 1]) - 1 for stage in range(4)]
        dim = dims[0]
        for stage, depth in enumerate(config.stages):
            for position in range(depth):
                # The first block of a stage still attends within the windows of the stage before it.
                window_stage = stage - 1 if position == 0 and stage > 0 else stage
                is_global = len(self.blocks) in config.global_att_blocks
                self.blocks.append(
                    MultiScaleBlock(
                        dim=dim,
                        dim_out=dims[stage],
                        num_heads=config.trunk_heads * 2**stage,
                        window_size=0 if is_global else config.window_spec[window_stage],
                    )
                )
                dim = dims[stage]

    def _positions(self, height: int, width: int) -> Tensor:
        """Position embedding (height, width, C): the resized background embedding plus the tiled window embedding."""
        grid, window = self.pos_embed[0].permute(1, 2, 0), self.pos_embed_window[0].permute(1, 2, 0)
        return resized_grid(grid, height, width) + window.tile(height // window.shape[0], width // window.shape[1], 1)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, S, S) -> four maps (B, C, S / stride, S / stride), finest first."""
        x = self.patch_embed(image)
        height, width = x.shape[1:3]
        x = x + self.constants.get(
            "positions",
            lambda: self._positions(height, width),
            self.pos_embed,
            self.pos_embed_window,
            variant=(height, width),
        )
        outputs = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.stage_ends:
                outputs.append(x.permute(0, 3, 1, 2))
        return outputs
