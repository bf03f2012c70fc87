"""Setting the object score's zero: between where objects that are there and objects that are gone lie on clips.

Training weighs the two as it meets them; a tracker decides at fixed values, -1 by SAMURAI's rules and 0 by SAM 2's.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from samurai_batch.modeling.sam2 import SAM2
from samurai_batch.training.batches import Batch
from samurai_batch.training.rollout import Forcing, encode_batch, follow

_SHARPNESS = 3.0  # brings SAMURAI's threshold and SAM 2's close to each other, on the scale of the scores
_MIDDLE = -0.5  # of the two thresholds
_DOUBT = 0.01  # of balanced accuracy: about the error of measuring it on a few hundred absent objects


def object_scores(model: SAM2, batches: Iterable[Batch]) -> tuple[Tensor, Tensor]:
    """The scores (K,) of all objects on all frames but the prompted ones, and whether each is visible (K,)."""
    scores, visible = [], []
    with torch.no_grad():
        for batch in batches:
            features = encode_batch(model, batch)
            found = follow(model, batch, features, Forcing(truth=0.0, drop=0.0), torch.Generator().manual_seed(0))
            scores.append(torch.cat([candidates.object_score[:, 0] for candidates in found[1:]]))
            visible.append(batch.masks.flatten(2).any(2)[:, 1:].T.flatten())
    return torch.cat(scores), torch.cat(visible)


def best_threshold(scores: Tensor, visible: Tensor) -> float:
    """The score (of those between the 1st and 99th percentile) that parts visible and absent ones best.

    Best is the lowest whose balanced accuracy is within _DOUBT of the highest: an object called absent has no mask, and
    where the scores hardly tell, it is worse to miss one. Raises ValueError where all are visible, or none.
    """
    if visible.all() or not visible.any():
        raise ValueError("a threshold needs objects that are visible and objects that are gone; take more clips")
    tried = torch.quantile(scores, torch.linspace(0.01, 0.99, 99))
    said = scores[:, None] > tried
    accuracy = (said[visible].float().mean(0) + (~said[~visible]).float().mean(0)) / 2
    return float(tried[accuracy >= accuracy.max() - _DOUBT].min())


def calibrate(model: SAM2, batches: Iterable[Batch]) -> float:
    """Move and stretch the object score, in place; returns the threshold that was best before."""
    threshold = best_threshold(*object_scores(model, batches))
    last = model.sam_mask_decoder.pred_obj_score_head.layers[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.mul_(_SHARPNESS)
        last.bias.sub_(threshold).mul_(_SHARPNESS).add_(_MIDDLE)
    return threshold
