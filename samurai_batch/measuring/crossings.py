"""Where a path crosses a line, and in which direction."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from samurai_batch.measuring.paths import Floats, Path

Side = Literal["left", "right"]


@dataclass(frozen=True)
class Crossing:
    """A path crosses a line at ``x``, ``y`` in pixels; ``row`` is the first row on the other side.

    ``to_side`` is the side that the object goes to, seen from the line's first point towards its last.
    """

    row: int
    to_side: Side
    x: float
    y: float


def crossings_of(path: Path, line_xy: NDArray[np.float64]) -> list[Crossing]:
    """The crossings of a path and a line of (N, 2) points, in the order of the rows.

    A point on the line counts as on its right side, so a path that ends there and goes on later crosses once. The
    ends of the line belong to it.
    """
    found: list[Crossing] = []
    for number in range(len(line_xy) - 1):
        start, end = line_xy[number], line_xy[number + 1]
        if (start != end).any():
            found += _with_segment(path, start, end, is_last=number == len(line_xy) - 2)
    return sorted(found, key=lambda one: one.row)


def _with_segment(path: Path, start: Floats, end: Floats, is_last: bool) -> list[Crossing]:
    along, from_start = end - start, path.points_xy - start
    # y points down, so a positive cross product is on the right.
    across = along[0] * from_start[:, 1] - along[1] * from_start[:, 0]
    is_right = across >= 0
    rows = np.flatnonzero(path.is_joined & (is_right[:-1] != is_right[1:]))
    share = across[rows] / (across[rows] - across[rows + 1])
    places = path.points_xy[rows] + share[:, None] * (path.points_xy[rows + 1] - path.points_xy[rows])
    position = (places - start) @ along / (along @ along)
    is_on = (position >= 0) & ((position <= 1) if is_last else (position < 1))
    return [
        Crossing(int(row) + 1, "right" if is_right[row + 1] else "left", float(x), float(y))
        for row, (x, y) in zip(rows[is_on], places[is_on], strict=True)
    ]
