"""The memory encoder: a spatial memory from a frame's features and the mask predicted on it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samurai_batch.modeling.configs import VideoModelConfig
from samurai_batch.modeling.layers import Conv2d, LayerNorm2d, Linear, PointwiseConv2d


class MaskDownSampler(nn.Module):
    """Downsamples a mask from S x S to stride 16 by four strided convolutions."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential()
        channels = 1
        for _ in range(4):
            self.encoder.append(Conv2d(channels, channels * 4, kernel_size=3, stride=2, padding=1))
            channels *= 4
            self.encoder.append(LayerNorm2d(channels))
            self.encoder.append(nn.GELU())
        self.encoder.append(PointwiseConv2d(channels, dim))

    def forward(self, mask: Tensor) -> Tensor:
        """(N, 1, S, S) -> (N, dim, S / 16, S / 16)."""
        return self.encoder(mask)


class CXBlock(nn.Module):
    """A ConvNeXt block (https://arxiv.org/abs/2201.03545)."""

    def __init__(self, dim: int, layer_scale: float) -> None:
        super().__init__()
        self.dwconv = Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = LayerNorm2d(dim)
        self.pwconv1 = Linear(dim, 4 * dim)
        self.pwconv2 = Linear(4 * dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), layer_scale))

    def forward(self, x: Tensor) -> Tensor:
        """(N, dim, h, w) -> the same shape."""
        y = self.norm(self.dwconv(x)).permute(0, 2, 3, 1)
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        return x + y.permute(0, 3, 1, 2)


class Fuser(nn.Module):
    """Two ConvNeXt blocks."""

    def __init__(self, dim: int, layer_scale: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CXBlock(dim, layer_scale) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """(N, dim, h, w) -> the same shape."""
        for layer in self.layers:
            x = layer(x)
        return x


class MemoryEncoder(nn.Module):
    """Adds the downsampled mask to the features, fuses them, and projects to ``mem_dim`` channels."""

    def __init__(self, config: VideoModelConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.mask_downsampler = MaskDownSampler(dim)
        self.pix_feat_proj = PointwiseConv2d(dim, dim)
        self.fuser = Fuser(dim, config.fuser_layer_scale)
        self.out_proj = PointwiseConv2d(dim, config.mem_dim)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """features (1 or N, dim, h, w), mask (N, 1, S, S) scaled to −10 … 10 -> (N, mem_dim, h, w)."""
        x = self.pix_feat_proj(features) + self.mask_downsampler(mask)
        return self.out_proj(self.fuser(x))
