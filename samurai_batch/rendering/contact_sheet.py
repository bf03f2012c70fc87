"""Several frames of a video in one picture, each with its number."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

GAP_PX = 4
CAPTION_PX = 18


def spread(frames: range, count: int) -> list[int]:
    """``count`` frame indices spread evenly over a range, both ends included; fewer if it has fewer."""
    if len(frames) <= count:
        return list(frames)
    return [frames[int(place)] for place in np.linspace(0, len(frames) - 1, count).round()]


def contact_sheet(tiles: Sequence[tuple[str, NDArray[np.uint8]]], columns: int, tile_width_px: int) -> Image.Image:
    """A grid of captioned pictures (H, W, 3) RGB of one size, scaled to ``tile_width_px``, row by row."""
    assert tiles
    height, width = tiles[0][1].shape[:2]
    tile_height = max(round(tile_width_px * height / width), 1)
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    step_x, step_y = tile_width_px + GAP_PX, tile_height + CAPTION_PX + GAP_PX
    sheet = Image.new("RGB", (columns * step_x + GAP_PX, rows * step_y + GAP_PX), (24, 24, 24))
    canvas, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for number, (caption, pixels) in enumerate(tiles):
        x, y = GAP_PX + number % columns * step_x, GAP_PX + number // columns * step_y
        tile = Image.fromarray(pixels).resize((tile_width_px, tile_height), Image.Resampling.LANCZOS)
        sheet.paste(tile, (x, y + CAPTION_PX))
        canvas.text((x + 2, y + 1), caption, fill=(255, 255, 255), font=font)
    return sheet
