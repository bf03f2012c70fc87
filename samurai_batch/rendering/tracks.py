"""The tracks of one video as annotations, frame by frame."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from samurai_batch.errors import ConfigError
from samurai_batch.masks import read_masks
from samurai_batch.rendering.annotate import Annotation
from samurai_batch.rle import decode_mask, rle_from_coco
from samurai_batch.tasks import Box


class RenderedTracks:
    """What to draw on each frame of one video."""

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
        """The tracks of a video in an output folder. Raises ConfigError if there is none."""
        rows = read_masks(masks_uri, videos=[video_id], objects=objects)
        if rows.empty:
            raise ConfigError(f"{video_id}: no finished track to draw; `samurai-batch status` tells what there is")
        return cls(rows)

    @property
    def frames(self) -> range:
        """From the first to the last frame with a row."""
        return range(int(self._rows["frame_index"].min()), int(self._rows["frame_index"].max()) + 1)

    def on(self, frame_index: int, object_id: str | None = None) -> list[Annotation]:
        """What to draw on a frame, by object; of one object alone if it is given."""
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
    if not isinstance(row["segmentation"], Mapping):
        return f"{object_id} absent, object {row['object_score']:.1f}"
    motion = "" if pd.isna(row["motion_score"]) else f" motion {row['motion_score']:.2f}"
    prompted = " prompt" if row["prompted"] else ""
    return f"{object_id} mask {row['mask_score']:.2f}{motion}{prompted}"


def _box(row: Mapping[Any, Any], name: str) -> Box | None:
    """A COCO box of the table as xyxy; None where there is none, or the table is of a version without it."""
    if pd.isna(row[f"{name}_x"]):
        return None
    x, y, width, height = (float(row[f"{name}_{axis}"]) for axis in "xywh")
    return x, y, x + width, y + height
