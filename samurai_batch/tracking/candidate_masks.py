"""The candidates' masks in pixels of the video, for the rules that read them.

The masks are those of `video_masks.to_video_masks` without filled holes: bilinear, then > 0. On the CPU a mask is
made when it is read, and no larger than the region where it can be: for most objects that is a small part of the
frame. A GPU measures all of them (`measure`), because the host waits for it only once; of what rules read rarely, the
pixels, the host has the logits (`proposals.read`).

Near 0, a pixel may differ by the rounding of one float operation from the one that PyTorch's kernel makes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samurai_batch.geometry import mask_box_xyxy
from samurai_batch.modeling.mask_decoder import resize_logits
from samurai_batch.prompts import Box

NUM_MEASURES = 6  # of a mask: visible, area, box
_MAX_PIXELS = 2**26  # that are measured together
_NOWHERE: Box = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Extent:
    """A mask's area in pixels, and its box from first to last pixel; zeros if it is empty.

    ``is_visible``: some cell of the low-resolution logits is above 0. Such a mask may have no pixel in a small video.
    """

    is_visible: bool
    area_px: int
    box_xyxy: Box


@dataclass(frozen=True)
class Crop:
    """A mask's pixels (H', W') bool, whose first pixel is at (left, top) of the video; all other pixels are False."""

    pixels: NDArray[np.bool_]
    left: int
    top: int

    @property
    def extent(self) -> Extent:
        """Of a mask that is visible."""
        return Extent(True, int(np.count_nonzero(self.pixels)), self.box_of(self.pixels))

    def box_of(self, pixels: NDArray[np.bool_]) -> Box:
        """The box in the video of some of this crop's pixels (H', W'), from first to last; zeros for none."""
        box = mask_box_xyxy(pixels)
        if box is None:
            return _NOWHERE
        x1, y1, x2, y2 = box
        return x1 + self.left, y1 + self.top, x2 + self.left - 1, y2 + self.top - 1

    def without(self, other: "Crop") -> NDArray[np.bool_]:
        """The pixels of this crop that are not in the other."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right = min(self.left + self.pixels.shape[1], other.left + other.pixels.shape[1])
        bottom = min(self.top + self.pixels.shape[0], other.top + other.pixels.shape[0])
        rest = self.pixels.copy()
        if left < right and top < bottom:
            shared = other.pixels[top - other.top : bottom - other.top, left - other.left : right - other.left]
            rest[top - self.top : bottom - self.top, left - self.left : right - self.left] &= ~shared
        return rest


class CandidateMasks:
    """The masks of one track's candidates on the host; ``extents`` are given if a device has measured them."""

    def __init__(
        self, logits: Callable[[], Tensor], height: int, width: int, extents: Sequence[Extent] | None = None
    ) -> None:
        """``logits`` gives the low-resolution logits (M, h, w) on the CPU, without waiting."""
        self._logits, self._height, self._width = cache(logits), height, width
        self._extents = dict(enumerate(extents or ()))

    def extent(self, index: int) -> Extent:
        """Area and box of one candidate."""
        if index not in self._extents:
            crop = self.crop(index)
            self._extents[index] = Extent(False, 0, _NOWHERE) if crop is None else crop.extent
        return self._extents[index]

    def crop(self, index: int) -> Crop | None:
        """The pixels of one candidate; None if it is not visible."""
        return crop_of(self._logits()[index].numpy(), self._height, self._width)


def crop_of(logits: NDArray[np.floating], height: int, width: int) -> Crop | None:
    """The mask (height, width) of low-resolution logits (h, w); None if no cell is above 0."""
    is_inside = logits > 0
    if not is_inside.any():
        return None
    top, low, high, weight = _lines(np.flatnonzero(is_inside.any(1)), logits.shape[0], height, logits.dtype)
    left, first, second, share = _lines(np.flatnonzero(is_inside.any(0)), logits.shape[1], width, logits.dtype)
    weight, share = weight[:, None], share[None]
    columns = logits[:, first] * (1 - share) + logits[:, second] * share
    return Crop(columns[low] * (1 - weight) + columns[high] * weight > 0, left, top)


def _lines(
    cells: NDArray[np.intp], num_cells: int, num_pixels: int, dtype: np.dtype[np.floating]
) -> tuple[int, NDArray[np.intp], NDArray[np.intp], NDArray[np.floating]]:
    """Of one axis: the first pixel that these cells reach, and for each pixel its two cells and the second's weight."""
    scale = dtype.type(num_cells) / dtype.type(num_pixels)
    position = np.maximum((np.arange(num_pixels, dtype=dtype) + dtype.type(0.5)) * scale - dtype.type(0.5), 0)
    low = np.minimum(position.astype(np.intp), num_cells - 1)
    high = np.minimum(low + 1, num_cells - 1)
    reached = np.flatnonzero((high >= cells[0]) & (low <= cells[-1]))
    if not reached.size:  # a video so small that its pixels miss these cells
        reached = np.zeros(1, np.intp)
    return int(reached[0]), low[reached], high[reached], (position - low)[reached]


def measure(low_res: Tensor, height: int, width: int) -> Tensor:
    """Logits (N, M, h, w) on a device -> (N, M, NUM_MEASURES) for `extents_of`, without waiting for it."""
    per_group = max(1, _MAX_PIXELS // (low_res.shape[1] * height * width))
    return torch.cat([_measure(group, height, width) for group in low_res.split(per_group)])


def extents_of(numbers: Sequence[float]) -> list[Extent]:
    """The numbers that `measure` found of one track's candidates, on the host."""
    rows = [numbers[start : start + NUM_MEASURES] for start in range(0, len(numbers), NUM_MEASURES)]
    return [Extent(bool(seen), int(area), (x1, y1, x2, y2)) for seen, area, x1, y1, x2, y2 in rows]


def tight_boxes(masks: Tensor) -> Tensor:
    """Boxes xyxy (N, M, 4) of masks (N, M, H, W) bool, from first to last pixel; (0, 0, 0, 0) for an empty mask."""
    extents = []
    for axis in (-2, -1):  # columns, then rows
        line = masks.any(axis).to(torch.uint8)
        last = line.shape[-1] - 1
        extents += [line.argmax(-1), last - line.flip(-1).argmax(-1)]
    left, right, top, bottom = extents
    return torch.stack((left, top, right, bottom), dim=-1) * masks.flatten(2).any(-1)[..., None]


def _measure(low_res: Tensor, height: int, width: int) -> Tensor:
    masks = resize_logits(low_res, height, width) > 0
    is_visible = (low_res > 0).flatten(2).any(-1)
    return torch.cat((torch.stack((is_visible, masks.flatten(2).sum(-1)), dim=-1), tight_boxes(masks)), dim=-1)
