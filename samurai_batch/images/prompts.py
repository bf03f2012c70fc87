"""Prompts on an image, validated before they reach a network."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samurai_batch.checks import is_box_in_units
from samurai_batch.errors import PromptError


@dataclass(frozen=True)
class BatchPrompts:
    """B prompts of equal shapes, in pixels of the image.

    points_xy (B, P, 2) float64, P may be 0; labels (B, P) of 0 and 1; boxes_xyxy (B, 4) float64;
    mask_logits (B, S / 4, S / 4) float64.
    """

    points_xy: NDArray[np.float64]
    labels: NDArray[np.int64]
    boxes_xyxy: NDArray[np.float64] | None = None
    mask_logits: NDArray[np.float64] | None = None

    def clipped_boxes(self, height: int, width: int) -> NDArray[np.float64] | None:
        """The boxes (B, 4), clipped to the image."""
        if self.boxes_xyxy is None:
            return None
        return np.clip(self.boxes_xyxy, 0, (width, height, width, height))

    def check_inside(self, height: int, width: int) -> None:
        """Raise PromptError for a click outside the image, or a box that does not overlap it."""
        x, y = self.points_xy[..., 0], self.points_xy[..., 1]
        outside = (x < 0) | (y < 0) | (x > width) | (y > height)
        if outside.any():
            where = tuple(self.points_xy[outside][0].tolist())
            raise PromptError(f"point {where} lies outside the image of {width} x {height} pixels")
        if self.boxes_xyxy is None:
            return
        left, top, right, bottom = self.boxes_xyxy.T
        outside = (right <= 0) | (bottom <= 0) | (left >= width) | (top >= height)
        if outside.any():
            box = tuple(self.boxes_xyxy[outside][0].tolist())
            raise PromptError(f"box {box} lies outside the image of {width} x {height} pixels")
        for x1, y1, x2, y2 in self.boxes_xyxy.tolist():
            if is_box_in_units((x1, y1, x2, y2)):
                raise PromptError(f"box {(x1, y1, x2, y2)} is smaller than 2 pixels; give it in pixels of the image")


def check_image(pixels: NDArray[np.uint8]) -> None:
    """Raise PromptError unless this is a non-empty array (H, W, 3) uint8."""
    if not isinstance(pixels, np.ndarray):
        raise PromptError(f"an image is an array (height, width, 3) of uint8 in RGB order, not {type(pixels).__name__}")
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise PromptError(f"an image is (height, width, 3) uint8 in RGB order, not {pixels.shape} {pixels.dtype}")


def check_prompts(
    points_xy: ArrayLike | None,
    labels: ArrayLike | None,
    boxes_xyxy: ArrayLike | None,
    mask_logits: ArrayLike | None,
    low_res_size: int,
) -> BatchPrompts:
    """Validate the arrays of B prompts; raises PromptError if they are invalid or inconsistent.

    low_res_size: S / 4, the side of mask_logits.
    """
    points = None if points_xy is None else _numbers("points_xy", points_xy, (None, None, 2))
    boxes = None if boxes_xyxy is None else _numbers("boxes_xyxy", boxes_xyxy, (None, 4))
    side = low_res_size
    masks = None if mask_logits is None else _numbers("mask_logits", mask_logits, (None, side, side))
    counts = {len(array) for array in (points, boxes, masks) if array is not None}
    if not counts:
        raise PromptError("there is no prompt; give points_xy and labels, a box, or mask_logits")
    if len(counts) > 1:
        raise PromptError(f"points, boxes and masks are of {sorted(counts)} prompts; give as many of each")
    (count,) = counts
    if (points is None) != (labels is None):
        raise PromptError("points_xy and labels come together; a label is 1 on the object, 0 beside it")
    if points is None or labels is None:
        points, checked = np.zeros((count, 0, 2)), np.zeros((count, 0), np.int64)
    else:
        checked = _labels(labels, points.shape[:2])
    if boxes is not None and not ((boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])).all():
        raise PromptError("a box is (x1, y1, x2, y2) with x1 < x2 and y1 < y2")
    return BatchPrompts(points, checked, boxes, masks)


def _numbers(name: str, values: ArrayLike, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    try:
        array = np.asarray(values, np.float64)
    except (ValueError, TypeError) as error:
        raise PromptError(f"{name} is not an array of numbers") from error
    fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape, strict=True))
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise PromptError(f"{name} has shape {array.shape}, not ({wanted}); the first axis counts prompts")
    if not np.isfinite(array).all():
        raise PromptError(f"{name} holds a number that is not finite")
    return array


def _labels(labels: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.int64]:
    array = np.asarray(labels)
    if array.shape != shape or not np.isin(array, (0, 1)).all():
        raise PromptError(f"labels {array.tolist()} are not one 0 or 1 for each of the points {shape}")
    return array.astype(np.int64)
