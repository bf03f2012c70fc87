"""SAM's prompt encoder: embeddings of points, box corners and low-resolution masks."""

import torch
from torch import Tensor, nn

from samurai_batch.modeling.constants import Constants
from samurai_batch.modeling.layers import Conv2d, LayerNorm2d, PointwiseConv2d
from samurai_batch.modeling.positions import RandomFourierPositions

PADDING, NEGATIVE, POSITIVE, BOX_TOP_LEFT, BOX_BOTTOM_RIGHT = -1, 0, 1, 2, 3


class PromptEncoder(nn.Module):
    """Embeds prompts for the mask decoder; point coordinates are pixels of the model's S x S image."""

    def __init__(self, dim: int, image_size: int, stride: int = 16, mask_in_chans: int = 16) -> None:
        super().__init__()
        self.image_size = image_size
        self.grid_size = image_size // stride
        self.constants = Constants()
        self.pe_layer = RandomFourierPositions(dim)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, dim)
        self.mask_downscaling = nn.Sequential(
            Conv2d(1, mask_in_chans // 4, kernel_size=2, stride=2),
            LayerNorm2d(mask_in_chans // 4),
            nn.GELU(),
            Conv2d(mask_in_chans // 4, mask_in_chans, kernel_size=2, stride=2),
            LayerNorm2d(mask_in_chans),
            nn.GELU(),
            PointwiseConv2d(mask_in_chans, dim),
        )
        self.no_mask_embed = nn.Embedding(1, dim)

    def image_positions(self) -> Tensor:
        """Encoding of the image grid: (1, dim, S / 16, S / 16)."""
        side, matrix = self.grid_size, self.pe_layer.positional_encoding_gaussian_matrix
        return self.constants.get("image_positions", lambda: self.pe_layer.grid(side, side), matrix)

    def no_points(self) -> Tensor:
        """What SAM 2 embeds on a frame without a prompt, two padding points: (1, 2, dim)."""
        return self.constants.get("no_points", lambda: self._embedded_padding(2), *self._point_sources())

    def _embedded_padding(self, count: int) -> Tensor:
        device = self.not_a_point_embed.weight.device
        points = torch.zeros(1, count, 2, device=device)
        return self.embed_points(points, torch.full((1, count), PADDING, device=device))

    def _point_sources(self) -> tuple[Tensor, ...]:
        """Everything that embeddings of points are made of."""
        weights = (embedding.weight for embedding in (self.not_a_point_embed, *self.point_embeddings))
        return (self.pe_layer.positional_encoding_gaussian_matrix, *weights)

    def embed_points(self, points: Tensor, labels: Tensor) -> Tensor:
        """Points (B, P, 2) in pixels of the S x S image, labels (B, P) in −1 … 3 -> (B, P, dim)."""
        encoded = self.pe_layer((points + 0.5) / self.image_size)
        _, *weights = self._point_sources()
        table = self.constants.get("table", lambda: torch.cat(weights), *weights)
        is_point = (labels != PADDING)[..., None].to(encoded.dtype)
        return encoded * is_point + table[labels.long() + 1]

    def embed_mask(self, mask_logits: Tensor | None) -> Tensor:
        """Low-resolution logits (B, 1, S / 4, S / 4) -> (B, dim, S / 16, S / 16); None -> (1, dim, 1, 1)."""
        if mask_logits is None:
            return self.no_mask_embed.weight[:, :, None, None]
        return self.mask_downscaling(mask_logits)

    def forward(self, points: Tensor, labels: Tensor, mask_logits: Tensor | None) -> tuple[Tensor, Tensor]:
        """Sparse embeddings (B, P, dim) and dense embeddings (`embed_mask`); a box is two points labelled 2 and 3.

        The caller appends the padding point that SAM requires after points without a box.
        """
        return self.embed_points(points, labels), self.embed_mask(mask_logits)
