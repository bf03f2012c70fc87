"""The mask decoder of SAM and SAM 2; only SAM 2's has an object score, and may have high-resolution features."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samurai_batch.modeling.constants import Constants
from samurai_batch.modeling.layers import ConvTranspose2d, LayerNorm2d, Mlp, PointwiseConv2d
from samurai_batch.modeling.products import multiplied
from samurai_batch.modeling.two_way_transformer import TwoWayTransformer

STABILITY_DELTA, STABILITY_THRESHOLD = 0.05, 0.98


@dataclass(frozen=True)
class Candidates:
    """The M candidate masks of each of B prompts.

    ``logits`` (B, M, 4h, 4w); ``ious`` (B, M) predicted IoUs, in [0, 1] for SAM 2; ``tokens`` (B, M, dim), the masks'
    output tokens; ``object_score`` (B, 1), the logit of "the object is visible", +inf for SAM, which has no such score.
    """

    logits: Tensor
    ious: Tensor
    tokens: Tensor
    object_score: Tensor


class MaskDecoder(nn.Module):
    """Decodes image and prompt embeddings into one single-mask output and three multimask outputs.

    SAM's has neither object score nor high-resolution features, and no sigmoid on its predicted IoUs. ``has_high_res``:
    the upscaling adds features of strides 4 and 8.
    """

    num_multimask_outputs = 3

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_dim: int,
        iou_head_dim: int,
        *,
        is_sam2: bool = True,
        has_high_res: bool = True,
    ) -> None:
        super().__init__()
        assert is_sam2 or not has_high_res
        num_masks = self.num_multimask_outputs + 1
        self.is_sam2, self.has_high_res = is_sam2, has_high_res
        self.constants = Constants()
        self.transformer = TwoWayTransformer(dim, num_heads, mlp_dim, is_sam2)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(num_masks, dim)
        if is_sam2:
            self.obj_score_token = nn.Embedding(1, dim)
        self.output_upscaling = nn.Sequential(
            ConvTranspose2d(dim, dim // 4, kernel_size=2, stride=2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            ConvTranspose2d(dim // 4, dim // 8, kernel_size=2, stride=2),
            nn.GELU(),
        )
        if has_high_res:
            self.conv_s0 = PointwiseConv2d(dim, dim // 8)
            self.conv_s1 = PointwiseConv2d(dim, dim // 4)
        self.output_hypernetworks_mlps = nn.ModuleList(Mlp(dim, dim, dim // 8, 3) for _ in range(num_masks))
        self.iou_prediction_head = Mlp(dim, iou_head_dim, num_masks, 3)
        if is_sam2:
            self.pred_obj_score_head = Mlp(dim, dim, 1, 3)

    def forward(
        self,
        image: Tensor,
        image_pe: Tensor,
        sparse: Tensor,
        dense: Tensor,
        high_res: tuple[Tensor, ...] = (),
    ) -> Candidates:
        """All four masks of every prompt, the single-mask output first.

        image (B, dim, h, w); image_pe (1, dim, h, w); sparse (B, P, dim); dense broadcastable to image;
        high_res, empty unless the decoder has them: `project_high_res`.
        """
        batch, _, height, width = image.shape
        first = self._output_tokens()
        tokens = torch.cat((first.expand(batch, -1, -1), sparse), dim=1)
        tokens, image = self.transformer(image + dense, image_pe.expand(batch, -1, -1, -1), tokens)
        iou_token = len(first) - len(self.output_hypernetworks_mlps) - 1
        mask_tokens = tokens[:, iou_token + 1 : len(first)]
        weights = torch.stack(
            [mlp(mask_tokens[:, index]) for index, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1
        )
        upscaled = self._upscale(image.transpose(1, 2).unflatten(2, (height, width)), high_res)
        ious = self.iou_prediction_head(tokens[:, iou_token])
        return Candidates(
            logits=multiplied(torch.matmul, weights, upscaled.flatten(2)).unflatten(2, upscaled.shape[2:]),
            ious=ious.sigmoid() if self.is_sam2 else ious,
            tokens=mask_tokens,
            object_score=self._object_score(tokens),
        )

    def project_high_res(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps (B, dim, …) of strides 4 and 8, or none -> (B, dim / 8, 4h, 4w) and (B, dim / 4, 2h, 2w), or none."""
        if not maps:
            return ()
        stride4, stride8 = maps
        return self.conv_s0(stride4), self.conv_s1(stride8)

    def _output_tokens(self) -> Tensor:
        """The tokens before the prompt's: object score (SAM 2), predicted IoU, four masks; (5 or 6, dim)."""
        tokens: tuple[Tensor, ...] = (self.iou_token.weight, self.mask_tokens.weight)
        if self.is_sam2:
            tokens = (self.obj_score_token.weight, *tokens)
        return self.constants.get("output_tokens", lambda: torch.cat(tokens), *tokens)

    def _object_score(self, tokens: Tensor) -> Tensor:
        if not self.is_sam2:
            return tokens.new_full((len(tokens), 1), math.inf)
        return self.pred_obj_score_head(tokens[:, 0])

    def _upscale(self, image: Tensor, high_res: tuple[Tensor, ...]) -> Tensor:
        assert len(high_res) == (2 if self.has_high_res else 0)
        if not high_res:
            return self.output_upscaling(image)
        up1, norm, act1, up2, act2 = self.output_upscaling
        x = act1(norm(up1(image) + high_res[1]))
        return act2(up2(x) + high_res[0])


def take_multimask(all_masks: Candidates) -> Candidates:
    """The three multimask outputs, for an ambiguous prompt and for frames without a prompt."""
    return Candidates(all_masks.logits[:, 1:], all_masks.ious[:, 1:], all_masks.tokens[:, 1:], all_masks.object_score)


def take_single(all_masks: Candidates, fall_back_if_unstable: bool) -> Candidates:
    """The single-mask output; with ``fall_back_if_unstable`` the best multimask output where it is unstable.

    The stability score is the IoU of the masks at thresholds +0.05 and −0.05. As in the release, the token is that of
    the single-mask output in either case.
    """
    logits, ious = all_masks.logits[:, :1], all_masks.ious[:, :1]
    if fall_back_if_unstable:
        inner = (logits > STABILITY_DELTA).sum((-1, -2))
        outer = (logits > -STABILITY_DELTA).sum((-1, -2))
        stable = (inner >= STABILITY_THRESHOLD * outer) | (outer == 0)
        best = all_masks.ious[:, 1:].argmax(dim=1, keepdim=True) + 1
        best_logits = all_masks.logits.gather(1, best[..., None, None].expand_as(logits))
        logits = torch.where(stable[..., None, None], logits, best_logits)
        ious = torch.where(stable, ious, all_masks.ious.gather(1, best))
    return Candidates(logits, ious, all_masks.tokens[:, :1], all_masks.object_score)


def resize_logits(logits: Tensor, height: int, width: int) -> Tensor:
    """Logits (B, M, h, w), resized bilinearly without aligned corners -> (B, M, height, width)."""
    return F.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)
