"""Whether the decoder's other candidates show a distractor: a second region beside the chosen mask (DAM4SAM).

Source: https://arxiv.org/abs/2411.17576, section 3.2. Of another candidate, the chosen mask's pixels are removed, and
the largest connected part of what is left is united with the chosen mask. A union whose box is much larger than the
chosen mask's box means that the candidate covers something else as well.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from samurai_batch.geometry import join_boxes
from samurai_batch.prompts import Box

if TYPE_CHECKING:
    from samurai_batch.tracking.candidate_masks import CandidateMasks

_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


def has_distractor(masks: "CandidateMasks", num_masks: int, chosen: int, max_box_iou: float) -> bool:
    """Whether the lowest box IoU of the chosen mask and a union is at most ``max_box_iou``.

    No part of a candidate can give a lower IoU than its whole box, so most candidates are settled by their boxes.
    """
    box = masks.extent(chosen).box_xyxy
    for other in range(num_masks):
        extent = masks.extent(other)
        if other == chosen or extent.area_px == 0 or iou_within(box, join_boxes(box, extent.box_xyxy)) > max_box_iou:
            continue
        iou = union_box_iou(masks, chosen, other)
        if iou is not None and iou <= max_box_iou:
            return True
    return False


def union_box_iou(masks: "CandidateMasks", chosen: int, other: int) -> float | None:
    """IoU of the box of the chosen mask, which has a pixel, and that of its union with the largest part of another.

    None if nothing of the other is left.
    """
    ours, crop = masks.crop(chosen), masks.crop(other)
    if ours is None or crop is None:
        return None
    part = largest_part(crop.without(ours))
    if part is None:
        return None
    box = ours.extent.box_xyxy
    return iou_within(box, join_boxes(box, crop.box_of(part)))


def iou_within(inner_xyxy: Box, outer_xyxy: Box) -> float:
    """IoU of a box and a larger one around it, both from first to last pixel, as the authors' code computes it.

    1 if the larger one is at most one pixel wide or high; otherwise 0 if the smaller one has no width or height.
    """
    width, height = outer_xyxy[2] - outer_xyxy[0], outer_xyxy[3] - outer_xyxy[1]
    if width <= 1 or height <= 1:
        return 1.0
    return (inner_xyxy[2] - inner_xyxy[0]) * (inner_xyxy[3] - inner_xyxy[1]) / (width * height)


def largest_part(pixels: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The largest 8-connected part of (H, W) pixels, the first of equals; None if there is none."""
    from scipy import ndimage  # takes long to load, and few frames need it

    labels, count = ndimage.label(pixels, structure=_EIGHT_NEIGHBOURS)
    if count == 0:
        return None
    areas = np.bincount(labels.ravel())
    areas[0] = 0  # the background
    part: NDArray[np.bool_] = labels == areas.argmax()
    return part
