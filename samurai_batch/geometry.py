"""Boxes as plain numbers: xyxy corners in pixels unless a name says otherwise."""

from collections.abc import Iterable, Sequence

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


def is_unit_box(box_xyxy: Sequence[float]) -> bool:
    """Whether a box can only be meant in units of 0 to 1: smaller than 2 pixels on both sides, no number above 1."""
    x1, y1, x2, y2 = box_xyxy
    return max(box_xyxy) <= 1 and x2 - x1 < 2 and y2 - y1 < 2


def are_unit_points(points_xy: Iterable[Sequence[float]]) -> bool:
    """Whether clicks can only be meant in units of 0 to 1: all in the first pixel, and not all on its corners."""
    numbers = [number for point in points_xy for number in point]
    return all(0 <= number <= 1 for number in numbers) and any(0 < number < 1 for number in numbers)


def mask_box_xywh(mask: NDArray[np.bool_]) -> Box | None:
    """The COCO box (left, top, width, height, pixels counted whole) of a (H, W) mask; None if it is empty."""
    columns = np.flatnonzero(mask.any(axis=0))
    if columns.size == 0:
        return None
    rows = np.flatnonzero(mask.any(axis=1))
    left, top = int(columns[0]), int(rows[0])
    return float(left), float(top), float(columns[-1] - left + 1), float(rows[-1] - top + 1)
