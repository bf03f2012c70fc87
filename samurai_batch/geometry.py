"""Boxes, as xyxy corners in pixels unless a name says otherwise, and masks as arrays."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from samurai_batch.prompts import Box

Float = TypeVar("Float", bound=np.floating)


def box_iou(a_xyxy: Box, b_xyxy: Box) -> float:
    """Intersection over union of two boxes; 0 where their union is empty."""
    width = min(a_xyxy[2], b_xyxy[2]) - max(a_xyxy[0], b_xyxy[0])
    height = min(a_xyxy[3], b_xyxy[3]) - max(a_xyxy[1], b_xyxy[1])
    intersection = max(width, 0.0) * max(height, 0.0)
    area_a = (a_xyxy[2] - a_xyxy[0]) * (a_xyxy[3] - a_xyxy[1])
    area_b = (b_xyxy[2] - b_xyxy[0]) * (b_xyxy[3] - b_xyxy[1])
    union = area_a + area_b - intersection
    return intersection / union if union > 0 else 0.0


def box_ious(some_xyxy: NDArray[np.float64], others_xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU of each box (n, 4) with each of the others (m, 4): (n, m). A box without an area overlaps nothing."""
    one, other = some_xyxy[:, None], others_xyxy[None]
    extent = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    intersection = np.prod(np.maximum(extent, 0.0), axis=-1)
    area, other_area = (np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1) for boxes in (one, other))
    union = area + other_area - intersection
    is_real = (area > 0) & (other_area > 0) & (union > 0)
    ious: NDArray[np.float64] = np.divide(intersection, union, out=np.zeros_like(union), where=is_real)
    return ious


def to_xyxy(boxes_xywh: NDArray[Float]) -> NDArray[Float]:
    """COCO boxes (n, 4), left, top, width, height, as corners."""
    return np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1)


def mot_box_xyxy(left: float, top: float, width: float, height: float) -> Box:
    """A box of MOTChallenge, whose pixels count from 1."""
    return left - 1, top - 1, left - 1 + width, top - 1 + height


def clip_box(box_xyxy: Box, height: int, width: int) -> Box:
    """The part of a box that is inside a picture."""
    x1, y1, x2, y2 = box_xyxy
    return max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))


def mask_box_xyxy(mask: NDArray[np.bool_]) -> Box | None:
    """The tight box of a (H, W) mask in whole pixels, which ends after its last pixel; None if the mask is empty."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if columns.size == 0:
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def join_boxes(a_xyxy: Box, b_xyxy: Box) -> Box:
    """The tight box of two boxes."""
    return (
        min(a_xyxy[0], b_xyxy[0]),
        min(a_xyxy[1], b_xyxy[1]),
        max(a_xyxy[2], b_xyxy[2]),
        max(a_xyxy[3], b_xyxy[3]),
    )


def mask_iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union of two (H, W) masks; 1 if both are empty."""
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 1.0


def to_label_map(
    masks: Sequence[NDArray[np.bool_]], labels: Sequence[int], scores: Sequence[float], height: int, width: int
) -> NDArray[np.uint8]:
    """One (height, width) uint8 map of several masks (H, W): 0 for the background, else the label of the mask there.

    Where masks overlap, the one with the highest score keeps the pixel; of equal ones, the first.
    """
    assert all(0 < label < 256 for label in labels), labels
    label_map = np.zeros((height, width), np.uint8)
    for index in sorted(range(len(masks)), key=lambda index: (scores[index], -index)):
        label_map[masks[index]] = labels[index]
    return label_map


def num_shared_pixels(masks: Sequence[NDArray[np.bool_]]) -> int:
    """How many pixels belong to more than one of the masks."""
    if not masks:
        return 0
    return int(np.count_nonzero(np.sum(masks, axis=0, dtype=np.int32) > 1))
