"""Boxes as plain numbers: xyxy corners in pixels unless a name says otherwise."""

import numpy as np
from numpy.typing import NDArray

from samurai_batch.tasks import Box


def box_iou(a_xyxy: Box, b_xyxy: Box) -> float:
    """Intersection over union of two boxes; 0 where their union is empty."""
    width = min(a_xyxy[2], b_xyxy[2]) - max(a_xyxy[0], b_xyxy[0])
    height = min(a_xyxy[3], b_xyxy[3]) - max(a_xyxy[1], b_xyxy[1])
    intersection = max(width, 0.0) * max(height, 0.0)
    area_a = (a_xyxy[2] - a_xyxy[0]) * (a_xyxy[3] - a_xyxy[1])
    area_b = (b_xyxy[2] - b_xyxy[0]) * (b_xyxy[3] - b_xyxy[1])
    union = area_a + area_b - intersection
    return intersection / union if union > 0 else 0.0


def clip_box(box_xyxy: Box, height: int, width: int) -> Box:
    """The part of a box that lies in a picture."""
    x1, y1, x2, y2 = box_xyxy
    return max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))


def mask_box_xywh(mask: NDArray[np.bool_]) -> Box | None:
    """The COCO box (left, top, width, height, pixels counted whole) of a (H, W) mask; None if it is empty."""
    columns = np.flatnonzero(mask.any(axis=0))
    if columns.size == 0:
        return None
    rows = np.flatnonzero(mask.any(axis=1))
    left, top = int(columns[0]), int(rows[0])
    return float(left), float(top), float(columns[-1] - left + 1), float(rows[-1] - top + 1)
