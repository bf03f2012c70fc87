"""The losses of SAM 2 (https://arxiv.org/abs/2408.00714, appendix D), with what a small budget needs on top.

Masks: focal, dice and a class-balanced cross-entropy, without which everything stays background for hundreds of steps.
The single mask is always trained; of the three candidates the best one, and the others a little, so that none dies.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from samurai_batch.modeling.mask_decoder import Candidates
from samurai_batch.modeling.sam2 import FrameFeatures


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """How much each loss counts; ``absent`` is how many times an object that is gone counts in the object score, of
    which there are few, and ``runner_up`` is the share of the candidates that are not the best. ``rival`` is how much
    it counts that a mask spreads over something that the object could be mistaken for.
    """

    focal: float = 10.0
    dice: float = 2.0
    balanced: float = 1.0
    iou: float = 1.0
    object_score: float = 1.0
    absent: float = 3.0
    runner_up: float = 0.5
    loudness: float = 0.1
    rival: float = 0.0


@dataclass(frozen=True)
class FrameLoss:
    """Means over the objects of one frame; ``iou`` is of the mask that would be chosen, among present objects."""

    total: Tensor
    mask: Tensor
    iou: Tensor
    object_score: Tensor


def mask_loss(logits: Tensor, target: Tensor, weights: LossWeights, rivals: Tensor | None = None) -> Tensor:
    """Loss of every candidate: logits (N, M, h, w), target and rivals (N, h, w) cover in [0, 1] -> (N, M)."""
    target = target[:, None].expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    share = logits.sigmoid()
    focal = 0.5 * (entropy * (share - target).abs().square()).mean((2, 3))
    overlap, size = (share * target).sum((2, 3)), target.sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (share.sum((2, 3)) + size + 1)
    inside = (entropy * target).sum((2, 3)) / (size + 1)
    outside = (entropy * (1 - target)).sum((2, 3)) / ((1 - target).sum((2, 3)) + 1)
    loss = weights.focal * focal + weights.dice * dice + weights.balanced * (inside + outside) / 2
    if rivals is None:
        return loss
    # Where the object shows in part, what belongs to the other is the rest.
    theirs = rivals[:, None] * (1 - target)
    return loss + weights.rival * (entropy * theirs).sum((2, 3)) / (theirs.sum((2, 3)) + 1)


def loudness(features: FrameFeatures) -> Tensor:
    """By how much the mean squares of the features exceed 1, added over the three maps.

    Nothing else holds them: a few channels would grow to a hundred times the positions' size, as one constant offset,
    and positions and prompts would drown in it.
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
    rivals: Tensor | None = None,
) -> FrameLoss:
    """The loss of one frame of N objects.

    target (N, h, w) is the cover at the logits' size, as is that of ``rivals``; present (N,) whether anything of the
    object is visible: where it is not, only the object score is trained. ``prompted`` says which mask a tracker would
    choose: the single one, or the best-scored of three.
    """
    count = present.sum().clamp(min=1)
    losses = mask_loss(candidates.logits, target, weights, rivals)
    best = losses[:, 1:].min(1).values
    masks = losses[:, 0] + (1 - weights.runner_up) * best + weights.runner_up * losses[:, 1:].mean(1)
    mask = (masks * present).sum() / count
    with torch.no_grad():
        ious = mask_iou(candidates.logits, target)
        chosen = ious[:, :1] if prompted else ious.gather(1, 1 + candidates.ious[:, 1:].argmax(1, keepdim=True))
    scores = ((candidates.ious - ious).abs().mean(1) * present).sum() / count
    rarity = torch.where(present, 1.0, weights.absent)
    object_score = F.binary_cross_entropy_with_logits(candidates.object_score[:, 0], present.float(), rarity)
    total = mask + weights.iou * scores + weights.object_score * object_score
    return FrameLoss(total, mask.detach(), (chosen[:, 0] * present).sum() / count, object_score.detach())
