"""Calibrates trained weights to the fixed thresholds of the trackers.

- Object score: -1 in SAMURAI's rules and 0 in SAM 2's separate visible from absent objects; where training puts the
  boundary depends on how often objects are absent in its clips.
- Single mask: SAM 2 replaces one whose area changes by more than 2 % between the thresholds of -0.05 and 0.05. A small
  network is less sure of its edges than those thresholds expect, and its single mask is the better one.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samurai_batch.modeling.layers import Mlp
from samurai_batch.modeling.sam2 import SAM2
from samurai_batch.training.batches import Batch
from samurai_batch.training.losses import mask_iou
from samurai_batch.training.rollout import MemorySampling, encode_batch, propagate

_SINGLE_MASK_SCALE = 8.0
_SCALE = 3.0  # of the scores: it makes the distance of the two thresholds small
_MIDDLE = -0.5  # of the two thresholds
_IOU_ERROR = 0.01  # of the mean IoU over a few thousand objects


@dataclass(frozen=True)
class ScoredObjects:
    """K objects on frames without a prompt, (K,) each.

    ``scores`` float32 are their object scores; ``visible`` bool says whether they are there, and ``ious`` float32 how
    well the mask that a tracker would choose fits.
    """

    scores: Tensor
    visible: Tensor
    ious: Tensor

    def best_threshold(self) -> float:
        """The threshold that gives the highest mean IoU: an object has its mask if its score is above, otherwise none.

        No mask is right, an IoU of 1, where the object is absent. Candidates are the percentiles 1 to 99. Of those
        whose mean IoU is highest, within the error of measuring it, the lowest is taken: training's clips hide objects
        more often than videos do. Raises ValueError if all objects are visible, or none.
        """
        if self.visible.all() or not self.visible.any():
            raise ValueError("calibration needs visible and absent objects; take more clips")
        tried = torch.quantile(self.scores, torch.linspace(0.01, 0.99, 99))
        with_mask, without = torch.where(self.visible, self.ious, 0.0), (~self.visible).float()
        ious = torch.where(self.scores[:, None] > tried, with_mask[:, None], without[:, None]).mean(0)
        return float(tried[ious >= ious.max() - _IOU_ERROR].min())


def score_objects(model: SAM2, batches: Iterable[Batch]) -> ScoredObjects:
    """All objects of the batches on all frames but the prompted one, propagated through their clips."""
    scores, visible, ious = [], [], []
    for batch in batches:
        sampling, generator = MemorySampling(teacher_forcing=0.0, dropout=0.0), torch.Generator().manual_seed(0)
        with torch.no_grad():
            found = propagate(model, batch, encode_batch(model, batch), sampling, generator)[1:]
        covers = F.avg_pool2d(batch.masks.float(), 4)
        for time, candidates in enumerate(found, start=1):
            best = 1 + candidates.ious[:, 1:].argmax(1, keepdim=True)
            ious.append(mask_iou(candidates.logits, covers[:, time]).gather(1, best)[:, 0])
            scores.append(candidates.object_score[:, 0])
            visible.append(batch.masks[:, time].flatten(1).any(1))
    return ScoredObjects(torch.cat(scores), torch.cat(visible), torch.cat(ious))


def calibrate_object_score(model: SAM2, batches: Iterable[Batch]) -> float:
    """Shift and scale the object score head, in place; returns the threshold that was best before."""
    threshold = score_objects(model, batches).best_threshold()
    last = model.sam_mask_decoder.pred_obj_score_head.layers[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.mul_(_SCALE)
        last.bias.sub_(threshold).mul_(_SCALE).add_(_MIDDLE)
    return threshold


def sharpen_single_mask(model: SAM2) -> None:
    """Scale the logits of the single-mask output, in place: the mask stays as it is, and counts as stable."""
    mlp = model.sam_mask_decoder.output_hypernetworks_mlps[0]
    assert isinstance(mlp, Mlp)
    last = mlp.layers[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.mul_(_SINGLE_MASK_SCALE)
        last.bias.mul_(_SINGLE_MASK_SCALE)
