"""EfficientTAM's image encoder: a plain vision transformer with some windowed attention, and one feature map.

Source: https://arxiv.org/abs/2411.18933; the backbone, https://arxiv.org/abs/2203.16527. Blocks are those of Hiera
within one stage: the same parameters, and padding cells that equal the bias of queries, keys and values.
"""

import torch
from torch import Tensor, nn

from samurai_batch.modeling.configs import EfficientTamConfig
from samurai_batch.modeling.constants import Constants
from samurai_batch.modeling.hiera import MultiScaleBlock, resized_grid
from samurai_batch.modeling.layers import Conv2d, LayerNorm2d, PointwiseConv2d
from samurai_batch.modeling.vit import PatchEmbed


class PlainVit(nn.Module):
    """The trunk: one map at stride 16, without a norm at its end."""

    def __init__(self, config: EfficientTamConfig) -> None:
        super().__init__()
        dim = config.trunk_dim
        self.position_grid = config.position_grid
        self.patch_embed = PatchEmbed(dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + config.position_grid**2, dim))  # first, a class token's
        self.constants = Constants()
        self.blocks = nn.ModuleList(
            MultiScaleBlock(
                dim, dim, config.trunk_heads, window_size=0 if index in config.global_att_blocks else config.window_size
            )
            for index in range(config.depth)
        )

    def _positions(self, height: int, width: int) -> Tensor:
        """Position embedding (height, width, C), resized without that of the class token."""
        side = self.position_grid
        return resized_grid(self.pos_embed[0, 1:].unflatten(0, (side, side)), height, width)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, S, S) -> one map (B, C, S / 16, S / 16)."""
        x = self.patch_embed(image)
        height, width = x.shape[1:3]
        x = x + self.constants.get(
            "positions", lambda: self._positions(height, width), self.pos_embed, variant=(height, width)
        )
        for block in self.blocks:
            x = block(x)
        return [x.permute(0, 3, 1, 2)]


class ConvNeck(nn.Module):
    """Projects the map to ``hidden_dim`` channels by two convolutions with norms."""

    def __init__(self, trunk_dim: int, hidden_dim: int) -> None:
        super().__init__()
        layers = nn.Sequential()
        layers.add_module("conv_1x1", PointwiseConv2d(trunk_dim, hidden_dim, bias=False))
        layers.add_module("norm_0", LayerNorm2d(hidden_dim))
        layers.add_module("conv_3x3", Conv2d(hidden_dim, hidden_dim, kernel_size=3, padding=1, bias=False))
        layers.add_module("norm_1", LayerNorm2d(hidden_dim))
        self.convs = nn.ModuleList([layers])

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, ...]:
        """One map (B, trunk_dim, h, w) -> (B, hidden_dim, h, w)."""
        (stride16,) = maps
        return (self.convs[0](stride16),)
