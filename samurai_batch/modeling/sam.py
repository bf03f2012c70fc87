"""SAM (version 1), the network for single images. Source: https://arxiv.org/abs/2304.02643.

    encode_image    image               -> features            once per image
    decode          features, prompts   -> candidate masks     once per batch of prompts

Prompt encoder and mask decoder are shared with SAM 2; only the image encoder differs.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from samurai_batch.modeling.configs import SamConfig
from samurai_batch.modeling.mask_decoder import Candidates, MaskDecoder
from samurai_batch.modeling.prompt_encoder import PADDING, PromptEncoder
from samurai_batch.modeling.vit import VisionTransformer


class SAM(nn.Module):
    """The network of a configuration; parameter names and shapes are those of the public checkpoints.

    The image size S is fixed by the configuration, because the position embeddings have its size.
    """

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.config = config
        self.image_size = config.image_size
        dim = config.hidden_dim
        self.image_encoder = VisionTransformer(config)
        self.prompt_encoder = PromptEncoder(dim, config.image_size, mask_in_chans=config.mask_in_chans)
        self.mask_decoder = MaskDecoder(
            dim,
            config.decoder_heads,
            config.decoder_mlp_dim,
            config.iou_head_dim,
            is_sam2=False,
            has_high_res=False,
        )

    def encode_image(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, S, S), normalised by ImageNet mean and deviation -> features (B, C, S / 16, S / 16)."""
        return self.image_encoder(pixels)

    def decode(
        self, image: Tensor, points: Tensor, labels: Tensor, mask_logits: Tensor | None = None, *, has_box: bool
    ) -> Candidates:
        """Four masks for each of N prompts (see :class:`MaskDecoder`), logits at S / 4.

        image (N, C, h, w); points (N, P, 2) in pixels of the S x S image, labels (N, P); has_box: whether two of
        the points are a box's corners; mask_logits (N, 1, S / 4, S / 4). P may be 0.
        """
        if points.shape[1] > 0 and not has_box:  # as SAM does: a padding point after points without a box
            points, labels = F.pad(points, (0, 0, 0, 1)), F.pad(labels, (0, 1), value=PADDING)
        sparse, dense = self.prompt_encoder(points, labels, mask_logits)
        return self.mask_decoder(image, self.prompt_encoder.image_positions(), sparse, dense)
