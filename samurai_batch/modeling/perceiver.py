"""EdgeTAM's spatial perceiver: compresses a spatial memory to a fixed number of tokens.

Source: https://arxiv.org/abs/2501.07256. Learned latents attend to the memory's cells: ``num_latents`` global ones to
all cells, and one for each of ``window_grid`` x ``window_grid`` windows to the cells of its window. Both pass through
the same layers.
"""

import torch
from torch import Tensor, nn

from samurai_batch.modeling.attention import attend
from samurai_batch.modeling.configs import EdgeTamConfig, VideoModelConfig
from samurai_batch.modeling.hiera import partition_windows
from samurai_batch.modeling.layers import Linear
from samurai_batch.modeling.positions import rotary_tables, sine_grid

MLP_RATIO = 4


class _Attention(nn.Module):
    """One-head attention without biases."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.to_q = Linear(dim, dim, bias=False)
        self.to_kv = Linear(dim, 2 * dim, bias=False)
        self.to_out = Linear(dim, dim, bias=False)

    def _attended(self, x: Tensor, keys: Tensor, positions: Tensor | None) -> Tensor:
        """x (B, n, dim), keys (B, L, dim), positions (L, dim), which are added to keys and values -> (B, n, dim)."""
        key, value = self.to_kv(keys).chunk(2, dim=-1)
        if positions is not None:
            key, value = key + positions, value + positions
        attended: Tensor = self.to_out(attend(self.to_q(x)[:, None], key[:, None], value[:, None])[:, 0])
        return attended


class CrossAttention(_Attention):
    """Latents attend to cells."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.norm_x = nn.LayerNorm(dim)
        self.norm_latents = nn.LayerNorm(dim)

    def forward(self, latents: Tensor, x: Tensor, positions: Tensor | None) -> Tensor:
        """latents (B, n, dim), cells x (B, L, dim), positions (L, dim) -> (B, n, dim)."""
        return self._attended(self.norm_latents(latents), self.norm_x(x), positions)


class SelfAttention(_Attention):
    """Latents attend to each other."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, latents: Tensor) -> Tensor:
        """(B, n, dim) -> the same shape."""
        normed = self.norm(latents)
        return self._attended(normed, normed, None)


def _feed_forward(dim: int) -> nn.Sequential:
    hidden = MLP_RATIO * dim
    return nn.Sequential(nn.LayerNorm(dim), Linear(dim, hidden, bias=False), nn.GELU(), Linear(hidden, dim, bias=False))


class PerceiverLayer(nn.Module):
    """Cross-attention, feed-forward, self-attention, feed-forward."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.attn = CrossAttention(dim)
        self.ff = _feed_forward(dim)
        self.self_attn = SelfAttention(dim)
        self.self_ff = _feed_forward(dim)

    def forward(self, latents: Tensor, x: Tensor, positions: Tensor | None) -> Tensor:
        """latents (B, n, dim), cells x (B, L, dim), positions (L, dim) -> (B, n, dim)."""
        latents = latents + self.attn(latents, x, positions)
        latents = latents + self.ff(latents)
        latents = latents + self.self_attn(latents)
        y: Tensor = latents + self.self_ff(latents)
        return y


class SpatialPerceiver(nn.Module):
    """Compresses memories for images of S x S pixels, S a multiple of 16 ``window_grid``."""

    positions: Tensor

    def __init__(self, config: EdgeTamConfig, image_size: int) -> None:
        super().__init__()
        dim, self.window_grid = config.mem_dim, config.window_grid
        self.latents = nn.Parameter(torch.zeros(config.num_latents, dim))
        self.latents_2d = nn.Parameter(torch.zeros(config.window_grid**2, dim))
        self.layers = nn.ModuleList(PerceiverLayer(dim) for _ in range(config.perceiver_layers))
        self.norm = nn.LayerNorm(dim)
        side = image_size // 16
        self.register_buffer("positions", sine_grid(dim, side, side), persistent=False)

    def forward(self, memory: Tensor) -> Tensor:
        """(N, dim, h, w) -> tokens (N, dim, num_latents + window_grid²), first the global ones."""
        cells = memory.permute(0, 2, 3, 1)
        tokens = torch.cat((self._globally(cells), self._by_windows(cells)), dim=1)
        return tokens.transpose(1, 2)

    def _globally(self, cells: Tensor) -> Tensor:
        latents = self.latents.expand(len(cells), -1, -1)
        return self._through_layers(latents, cells.flatten(1, 2), self.positions.flatten(1).T)

    def _by_windows(self, cells: Tensor) -> Tensor:
        """Each latent with the cells of its window: windows are a batch, and every one has a single latent."""
        windows = partition_windows(cells, cells.shape[1] // self.window_grid).flatten(1, 2)
        latents = self.latents_2d.repeat(len(cells), 1)[:, None]
        return self._through_layers(latents, windows, None).unflatten(0, (len(cells), -1)).squeeze(2)

    def _through_layers(self, latents: Tensor, cells: Tensor, positions: Tensor | None) -> Tensor:
        for layer in self.layers:
            latents = layer(latents, cells, positions)
        normed: Tensor = self.norm(latents)
        return normed


def memory_positions(config: VideoModelConfig, side: int) -> Tensor:
    """Positions of a memory's cells (mem_dim, side, side), or of its tokens (mem_dim, tokens), float64.

    Global tokens have none, windows that of a grid of windows.
    """
    if not isinstance(config, EdgeTamConfig):
        return sine_grid(config.mem_dim, side, side)
    windows = sine_grid(config.mem_dim, config.window_grid, config.window_grid).flatten(1)
    return torch.cat((windows.new_zeros(config.mem_dim, config.num_latents), windows), dim=1)


def memory_rotation(config: VideoModelConfig, side: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines (cells or tokens of a memory, hidden_dim / 2) that rotate its keys, float64.

    Global tokens are not rotated, and windows by their place in the grid of windows, whatever the image size.
    """
    if not isinstance(config, EdgeTamConfig):
        return rotary_tables(config.hidden_dim, side, side)
    cosine, sine = rotary_tables(config.hidden_dim, config.window_grid, config.window_grid)
    unrotated = (config.num_latents, cosine.shape[1])
    return torch.cat((cosine.new_ones(unrotated), cosine)), torch.cat((sine.new_zeros(unrotated), sine))
