"""Calibrates trained weights to the fixed thresholds of the trackers.

- Object score: -1 in SAMURAI's rules and 0 in SAM 2's separate visible from absent objects; where training puts the
  boundary depends on how often objects are absent in its clips.
- Single mask: SAM 2 replaces one whose area changes by more than 2 % between the thresholds of -0.05 and 0.05. A small
  network is less sure of its edges than those thresholds expect, and its single mask is the better one.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from samurai_batch.modeling.layers import Mlp
from samurai_batch.modeling.sam2 import SAM2
from samurai_batch.training.batches import Batch
from samurai_batch.training.rollout import MemorySampling, encode_batch, propagate

_SINGLE_MASK_SCALE = 8.0
_SCALE = 3.0  # of the scores: it makes the distance of the two thresholds small
_MIDDLE = -0.5  # of the two thresholds
_ACCURACY_ERROR = 0.01  # of balanced accuracy, measured on a few hundred absent objects


def object_scores(model: SAM2, batches: Iterable[Batch]) -> tuple[Tensor, Tensor]:
    """Scores (K,) float32 of all objects on all frames but the prompted one, and whether each is visible (K,) bool."""
    scores, visible = [], []
    with torch.no_grad():
        for batch in batches:
            sampling, generator = MemorySampling(teacher_forcing=0.0, dropout=0.0), torch.Generator().manual_seed(0)
            found = propagate(model, batch, encode_batch(model, batch), sampling, generator)
            scores.append(torch.cat([candidates.object_score[:, 0] for candidates in found[1:]]))
            visible.append(batch.masks.flatten(2).any(2)[:, 1:].T.flatten())
    return torch.cat(scores), torch.cat(visible)


def best_threshold(scores: Tensor, visible: Tensor) -> float:
    """The threshold that separates scores (K,) of visible and absent objects best; ``visible`` (K,) bool.

    Candidates are the percentiles 1 to 99. Of those whose balanced accuracy is highest, within the error of measuring
    it, the lowest is taken: an object taken for absent gets no mask, which is the worse mistake. Raises ValueError if
    all objects are visible, or none.
    """
    if visible.all() or not visible.any():
        raise ValueError("calibration needs visible and absent objects; take more clips")
    tried = torch.quantile(scores, torch.linspace(0.01, 0.99, 99))
    said = scores[:, None] > tried
    accuracy = (said[visible].float().mean(0) + (~said[~visible]).float().mean(0)) / 2
    return float(tried[accuracy >= accuracy.max() - _ACCURACY_ERROR].min())


def calibrate_object_score(model: SAM2, batches: Iterable[Batch]) -> float:
    """Shift and scale the object score head, in place; returns the threshold that was best before."""
    threshold = best_threshold(*object_scores(model, batches))
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
