"""The prompts of everything mode: a grid of points over the image and over crops of it. Source: SAM's appendix B."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEAR_PX = 20.0  # a mask whose box ends this near to a crop's edge is taken to be cut off


@dataclass(frozen=True)
class Crop:
    """A crop of the image, ``box_xyxy`` in integer pixels, end excluded; layer 0 is the whole image."""

    box_xyxy: tuple[int, int, int, int]
    layer: int

    @property
    def area_px(self) -> int:
        """Its area in pixels."""
        x1, y1, x2, y2 = self.box_xyxy
        return (x2 - x1) * (y2 - y1)


def point_grid(points_per_side: int) -> NDArray[np.float64]:
    """The centres of n x n cells of the unit square, row by row: (n², 2)."""
    centres = (np.arange(points_per_side) + 0.5) / points_per_side
    x, y = np.meshgrid(centres, centres)
    return np.stack((x.ravel(), y.ravel()), axis=1)


def points_in_layer(points_per_side: int, layer: int, downscale_factor: int) -> int:
    """The number of points per side in crops of this layer, at least 1."""
    return max(1, points_per_side // int(downscale_factor**layer))


def make_crops(height: int, width: int, num_layers: int, overlap_ratio: float) -> list[Crop]:
    """The whole image, then for each layer i 2^i x 2^i crops that overlap by ``overlap_ratio`` of the short side.

    The overlap is that of the first layer, and halves from layer to layer.
    """
    crops = [Crop((0, 0, width, height), 0)]
    for layer in range(1, num_layers + 1):
        count = 2**layer
        overlap = int(overlap_ratio * min(height, width) * 2 / count)
        spans_x, spans_y = (_spans(length, count, overlap) for length in (width, height))
        crops += [Crop((x1, y1, x2, y2), layer) for x1, x2 in spans_x for y1, y2 in spans_y]
    return [crop for crop in crops if crop.area_px > 0]


def _spans(length: int, count: int, overlap: int) -> list[tuple[int, int]]:
    size = math.ceil((overlap * (count - 1) + length) / count)
    starts = [(size - overlap) * index for index in range(count)]
    return [(start, min(start + size, length)) for start in starts if start < length]


def cut_by_crop(boxes_xyxy: NDArray[np.float64], crop: Crop, height: int, width: int) -> NDArray[np.bool_]:
    """Which boxes (N, 4), in pixels of the image, end at an edge of the crop that is not an edge of the image: (N,)."""
    edges = np.array(crop.box_xyxy, np.float64)
    image = np.array((0, 0, width, height), np.float64)
    near_crop = np.abs(boxes_xyxy - edges) <= NEAR_PX
    near_image = np.abs(boxes_xyxy - image) <= NEAR_PX
    cut: NDArray[np.bool_] = np.any(near_crop & ~near_image, axis=1)
    return cut
