"""Frames as a file: a contact sheet, or an mp4 that browsers play (h264, 4:2:0, index first)."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

GAP_PX = 4
CAPTION_PX = 18
TICKS_PER_S = 90_000
QUALITY = 23  # x264's constant rate factor


def spread(frames: Sequence[int], count: int) -> list[int]:
    """``count`` of these frame indices, spread evenly, both ends included; all of them if there are fewer."""
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


def write_mp4(path: Path, frames: Iterable[tuple[float, NDArray[np.uint8]]]) -> int:
    """Write pairs of a time in seconds and a picture (H, W, 3) RGB, all of one size; returns their number.

    Times count from the first picture. An odd width or height is padded by one black pixel.
    """
    count, last_pts, first_s = 0, -1, 0.0
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", options={"crf": str(QUALITY), "preset": "veryfast"})
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS_PER_S)
        for time_s, pixels in frames:
            height, width = pixels.shape[:2]
            if count == 0:
                stream.height, stream.width = height + height % 2, width + width % 2
                first_s = time_s
            even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)))
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
            last_pts = max(round((time_s - first_s) * TICKS_PER_S), last_pts + 1)
            picture.pts, picture.time_base = last_pts, Fraction(1, TICKS_PER_S)
            container.mux(stream.encode(picture))
            count += 1
        if count:
            container.mux(stream.encode(None))
    return count
