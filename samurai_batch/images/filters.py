"""The filters of everything mode: stability, duplicates, small regions."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from samurai_batch.geometry import box_ious

_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


def stability_scores(logits: Tensor, threshold: float, offset: float) -> Tensor:
    """IoU of the masks at ``threshold`` + and - ``offset``: logits (N, H, W) -> (N,) float64 in [0, 1].

    A mask that is empty at the lower threshold has score 0.
    """
    inner = (logits > threshold + offset).sum((-1, -2))
    outer = (logits > threshold - offset).sum((-1, -2))
    return inner.double() / outer.clamp(min=1)


def without_duplicates(
    boxes_xyxy: NDArray[np.float64], preference: NDArray[np.float64], max_iou: float
) -> NDArray[np.int64]:
    """Non-maximum suppression: indices to keep, best first; none has an IoU above ``max_iou`` with a better one.

    boxes_xyxy (N, 4), end excluded; preference (N,) or (N, K): the higher the better, compared column by column,
    ties go to the earlier one.
    """
    columns = preference[:, None] if preference.ndim == 1 else preference
    order = np.lexsort((*(-columns[:, ::-1].T),))
    kept: list[int] = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(int(best))
        order = order[box_ious(boxes_xyxy[[best]], boxes_xyxy[order])[0] <= max_iou]
    return np.array(kept, np.int64)


def without_small_regions(mask: NDArray[np.bool_], min_area: int) -> NDArray[np.bool_]:
    """Fill holes, then remove islands of fewer than ``min_area`` pixels (8-connected) from a mask (H, W).

    A mask that consists of small islands becomes empty; SAM's release keeps the largest of them.
    """
    filled = mask | _small_parts(~mask, min_area)
    return filled & ~_small_parts(filled, min_area)


def _small_parts(region: NDArray[np.bool_], min_area: int) -> NDArray[np.bool_]:
    labels, _ = ndimage.label(region, structure=_EIGHT_NEIGHBOURS)
    is_small = np.bincount(labels.ravel()) < min_area
    is_small[0] = False  # label 0 is all that is not in the region
    return is_small[labels]
