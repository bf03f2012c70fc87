"""The tracks of a video as annotations, and annotations drawn over a frame: masks, boxes, predictions and labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from samurai_batch.errors import ConfigError
from samurai_batch.masks import read_masks
from samurai_batch.prompts import Box
from samurai_batch.rle import decode_mask, rle_from_coco

Pixels = NDArray[np.uint8]

# Okabe and Ito's palette, told apart with any kind of colour vision: https://jfly.uni-koeln.de/color/
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
OPACITY = 0.45
_DASH_PX = 6


@dataclass(frozen=True, eq=False)
class Annotation:
    """One object on one frame: ``mask`` (H, W) bool, or None if it is absent; boxes xyxy in pixels of the video.

    A box ends after its last pixel. ``number`` chooses the colour, the same on all frames. ``label`` is the text at
    the box, or in the upper left corner if the object is absent; "" draws none.
    """

    number: int
    label: str
    mask: NDArray[np.bool_] | None
    box_xyxy: Box | None = None
    predicted_xyxy: Box | None = None


def annotate(frame: Pixels, annotations: Sequence[Annotation], text_px: float | None = None) -> Pixels:
    """A copy of the frame (H, W, 3) RGB with the annotations: tinted masks, boxes, dashed Kalman predictions, labels.

    Later annotations are on top. ``text_px`` is the height of the labels' text.
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
    """Draw the label above its box, or at ``absent_at`` px if the object is absent; returns the height used there."""
    if not one.label:
        return 0.0
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


class RenderedTracks:
    """The annotations of one video's tracks, frame by frame."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.object_ids = sorted(rows["object_id"].unique().tolist(), key=lambda text: (len(text), text))
        self._numbers = {object_id: number for number, object_id in enumerate(self.object_ids)}
        order = rows["object_id"].map(self._numbers).argsort(kind="stable")
        self._rows = rows.iloc[order].reset_index(drop=True)
        self._object_of: list[str] = self._rows["object_id"].tolist()
        self._by_frame: dict[int, list[int]] = {}
        for place, frame_index in enumerate(self._rows["frame_index"].tolist()):
            self._by_frame.setdefault(frame_index, []).append(place)

    @classmethod
    def read(cls, masks_uri: str, video_id: str, objects: list[str] | None = None) -> "RenderedTracks":
        """The tracks of a video in an output folder. Raises ConfigError if it has no finished track."""
        rows = read_masks(masks_uri, videos=[video_id], objects=objects)
        if rows.empty:
            raise ConfigError(f"{video_id}: no finished track to draw; `samurai-batch status` lists the tracks")
        return cls(rows)

    @property
    def frames(self) -> range:
        """From the first to the last frame with a row."""
        return range(int(self._rows["frame_index"].min()), int(self._rows["frame_index"].max()) + 1)

    def tracked_frames(self, span: range) -> list[int]:
        """The frames within ``span`` with a row that is not interpolated, ascending."""
        tracked = self._rows.loc[~self._rows["interpolated"].isin([True]), "frame_index"]
        return [index for index in sorted(set(tracked.tolist())) if index in span]

    def moving_frames(self, span: range) -> list[int]:
        """The frames within ``span`` to show as a video, in which no mask flickers where only every n-th is tracked.

        Left out are those without a row between two frames with rows that are at most the median distance apart.
        """
        indices = np.array(sorted(self._by_frame))
        steps = np.diff(indices)
        is_usual = steps <= np.median(steps) if len(steps) else steps
        left_out: set[int] = set()
        for index, step in zip(indices[:-1][is_usual], steps[is_usual], strict=True):
            left_out.update(range(index + 1, index + step))
        return [index for index in span if index not in left_out]

    def on(self, frame_index: int, object_id: str | None = None) -> list[Annotation]:
        """The annotations of a frame, in the order of the objects; of one object only if it is given."""
        places = self._by_frame.get(frame_index, [])
        if object_id is not None:
            places = [place for place in places if self._object_of[place] == object_id]
        return [self._annotation(row) for row in self._rows.iloc[places].to_dict("records")]

    def _annotation(self, row: Mapping[Any, Any]) -> Annotation:
        object_id = str(row["object_id"])
        segmentation = row["segmentation"]
        present = isinstance(segmentation, Mapping)
        return Annotation(
            number=self._numbers[object_id],
            label=_label(object_id, row),
            mask=decode_mask(rle_from_coco(segmentation)) if present else None,
            box_xyxy=_box(row, "bbox"),
            predicted_xyxy=_box(row, "predicted"),
        )


def _label(object_id: str, row: Mapping[Any, Any]) -> str:
    if row["interpolated"] is True:
        return f"{object_id} interpolated"
    if not isinstance(row["segmentation"], Mapping):
        return f"{object_id} absent, object {row['object_score']:.1f}"
    motion = "" if pd.isna(row["motion_score"]) else f" motion {row['motion_score']:.2f}"
    prompted = " prompt" if row["prompted"] else ""
    return f"{object_id} mask {row['mask_score']:.2f}{motion}{prompted}"


def _box(row: Mapping[Any, Any], name: str) -> Box | None:
    """A COCO box of the table as xyxy; None if it is null, as in tables of versions without the column."""
    if pd.isna(row[f"{name}_x"]):
        return None
    x, y, width, height = (float(row[f"{name}_{axis}"]) for axis in "xywh")
    return x, y, x + width, y + height
