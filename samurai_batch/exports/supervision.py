"""supervision: the rows of one frame as ``supervision.Detections``.

Masks stay run lengths (`supervision.CompactMask`) until one of them is decoded.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from samurai_batch.errors import ConfigError
from samurai_batch.exports.video_masks import numbers_of
from samurai_batch.geometry import to_xyxy

if TYPE_CHECKING:
    import supervision

_COLUMNS = (
    "video_id", "object_id", "frame_index", "height", "width", "segmentation",
    "bbox_x", "bbox_y", "bbox_w", "bbox_h", "mask_score",
)  # fmt: skip


def to_supervision(table: pd.DataFrame, frame_index: int) -> "supervision.Detections":
    """The objects that are present on a frame of one video, out of its mask rows (`samurai_batch.read_masks`).

    ``tracker_id`` is the object's number: its id if all ids of the table are numbers from 1, else the position of its
    id in order, from 1. It is the same on every frame of the same table. ``data["object_id"]`` holds the ids,
    ``confidence`` the mask scores, ``class_id`` is 0. Boxes are x0, y0, x1, y1 in pixels, the far corner after the
    last pixel. Raises ConfigError if the table has several videos, lacks a column, or supervision is not installed.
    """
    try:
        import supervision
        from supervision.detection.compact_mask import CompactMask
    except ImportError as error:
        raise ConfigError("supervision is not installed, or is older than 0.29; pip install supervision") from error
    rows, numbers = _present(table, frame_index)
    if rows.empty:
        return supervision.Detections.empty()
    size = int(rows["height"].iloc[0]), int(rows["width"].iloc[0])
    boxes = rows[["bbox_x", "bbox_y", "bbox_w", "bbox_h"]].to_numpy(np.float32)
    corners = to_xyxy(boxes)
    inclusive = corners - np.array([0, 0, 1, 1], np.float32)  # as CompactMask counts: the last pixel is part of the box
    object_ids = rows["object_id"].astype(str).tolist()
    return supervision.Detections(
        xyxy=corners,
        mask=CompactMask.from_coco_rle(rows["segmentation"].tolist(), inclusive, size),
        confidence=rows["mask_score"].to_numpy(np.float32),
        class_id=np.zeros(len(rows), np.int64),
        tracker_id=np.array([numbers[one] for one in object_ids], np.int64),
        data={"object_id": np.array(object_ids)},
    )


def _present(table: pd.DataFrame, frame_index: int) -> tuple[pd.DataFrame, Mapping[str, int]]:
    """The rows of the objects that are there, and the number of every object of the table."""
    missing = [name for name in _COLUMNS if name not in table.columns]
    if missing:
        raise ConfigError(f"this needs the column(s) {', '.join(missing)} of a mask table; read them as well")
    videos = table["video_id"].unique()
    if len(videos) > 1:
        raise ConfigError(f"the table has {len(videos)} videos; choose one: table[table.video_id == ...]")
    numbers = numbers_of({str(one) for one in table["object_id"].unique()})
    of_frame: Any = table[table["frame_index"] == frame_index]
    return of_frame[[isinstance(mask, Mapping) for mask in of_frame["segmentation"]]], numbers
