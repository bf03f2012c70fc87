"""RepViT, the convolutional trunk of EdgeTAM. Source: https://arxiv.org/abs/2307.09283.

The checkpoints hold each convolution without bias (``c``) and the batch norm after it (``bn``). With the norms' running
statistics both are one convolution, and so are the three branches of a token mixer:

    norm(c * x) = (scale c) * x + shift             scale = γ / √(var + ε),  shift = β − scale mean
    norm(c₃ * x) + norm(c₁ * x) + x = c' * x + b'   c₁ and the identity are kernels of 3 x 3 that have only a centre

These kernels are computed once per network (`constants`), in float64. Convolutions and norms keep their parameters in
float32 at least (`precise_modules`): a variance may have no value in float16. With plain kernels
(`kernels.plain_kernels`), everything is computed as the checkpoints define it.
"""

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samurai_batch.modeling.configs import EdgeTamConfig
from samurai_batch.modeling.constants import Constants
from samurai_batch.modeling.layers import PointwiseConv2d
from samurai_batch.modeling.products import is_computed_plainly, linear, multiplied

Kernel = tuple[Tensor, Tensor]
"""Weight (out, in / groups, k, k) and bias (out,) of a convolution."""


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` by its running statistics, in training as well."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class ConvNorm(nn.Module):
    """A convolution without bias and a batch norm, computed as one convolution."""

    def __init__(self, dim: int, dim_out: int, size: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.c = nn.Conv2d(dim, dim_out, size, stride, padding=size // 2, groups=groups, bias=False)
        self.bn = FrozenBatchNorm2d(dim_out)
        self.constants = Constants()
        self.is_pointwise = size == stride == groups == 1

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, H, W) -> (B, dim_out, H / stride, W / stride)."""
        if is_computed_plainly(x):
            return self.defined(x)
        weight, bias = self.constants.get("kernel", lambda: _in(x.dtype, self.kernel()), *self.sources, variant=x.dtype)
        if self.is_pointwise:
            return linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)
        return convolved(self.c, x, weight, bias)

    def defined(self, x: Tensor) -> Tensor:
        """As `forward`, as the checkpoints define it."""
        y: Tensor = self.bn(self.c(x.to(self.c.weight.dtype)))
        return y.to(x.dtype)

    def kernel(self) -> Kernel:
        """The convolution and the norm as one convolution, in float64."""
        norm = self.bn
        weight, scale, shift, mean, variance = (source.double() for source in self.sources)
        scale = scale / (variance + norm.eps).sqrt()
        return weight * scale[:, None, None, None], shift - mean * scale

    @property
    def sources(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What the kernel is made of: the convolution's weight; the norm's weight, bias, mean and variance."""
        norm = self.bn
        assert norm.running_mean is not None
        assert norm.running_var is not None
        return self.c.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var


def convolved(layer: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The layer's convolution of x with another weight and bias."""
    convolution = partial(F.conv2d, stride=layer.stride, padding=layer.padding, groups=layer.groups)
    return multiplied(convolution, x, weight, bias)


def _in(dtype: torch.dtype, kernel: Kernel) -> Kernel:
    weight, bias = kernel
    return weight.to(dtype), bias.to(dtype)


class TokenMixer(nn.Module):
    """Mixes neighbouring cells of each channel: 3 x 3, 1 x 1 and identity in parallel, computed as one 3 x 3."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = ConvNorm(dim, dim, 3, groups=dim)
        self.conv1 = ConvNorm(dim, dim, 1, groups=dim)
        self.constants = Constants()

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, H, W) -> the same shape."""
        if is_computed_plainly(x):
            return self.conv.defined(x) + self.conv1.defined(x) + x
        sources = (*self.conv.sources, *self.conv1.sources)
        kernel = self.constants.get("kernel", lambda: _in(x.dtype, self._kernel()), *sources, variant=x.dtype)
        return convolved(self.conv.c, x, *kernel)

    def _kernel(self) -> Kernel:
        (weight, bias), (centre, centre_bias) = self.conv.kernel(), self.conv1.kernel()
        return weight + F.pad(centre + 1, (1, 1, 1, 1)), bias + centre_bias


class SqueezeExcite(nn.Module):
    """Scales each channel by a weight between 0 and 1, computed from the mean of all channels."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = PointwiseConv2d(dim, hidden_dim)
        self.fc2 = PointwiseConv2d(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, H, W) -> the same shape."""
        weights: Tensor = self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))).sigmoid()
        return x * weights


class ChannelMixer(nn.Module):
    """Two 1 x 1 convolutions with twice the channels between them."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(dim, 2 * dim)
        self.conv2 = ConvNorm(2 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, H, W) -> the same shape."""
        y: Tensor = self.conv2(F.gelu(self.conv1(x)))
        return y


class RepVitBlock(nn.Module):
    """Token mixer, squeeze-and-excitation if ``squeeze_dim`` > 0, and channel mixer."""

    def __init__(self, dim: int, squeeze_dim: int = 0) -> None:
        super().__init__()
        self.token_mixer = TokenMixer(dim)
        self.se = SqueezeExcite(dim, squeeze_dim) if squeeze_dim else nn.Identity()
        self.channel_mixer = ChannelMixer(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, H, W) -> the same shape."""
        x = self.se(self.token_mixer(x))
        y: Tensor = x + self.channel_mixer(x)
        return y


class Downsample(nn.Module):
    """Halves the size of a map and changes its channels."""

    def __init__(self, dim: int, dim_out: int) -> None:
        super().__init__()
        self.pre_block = RepVitBlock(dim)
        self.spatial_downsample = ConvNorm(dim, dim, 3, stride=2, groups=dim)
        self.channel_downsample = ConvNorm(dim, dim_out)
        self.ffn = ChannelMixer(dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, H, W) -> (B, dim_out, H / 2, W / 2)."""
        x = self.channel_downsample(self.spatial_downsample(self.pre_block(x)))
        y: Tensor = x + self.ffn(x)
        return y


class Stage(nn.Module):
    """A downsampling, in all stages but the first, and blocks, of which every other one has squeeze-and-excitation."""

    def __init__(self, dim: int, dim_out: int, squeeze_dim: int, depth: int) -> None:
        super().__init__()
        self.downsample = nn.Identity() if dim == dim_out else Downsample(dim, dim_out)
        self.blocks = nn.Sequential(
            *(RepVitBlock(dim_out, squeeze_dim if index % 2 == 0 else 0) for index in range(depth))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, H, W) -> (B, dim_out, H', W')."""
        y: Tensor = self.blocks(self.downsample(x))
        return y


class Stem(nn.Module):
    """Two 3 x 3 convolutions of stride 2."""

    def __init__(self, dim: int, dim_out: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, dim, 3, stride=2)
        self.conv2 = ConvNorm(dim, dim_out, 3, stride=2)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, dim_out, S / 4, S / 4)."""
        y: Tensor = self.conv2(F.gelu(self.conv1(image)))
        return y


class RepVitBody(nn.Module):
    """Stem and four stages."""

    def __init__(self, config: EdgeTamConfig) -> None:
        super().__init__()
        dims = config.trunk_dims
        self.stem = Stem(config.stem_dim, dims[0])
        inputs = (dims[0], *dims[:-1])
        for index, parts in enumerate(zip(inputs, dims, config.squeeze_dims, config.stages, strict=True)):
            self.add_module(f"stages_{index}", Stage(*parts))

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, S, S) -> four maps (B, C, S / stride, S / stride), finest first."""
        x = self.stem(image.contiguous(memory_format=torch.channels_last))
        maps = []
        for name, stage in self.named_children():
            if name != "stem":
                x = stage(x)
                maps.append(x)
        return maps


class RepVit(nn.Module):
    """The trunk: feature maps at strides 4, 8, 16 and 32."""

    def __init__(self, config: EdgeTamConfig) -> None:
        super().__init__()
        self.body = RepVitBody(config)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, S, S) -> four maps (B, C, S / stride, S / stride), finest first."""
        maps: list[Tensor] = self.body(image)
        return maps


def precise_modules(network: nn.Module) -> Iterator[nn.Module]:
    """The convolutions and norms whose parameters are combined before they are used."""
    for module in network.modules():
        if isinstance(module, ConvNorm):
            yield from (module.c, module.bn)
