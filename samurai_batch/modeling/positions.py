"""Position encodings. Constant tables are computed in float64 and rounded once, to the model's dtype.

They are computed on the CPU even while a network is constructed on the device "meta": there, PyTorch would load its
compiler for them, which takes longer than everything else.
"""

import math

import torch
from torch import Tensor, nn

TEMPERATURE = 10000.0


def sine_frequencies(count: int, device: torch.device | str = "cpu") -> Tensor:
    """The periods of "Attention is all you need", each twice, for sine and cosine: (count,) float64."""
    index = torch.arange(count, dtype=torch.float64, device=device)
    exponent = 2 * torch.div(index, 2, rounding_mode="floor") / count
    return TEMPERATURE**exponent


def sine_grid(channels: int, height: int, width: int) -> Tensor:
    """Sine encoding of an image grid: (channels, height, width) float64; rows first, then columns."""

    def along(length: int) -> Tensor:  # (length, channels / 2)
        position = torch.arange(1, length + 1, dtype=torch.float64, device="cpu")
        position = position / (length + 1e-6) * 2 * math.pi
        angle = position[:, None] / sine_frequencies(channels // 2)
        return torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), dim=2).flatten(1)

    rows = along(height)[:, None, :].expand(height, width, -1)
    columns = along(width)[None, :, :].expand(height, width, -1)
    return torch.cat((rows, columns), dim=2).permute(2, 0, 1).contiguous()


def sine_line(position: Tensor, frequencies: Tensor) -> Tensor:
    """Sine encoding of scalars: (...,) and `sine_frequencies` (n,) -> (..., 2 n), sines before cosines."""
    angle = position[..., None] / frequencies
    return torch.cat((angle.sin(), angle.cos()), dim=-1)


def rotary_tables(channels: int, height: int, width: int, stride: int = 1) -> tuple[Tensor, Tensor]:
    """Cosines and sines of axial rotary embedding (RoPE): two (height * width, channels / 2) in float64.

    The first half of the channel pairs is rotated by the column, the second by the row. With a stride, each cell covers
    stride x stride cells of a finer grid, and its position is their centre in units of that grid.
    """
    frequency = TEMPERATURE ** -(torch.arange(0, channels, 4, dtype=torch.float64, device="cpu") / channels)
    cell = torch.arange(height * width, dtype=torch.float64, device="cpu")
    column, row = cell % width, torch.div(cell, width, rounding_mode="floor")
    column, row = (index * stride + (stride - 1) / 2 for index in (column, row))
    angle = torch.cat((torch.outer(column, frequency), torch.outer(row, frequency)), dim=1)
    return angle.cos(), angle.sin()


class RandomFourierPositions(nn.Module):
    """Random Fourier features, by which SAM encodes points and the image grid."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, channels // 2))

    def forward(self, xy: Tensor) -> Tensor:
        """Encode points (..., 2) in [0, 1] as (..., channels)."""
        matrix = self.positional_encoding_gaussian_matrix
        # Half precision has too few bits for a coordinate: compute angles in float32 at least.
        exact = torch.promote_types(matrix.dtype, torch.float32)
        angle = 2 * math.pi * ((2 * xy.to(exact) - 1) @ matrix.to(exact))
        return torch.cat((angle.sin(), angle.cos()), dim=-1).to(matrix.dtype)

    def grid(self, height: int, width: int) -> Tensor:
        """Encode the cell centres of a grid: (1, channels, height, width)."""
        device = self.positional_encoding_gaussian_matrix.device
        y = (torch.arange(height, dtype=torch.float64, device=device) + 0.5) / height
        x = (torch.arange(width, dtype=torch.float64, device=device) + 0.5) / width
        xy = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
        return (self(xy)).permute(2, 0, 1)[None]
