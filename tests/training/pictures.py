"""A tiny picture bank: things of three shapes and surfaces of three patterns, two sources of each."""

from dataclasses import dataclass, field

import numpy as np

from samurai_batch.synthetic.textures import Bytes


def disc(side: int, colour: tuple[int, int, int]) -> Bytes:
    axis = np.arange(side) - (side - 1) / 2
    inside = axis**2 + axis[:, None] ** 2 < (side / 2) ** 2
    return np.dstack([np.full((side, side, 3), colour, dtype=np.uint8), (inside * 255).astype(np.uint8)])


def bar(height: int, width: int) -> Bytes:
    picture = np.zeros((height, width, 4), dtype=np.uint8)
    picture[2:-2, 2:-2] = (30, 200, 90, 255)
    return picture


def checks(height: int, width: int) -> Bytes:
    rows, columns = np.mgrid[:height, :width]
    return np.dstack([((rows // 8 + columns // 8) % 2 * 200).astype(np.uint8)] * 3)


@dataclass(frozen=True)
class TinyBank:
    things: list[list[Bytes]] = field(
        default_factory=lambda: [[disc(40, (250, 20, 20)), disc(24, (20, 20, 250))], [bar(20, 60)]]
    )
    surfaces: list[list[Bytes]] = field(default_factory=lambda: [[checks(100, 160)], [255 - checks(120, 96)]])
