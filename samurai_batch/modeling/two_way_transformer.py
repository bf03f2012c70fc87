"""The mask decoder's transformer: prompt tokens and image cells attend to each other both ways."""

import torch.nn.functional as F
from torch import Tensor, nn

from samurai_batch.modeling.attention import Attention
from samurai_batch.modeling.layers import Mlp, TwoLayerMlp


class TwoWayAttentionBlock(nn.Module):
    """Tokens attend to themselves and to the image, and pass an MLP; then the image attends to the tokens."""

    def __init__(self, dim: int, num_heads: int, mlp_dim: int, is_first: bool, is_sam2: bool) -> None:
        super().__init__()
        self.is_first = is_first
        self.self_attn = Attention(dim, num_heads)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn_token_to_image = Attention(dim, num_heads, inner_dim=dim // 2)
        self.norm2 = nn.LayerNorm(dim)
        # The same two layers under other names in the checkpoints of SAM and SAM 2.
        self.mlp = Mlp(dim, mlp_dim, dim, num_layers=2) if is_sam2 else TwoLayerMlp(dim, mlp_dim, F.relu)
        self.norm3 = nn.LayerNorm(dim)
        self.norm4 = nn.LayerNorm(dim)
        self.cross_attn_image_to_token = Attention(dim, num_heads, inner_dim=dim // 2)

    def forward(self, tokens: Tensor, image: Tensor, token_pe: Tensor, image_pe: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (B, P, dim) and image (B, L, dim), each with its positions -> both, updated."""
        if self.is_first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            q = tokens + token_pe
            tokens = tokens + self.self_attn(q, q, tokens)
        tokens = self.norm1(tokens)
        k = image + image_pe
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_pe, k, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(k, tokens + token_pe, tokens))
        return tokens, image


class TwoWayTransformer(nn.Module):
    """Two blocks and a final attention of the tokens to the image."""

    def __init__(self, dim: int, num_heads: int, mlp_dim: int, is_sam2: bool = True, depth: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayAttentionBlock(dim, num_heads, mlp_dim, is_first=index == 0, is_sam2=is_sam2)
            for index in range(depth)
        )
        self.final_attn_token_to_image = Attention(dim, num_heads, inner_dim=dim // 2)
        self.norm_final_attn = nn.LayerNorm(dim)

    def forward(self, image: Tensor, image_pe: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Image and image_pe (B, dim, h, w), tokens (B, P, dim) -> (B, P, dim), (B, h·w, dim)."""
        image, image_pe = image.flatten(2).transpose(1, 2), image_pe.flatten(2).transpose(1, 2)
        token_pe = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_pe, image_pe)
        attended = self.final_attn_token_to_image(tokens + token_pe, image + image_pe, image)
        return self.norm_final_attn(tokens + attended), image
