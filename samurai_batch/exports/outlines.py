"""A mask as one polygon, and a polygon as a mask, without losing a pixel.

The polygon runs along the edges of pixels. Further parts and holes are joined to it by bridges: edges that are passed
twice, once in each direction, and enclose nothing.
"""

from collections.abc import Sequence

import numpy as np
import pycocotools.mask as coco
from numpy.typing import NDArray

from samurai_batch.prompts import Rle
from samurai_batch.rle import check_size, rle_from_coco

_FARTHEST_PX = 100_000  # of a corner of a polygon; pictures have sides of at most 16,384

Points = NDArray[np.int64]


def mask_outline(mask: NDArray[np.bool_]) -> Points:
    """The polygon of a (H, W) mask that is not empty: (n, 2) corners x, y in pixels from the top left of the picture.

    `polygon_mask` gives the mask back, bit for bit.
    """
    loops = _loops(np.pad(mask, 1))
    joined = loops[0]
    for loop in loops[1:]:
        squared = ((joined[:, None] - loop[None]) ** 2).sum(axis=2)
        at, start = divmod(int(squared.argmin()), len(loop))
        turned = np.roll(loop, -start, axis=0)
        joined = np.concatenate([joined[: at + 1], turned, turned[:1], joined[at:]])
    return joined


def polygon_mask(polygons: Sequence[Sequence[float]], height: int, width: int) -> Rle | None:
    """The pixels inside of polygons, each ``[x, y, x, y, ...]``, by COCO's rule; None if there are none.

    A polygon needs three corners; others are ignored. Raises ValueError for a size that no picture has, and for corners
    that are no numbers or far outside: pycocotools takes memory for every pixel of a line.
    """
    drawn = [list(map(float, polygon)) for polygon in polygons if len(polygon) >= 6]
    if not drawn:
        return None
    check_size(height, width)
    if not all(abs(number) <= _FARTHEST_PX for polygon in drawn for number in polygon):
        raise ValueError(f"a corner of a polygon is farther than {_FARTHEST_PX} pixels from the picture, or no number")
    encoded = coco.merge(coco.frPyObjects(drawn, height, width))
    rle = rle_from_coco({"size": [height, width], "counts": encoded["counts"]})
    return rle if int(coco.area(encoded)) else None


def _loops(padded: NDArray[np.bool_]) -> list[Points]:
    """Every closed line between object and background, from its topmost leftmost corner; holes run the other way."""
    top_left, top_right = padded[:-1, :-1], padded[:-1, 1:]
    bottom_left, bottom_right = padded[1:, :-1], padded[1:, 1:]
    number = top_left.astype(np.int8) + top_right + bottom_left + bottom_right
    is_crossing = (number == 2) & (top_left == bottom_right)  # two pixels that touch at a corner
    ys, xs = np.nonzero((number == 1) | (number == 3) | is_crossing)
    crossings = is_crossing[ys, xs]
    # A crossing is two corners: the first ends the line from the left, the second begins the line to the right.
    corners = np.repeat(np.arange(len(ys)), crossings + 1)
    is_second = np.concatenate([[False], corners[1:] == corners[:-1]])
    x, y = xs[corners], ys[corners]
    falls = top_left[y, x] & crossings[corners]  # the pixels are at the top left and the bottom right
    along = _partners(np.lexsort((is_second, x, y)))
    across = _partners(np.lexsort((np.where(falls, is_second, ~is_second), y, x)))
    is_hole = ~bottom_right[y, x]
    places = np.stack([x, y], axis=1)
    found, is_done = [], np.zeros(len(corners), np.bool_)
    for start in range(len(corners)):
        if not is_done[start]:
            walked = _walk(start, along, across)
            is_done[walked] = True
            found.append(places[walked[::-1] if is_hole[start] else walked])
    return found


def _partners(order: Points) -> list[int]:
    """The other end of the line at each corner, where ``order`` lists the two ends of each line in turn."""
    partners = np.empty(len(order), np.int64)
    partners[order[::2]], partners[order[1::2]] = order[1::2], order[::2]
    return [int(partner) for partner in partners]


def _walk(start: int, along: list[int], across: list[int]) -> list[int]:
    walked, corner = [], start
    while True:
        walked += [corner, along[corner]]
        corner = across[along[corner]]
        if corner == start:
            return walked
