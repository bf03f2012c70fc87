"""Masks, ids, boxes, predictions and scores over a frame."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from samurai_batch.rendering.overlay import COLOURS, OPACITY
from samurai_batch.tasks import Box

Pixels = NDArray[np.uint8]

_DASH_PX = 6


@dataclass(frozen=True, eq=False)
class Annotation:
    """One object on one frame: ``mask`` (H, W) bool or None if it is absent, boxes xyxy in pixels of the video.

    A box ends behind its last pixel. ``number`` chooses the colour and is the same on all frames; ``label`` is the
    text at the box.
    """

    number: int
    label: str
    mask: NDArray[np.bool_] | None
    box_xyxy: Box | None = None
    predicted_xyxy: Box | None = None


def annotate(frame: Pixels, annotations: Sequence[Annotation], text_px: float | None = None) -> Pixels:
    """A copy of the frame (H, W, 3) RGB with the annotations drawn on it; dashed is what the motion model expected.

    Each object has a colour and its name in writing, so that colour alone never tells. ``text_px`` is the
    size of the writing.
    """
    picture = frame.astype(np.float32)
    for one in annotations:
        if one.mask is not None:
            colour = np.array(COLOURS[one.number % len(COLOURS)], np.float32)
            picture[one.mask] = (1 - OPACITY) * picture[one.mask] + OPACITY * colour
            picture[one.mask & ~ndimage.binary_erosion(one.mask)] = 255
    image = Image.fromarray(picture.round().astype(np.uint8))
    canvas = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=text_px or max(frame.shape[0] // 34, 10))
    for one in annotations:
        _draw_boxes(canvas, one)
    absent_at = 2.0
    for one in annotations:
        absent_at += _draw_label(canvas, font, one, absent_at)
    return np.asarray(image).copy()


def _draw_boxes(canvas: ImageDraw.ImageDraw, one: Annotation) -> None:
    colour = COLOURS[one.number % len(COLOURS)]
    if one.box_xyxy is not None:
        x0, y0, x1, y1 = one.box_xyxy
        canvas.rectangle((x0, y0, x1 - 1, y1 - 1), outline=colour, width=2)
    if one.predicted_xyxy is not None:
        x0, y0, x1, y1 = one.predicted_xyxy
        x1, y1 = x1 - 1, y1 - 1
        for start, end in (((x0, y0), (x1, y0)), ((x1, y0), (x1, y1)), ((x1, y1), (x0, y1)), ((x0, y1), (x0, y0))):
            _dashed(canvas, start, end)


def _dashed(canvas: ImageDraw.ImageDraw, start: tuple[float, float], end: tuple[float, float]) -> None:
    length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
    for begin in np.arange(0.0, length, 2 * _DASH_PX).tolist():
        shares = begin / length, min(begin + _DASH_PX, length) / length
        points = [(start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share) for share in shares]
        canvas.line(points, fill=(255, 255, 255), width=2)


def _draw_label(
    canvas: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    one: Annotation,
    absent_at: float,
) -> float:
    """Write the label above its box, or in the upper left corner if the object is absent; returns the height used."""
    _, _, width, height = canvas.textbbox((0, 0), one.label, font=font)
    if one.box_xyxy is None:
        x, y = 2.0, absent_at
    else:
        x = min(max(one.box_xyxy[0], 0), max(canvas.im.size[0] - width - 6, 0))
        y = one.box_xyxy[1] - height - 6
        y = y if y >= 0 else min(one.box_xyxy[1], canvas.im.size[1] - height - 6)
    canvas.rectangle((x, y, x + width + 6, y + height + 4), fill=(0, 0, 0))
    canvas.rectangle((x, y, x + 3, y + height + 4), fill=COLOURS[one.number % len(COLOURS)])
    canvas.text((x + 5, y + 1), one.label, fill=(255, 255, 255), font=font)
    return height + 6 if one.box_xyxy is None else 0
