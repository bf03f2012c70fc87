"""``df.masks``: the masks of a DataFrame of mask rows as arrays, boxes, areas, IoUs and COCO annotations."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pycocotools.mask as coco
from numpy.typing import NDArray

from samurai_batch.errors import ConfigError
from samurai_batch.geometry import to_xyxy
from samurai_batch.masks.coco import coco_annotations
from samurai_batch.prompts import Rle
from samurai_batch.rle import decode_mask, rle_from_coco, rle_to_coco

KEYS = ["video_id", "object_id", "frame_index"]
_BOX_COLUMNS = ["bbox_x", "bbox_y", "bbox_w", "bbox_h"]


@pd.api.extensions.register_dataframe_accessor("masks")
class MasksAccessor:
    """The masks of N rows, in the rows' order; rows may be filtered, sorted or joined before.

        table = read_masks("out")
        for mask in table.masks: ...                # (H, W) bool, row by row
        json.dumps(table.masks.to_coco())           # COCO, in JSON's types

    A method needs the columns it reads: ``segmentation``, ``height`` and ``width`` for masks, the ``bbox_`` columns
    for boxes, ``area`` for areas. Raises ConfigError if they are missing, or damaged.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def __len__(self) -> int:
        return len(self._frame)

    def __iter__(self) -> Iterator[NDArray[np.bool_]]:
        """The (H, W) bool mask of each row; all False if the object is absent."""
        for position in range(len(self._frame)):
            yield self.decode(position)

    def decode(self, position: int) -> NDArray[np.bool_]:
        """The (H, W) bool mask of the row at ``position``, counted from 0; all False if the object is absent."""
        rle = self._rle(position)
        if rle is None:
            row = self._columns("height", "width").iloc[position]
            return np.zeros((int(row["height"]), int(row["width"])), np.bool_)
        return decode_mask(rle)

    def boxes(self) -> NDArray[np.float64]:
        """(N, 4) boxes x0, y0, x1, y1 in pixels of the video, the far corner after the last pixel; NaN if absent."""
        return to_xyxy(self._columns(*_BOX_COLUMNS).to_numpy(np.float64, na_value=np.nan))

    def areas(self) -> NDArray[np.int64]:
        """(N,) pixels; 0 if absent."""
        return self._columns("area")["area"].to_numpy(np.int64)

    def iou(self, other: pd.DataFrame) -> "pd.Series[float]":
        """Intersection over union with the mask of the same video, object and frame in ``other``, for each row.

        1 if both are absent, 0 if one is; NaN if ``other`` has no such row.
        """
        if other.duplicated(KEYS).any():
            raise ConfigError("other has several rows for one video, object and frame; keep one of each")
        position_in_other = {key: position for position, key in enumerate(_keys(other))}
        positions = [position_in_other.get(key) for key in _keys(self._columns(*KEYS))]
        other_masks = MasksAccessor(other)
        values = [
            np.nan if match is None else _overlap(self._rle(position), other_masks._rle(match))
            for position, match in enumerate(positions)
        ]
        return pd.Series(values, index=self._frame.index, name="iou", dtype=np.float64)

    def to_coco(self) -> dict[str, Any]:
        """A COCO data set (images, annotations, categories) of these rows, ready for ``json.dump``.

        ``json.dumps(row.segmentation)`` fails, because pandas reads its ``size`` as an array. For one mask, use
        ``table.iloc[[0]].masks.to_coco()["annotations"][0]["segmentation"]``.
        An image is a frame of a video, an annotation a present mask; its ``track_id`` is the object's number.
        """
        return coco_annotations(self._columns(*KEYS, "height", "width", "segmentation", "mask_score"))

    def _rle(self, position: int) -> Rle | None:
        value = self._columns("segmentation")["segmentation"].iloc[position]
        if not isinstance(value, Mapping):
            return None
        try:
            return rle_from_coco(value)
        except ValueError as error:
            raise ConfigError(f"the mask of row {position} is damaged: {error}; read it again") from error

    def _columns(self, *names: str) -> pd.DataFrame:
        missing = [name for name in names if name not in self._frame.columns]
        if missing:
            raise ConfigError(f"this needs the column(s) {', '.join(missing)} of a mask table; read them as well")
        return self._frame[list(names)]


def _keys(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    return list(frame[KEYS].itertuples(index=False, name=None))


def _overlap(one: Rle | None, other: Rle | None) -> float:
    if one is None or other is None:
        return float(one is other)
    if (one.height, one.width) != (other.height, other.width):
        sizes = f"{one.width}x{one.height} and {other.width}x{other.height} pixels"
        raise ConfigError(f"masks of {sizes} cannot be compared; they are of different videos")
    return float(coco.iou([rle_to_coco(one)], [rle_to_coco(other)], [False])[0, 0])
