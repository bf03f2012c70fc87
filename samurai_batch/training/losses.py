"""The losses of SAM 2 (https://arxiv.org/abs/2408.00714, appendix D), extended for a small budget of steps.

Mask loss: focal, dice and a class-balanced cross-entropy; without the last, all pixels stay background for hundreds of
steps. The single-mask output is always trained; of the three multimask outputs the best one fully and the others with
a small weight, so that none of them stops learning.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from samurai_batch.modeling.mask_decoder import Candidates
from samurai_batch.modeling.sam2 import FrameFeatures


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """The weight of each loss.

    ``absent`` weighs invisible objects, which are few, in the object score's loss; ``runner_up`` weighs the multimask
    outputs other than the best; ``multimask`` weighs the multimask outputs on frames without a prompt, where a tracker
    chooses among them alone; ``features`` weighs `feature_penalty`; ``distractors`` weighs false positives on
    distractors, things that the object could be mistaken for.
    """

    focal: float = 10.0
    dice: float = 2.0
    balanced: float = 1.0
    iou: float = 1.0
    object_score: float = 1.0
    absent: float = 3.0
    runner_up: float = 0.5
    multimask: float = 1.0
    features: float = 0.1
    distractors: float = 0.0


@dataclass(frozen=True)
class FrameLoss:
    """Scalars, means over the objects of one frame; only ``total`` has a gradient.

    ``iou`` is that of the mask which a tracker would choose, over visible objects.
    """

    total: Tensor
    mask: Tensor
    iou: Tensor
    object_score: Tensor


def mask_loss(logits: Tensor, target: Tensor, weights: LossWeights, distractors: Tensor | None = None) -> Tensor:
    """Loss of every candidate mask, (N, M).

    logits (N, M, h, w); target and distractors (N, h, w) are the covered share of each cell, in [0, 1].
    """
    target = target[:, None].expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    share = logits.sigmoid()
    focal = 0.5 * (entropy * (share - target).abs().square()).mean((2, 3))
    overlap, size = (share * target).sum((2, 3)), target.sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (share.sum((2, 3)) + size + 1)
    inside = (entropy * target).sum((2, 3)) / (size + 1)
    outside = (entropy * (1 - target)).sum((2, 3)) / ((1 - target).sum((2, 3)) + 1)
    loss = weights.focal * focal + weights.dice * dice + weights.balanced * (inside + outside) / 2
    if distractors is None:
        return loss
    # A cell that the object covers in part is a distractor's only in the rest.
    other = distractors[:, None] * (1 - target)
    return loss + weights.distractors * (entropy * other).sum((2, 3)) / (other.sum((2, 3)) + 1)


def feature_penalty(features: FrameFeatures) -> Tensor:
    """By how much the mean squares of the features exceed 1, summed over the three feature maps; a scalar.

    Nothing else bounds the features: without it a few channels grow, as a constant offset, to a hundred times the size
    of positional and prompt embeddings, which then have no effect.
    """
    maps = (features.image, *features.high_res)
    return torch.stack([(values.square().mean() - 1.0).clamp(min=0.0) for values in maps]).sum()


def mask_iou(logits: Tensor, target: Tensor) -> Tensor:
    """IoU of logits > 0 (N, M, h, w) with target > 0.5 (N, h, w) -> (N, M), 1 where both are empty."""
    found, truth = logits > 0, (target > 0.5)[:, None]
    union = (found | truth).sum((2, 3))
    return torch.where(union > 0, (found & truth).sum((2, 3)) / union.clamp(min=1), 1.0)


def frame_loss(
    candidates: Candidates,
    target: Tensor,
    present: Tensor,
    prompted: bool,
    weights: LossWeights,
    distractors: Tensor | None = None,
) -> FrameLoss:
    """The loss of one frame of N objects.

    target and distractors (N, h, w) are covered shares in [0, 1], at the logits' size; present (N,) bool
    says whether the object is visible: if not, only the object score is trained. ``prompted`` decides which mask is
    chosen: the single-mask output on a prompted frame, the multimask output of the highest predicted IoU on others.
    """
    count = present.sum().clamp(min=1)
    losses = mask_loss(candidates.logits, target, weights, distractors)
    best = losses[:, 1:].min(1).values
    multimask = (1 - weights.runner_up) * best + weights.runner_up * losses[:, 1:].mean(1)
    masks = losses[:, 0] + (1.0 if prompted else weights.multimask) * multimask
    mask = (masks * present).sum() / count
    with torch.no_grad():
        ious = mask_iou(candidates.logits, target)
        chosen = ious[:, :1] if prompted else ious.gather(1, 1 + candidates.ious[:, 1:].argmax(1, keepdim=True))
    scores = ((candidates.ious - ious).abs().mean(1) * present).sum() / count
    rarity = torch.where(present, 1.0, weights.absent)
    object_score = F.binary_cross_entropy_with_logits(candidates.object_score[:, 0], present.float(), rarity)
    total = mask + weights.iou * scores + weights.object_score * object_score
    return FrameLoss(total, mask.detach(), (chosen[:, 0] * present).sum() / count, object_score.detach())
