"""The image encoder: a trunk and a neck, by the kind of network."""

import torch.nn.functional as F
from torch import Tensor, nn

from samurai_batch.modeling.configs import EdgeTamConfig, EfficientTamConfig, Sam2Config, VideoModelConfig
from samurai_batch.modeling.hiera import Hiera
from samurai_batch.modeling.layers import PointwiseConv2d
from samurai_batch.modeling.plain_vit import ConvNeck, PlainVit
from samurai_batch.modeling.repvit import RepVit


class FpnNeck(nn.Module):
    """Projects the trunk's maps to ``hidden_dim`` channels; only stride 16 adds the coarser map, upsampled."""

    def __init__(self, trunk_dims: tuple[int, ...], hidden_dim: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList()  # coarsest first, as in the checkpoints
        for dim in reversed(trunk_dims):
            lateral = nn.Sequential()
            lateral.add_module("conv", PointwiseConv2d(dim, hidden_dim))
            self.convs.append(lateral)

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, ...]:
        """Four maps, finest first -> (B, hidden_dim, …) at strides 4, 8 and 16."""
        stride4, stride8, stride16, stride32 = (conv(x) for conv, x in zip(reversed(self.convs), maps, strict=True))
        return stride4, stride8, stride16 + F.interpolate(stride32, scale_factor=2.0, mode="nearest")


class ImageEncoder(nn.Module):
    """Trunk and neck."""

    def __init__(self, config: VideoModelConfig) -> None:
        super().__init__()
        self.trunk, self.neck = _parts(config)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, S, S), normalised -> (B, hidden_dim, …) at strides 4, 8 and 16, or at stride 16 alone."""
        maps: tuple[Tensor, ...] = self.neck(self.trunk(image))
        return maps


def _parts(config: VideoModelConfig) -> tuple[nn.Module, nn.Module]:
    match config:
        case EfficientTamConfig():
            return PlainVit(config), ConvNeck(config.trunk_dim, config.hidden_dim)
        case EdgeTamConfig():
            return RepVit(config), FpnNeck(config.trunk_dims, config.hidden_dim)
        case Sam2Config():
            return Hiera(config), FpnNeck(config.trunk_dims, config.hidden_dim)
    raise TypeError(f"{type(config).__name__} has no image encoder")
