"""SAM's image encoder: a plain vision transformer with windowed attention and relative positions.

Sources: SAM, https://arxiv.org/abs/2304.02643; the backbone, https://arxiv.org/abs/2203.16527; relative positions
decomposed into rows and columns, https://arxiv.org/abs/2112.01526.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samurai_batch.modeling.configs import PATCH_SIZE, SamConfig
from samurai_batch.modeling.hiera import join_windows, partition_windows
from samurai_batch.modeling.layers import Conv2d, LayerNorm2d, Linear, TwoLayerMlp
from samurai_batch.modeling.products import multiplied


class RelativeAttention(nn.Module):
    """Attention over a square of ``side`` x ``side`` cells with decomposed relative position biases.

    The logit of query cell q and key cell k is q·k / √c + q·row[q.y − k.y] + q·column[q.x − k.x].
    """

    def __init__(self, dim: int, num_heads: int, side: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = Linear(dim, dim * 3)
        self.proj = Linear(dim, dim)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, dim // num_heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, dim // num_heads))

    def forward(self, x: Tensor) -> Tensor:
        """(B, side, side, dim) -> the same shape."""
        batch, side, _, dim = x.shape
        q, k, v = self.qkv(x).view(batch, side * side, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        x = multiplied(_attend, q, k, v, self.rel_pos_h, self.rel_pos_w)
        return self.proj(x.transpose(1, 2).reshape(batch, side, side, dim))


def _attend(q: Tensor, k: Tensor, v: Tensor, rel_pos_h: Tensor, rel_pos_w: Tensor) -> Tensor:
    """q, k and v (B, heads, side * side, c) with relative positions (2 * side - 1, c) -> as q."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=_biases(q, rel_pos_h, rel_pos_w))


def _biases(q: Tensor, rel_pos_h: Tensor, rel_pos_w: Tensor) -> Tensor:
    """The relative position biases of the logits: (B, heads, side * side, side * side)."""
    side = (len(rel_pos_h) + 1) // 2
    cell = torch.arange(side, device=q.device)
    offset = cell[:, None] - cell[None, :] + side - 1  # (query, key)
    grid = q.unflatten(2, (side, side))
    rows = torch.einsum("bnyxc,ykc->bnyxk", grid, rel_pos_h[offset])
    columns = torch.einsum("bnyxc,xkc->bnyxk", grid, rel_pos_w[offset])
    return (rows[..., :, None] + columns[..., None, :]).flatten(4).flatten(2, 3)


class Block(nn.Module):
    """A transformer block over windows of ``window_size`` cells (0: over the whole grid of ``side`` cells)."""

    def __init__(self, dim: int, num_heads: int, window_size: int, side: int) -> None:
        super().__init__()
        self.window_size = window_size
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = RelativeAttention(dim, num_heads, window_size or side)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = TwoLayerMlp(dim, dim * 4, F.gelu)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, dim) -> the same shape."""
        attended = self.norm1(x)
        if self.window_size == 0:
            attended = self.attn(attended)
        else:
            attended = self.attn(partition_windows(attended, self.window_size))
            attended = join_windows(attended, *x.shape[1:3])
        x = x + attended
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    """Non-overlapping patches of 16 x 16 pixels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = Conv2d(3, dim, kernel_size=PATCH_SIZE, stride=PATCH_SIZE)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, S / 16, S / 16, dim)."""
        return self.proj(image).permute(0, 2, 3, 1)


class VisionTransformer(nn.Module):
    """The encoder: one feature map at stride 16."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        side = config.image_size // PATCH_SIZE
        self.patch_embed = PatchEmbed(config.embed_dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, side, side, config.embed_dim))
        self.blocks = nn.ModuleList(
            Block(
                config.embed_dim,
                config.num_heads,
                window_size=0 if index in config.global_att_blocks else config.window_size,
                side=side,
            )
            for index in range(config.depth)
        )
        self.neck = nn.Sequential(
            Conv2d(config.embed_dim, config.hidden_dim, kernel_size=1, bias=False),
            LayerNorm2d(config.hidden_dim),
            Conv2d(config.hidden_dim, config.hidden_dim, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(config.hidden_dim),
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, S, S), normalised -> (B, hidden_dim, S / 16, S / 16)."""
        x = self.patch_embed(image) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.neck(x.permute(0, 3, 1, 2))
