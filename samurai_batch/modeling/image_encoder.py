"""The image encoder: trunk and feature pyramid neck."""

import torch.nn.functional as F
from torch import Tensor, nn

from samurai_batch.modeling.configs import Sam2Config
from samurai_batch.modeling.hiera import Hiera
from samurai_batch.modeling.layers import PointwiseConv2d


class FpnNeck(nn.Module):
    """Projects the trunk's maps to ``hidden_dim`` channels; only stride 16 adds the coarser map, upsampled."""

    def __init__(self, trunk_dims: tuple[int, ...], hidden_dim: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList()  # coarsest first, as in the checkpoints
        for dim in reversed(trunk_dims):
            lateral = nn.Sequential()
            lateral.add_module("conv", PointwiseConv2d(dim, hidden_dim))
            self.convs.append(lateral)

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Four maps, finest first -> (B, hidden_dim, …) at strides 4, 8 and 16."""
        stride4, stride8, stride16, stride32 = (conv(x) for conv, x in zip(reversed(self.convs), maps, strict=True))
        return stride4, stride8, stride16 + F.interpolate(stride32, scale_factor=2.0, mode="nearest")


class ImageEncoder(nn.Module):
    """Trunk and neck."""

    def __init__(self, config: Sam2Config) -> None:
        super().__init__()
        self.trunk = Hiera(config)
        self.neck = FpnNeck(config.trunk_dims, config.hidden_dim)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, S, S), normalised -> (B, hidden_dim, …) at strides 4, 8 and 16."""
        return self.neck(self.trunk(image))
