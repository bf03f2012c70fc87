"""The rows of one video for the exports: by frame and object, with checked masks."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from samurai_batch.errors import ConfigError
from samurai_batch.geometry import num_shared_pixels, to_label_map
from samurai_batch.prompts import Rle
from samurai_batch.rle import decode_mask, rle_from_coco

Files = Iterator[tuple[str, bytes]]
"""What a format makes: names of files, as paths below the output, and their content."""

MAX_LABELS = 254  # 0 is the background, 255 is void


@dataclass(frozen=True)
class MaskOnFrame:
    """One row: ``rle`` is None where the object is absent."""

    object_id: str
    frame_index: int
    rle: Rle | None
    score: float


@dataclass(frozen=True, eq=False)
class VideoMasks:
    """All rows of one video, or those of some frames.

    ``num_frames`` is one more than the last frame of the video that has a row. ``uri`` is where the video is, or "" if
    that is not known.
    """

    video_id: str
    height: int
    width: int
    rows: pd.DataFrame
    num_frames: int
    uri: str = ""

    @classmethod
    def of_rows(cls, video_id: str, rows: pd.DataFrame, uri: str = "") -> "VideoMasks":
        """Rows of a mask table of one video, in any order; at least one."""
        ordered = rows.sort_values(["frame_index", "object_id"], ignore_index=True)
        height, width, last = int(rows["height"].iloc[0]), int(rows["width"].iloc[0]), int(rows["frame_index"].max())
        return cls(video_id, height, width, ordered, last + 1, uri)

    def at(self, places: Collection[tuple[str, int]]) -> "VideoMasks":
        """The rows of these object ids and frames alone."""
        wanted = set(places)
        pairs = zip(self.rows["object_id"], self.rows["frame_index"], strict=True)
        return replace(self, rows=self.rows[[pair in wanted for pair in pairs]].reset_index(drop=True))

    def tracks(self) -> Iterator[tuple[str, list["MaskOnFrame"]]]:
        """Each object with its masks by frame, absent ones too; objects in the order of `object_ids`."""
        by_object: dict[str, list[MaskOnFrame]] = {object_id: [] for object_id in self.object_ids}
        for mask in self.masks():
            by_object[mask.object_id].append(mask)
        return iter(by_object.items())

    @property
    def frame_s(self) -> float:
        """The mean time from one frame to the next, in seconds; 0 if all rows are of one frame."""
        times = self.rows.sort_values("frame_index")
        span = float(times["timestamp_s"].iloc[-1] - times["timestamp_s"].iloc[0])
        steps = int(times["frame_index"].iloc[-1] - times["frame_index"].iloc[0])
        return span / steps if steps else 0.0

    @property
    def object_ids(self) -> list[str]:
        """The object ids: numbers in ascending order, then other texts."""
        return in_order(str(object_id) for object_id in self.rows["object_id"].unique())

    def labels(self) -> dict[str, int]:
        """A label from 1 to 254 for each object: its id if all ids are such numbers, else its position, counted from 1.

        Raises ConfigError if there are more objects than labels.
        """
        ids = self.object_ids
        if len(ids) > MAX_LABELS:
            remedy = "export some of the objects, or another format"
            raise ConfigError(f"{self.video_id}: {len(ids)} objects, but a PNG has {MAX_LABELS} labels; {remedy}")
        return self.numbers(most=MAX_LABELS)

    def numbers(self, most: float = inf) -> dict[str, int]:
        """A number from 1 for each object: its id if all ids are such numbers up to ``most``, else its position."""
        return numbers_of(self.object_ids, most)

    def masks(self) -> Iterator[MaskOnFrame]:
        """Every row, by frame and object."""
        return (_mask_of(row) for row in self.rows.to_dict("records"))

    def frames(self) -> Iterator[tuple[int, list[MaskOnFrame]]]:
        """The present masks of each frame that has a row."""
        for _, rows in self.rows.groupby("frame_index"):
            masks = [_mask_of(row) for row in rows.to_dict("records")]
            yield masks[0].frame_index, [mask for mask in masks if mask.rle is not None]

    def label_map(self, masks: list[MaskOnFrame], labels: Mapping[str, int]) -> tuple[NDArray[np.uint8], int]:
        """One label per pixel, (H, W) uint8, and the number of pixels on which masks overlap.

        On such pixels the mask with the higher score wins.
        """
        decoded = [decode_mask(mask.rle) for mask in masks if mask.rle is not None]
        chosen = [labels[mask.object_id] for mask in masks]
        scores = [mask.score for mask in masks]
        return to_label_map(decoded, chosen, scores, self.height, self.width), num_shared_pixels(decoded)


def in_order(object_ids: Iterable[str]) -> list[str]:
    """The distinct ids: numbers in ascending order, then other texts."""
    return sorted(set(object_ids), key=lambda text: (not text.isdecimal(), int(text) if text.isdecimal() else 0, text))


def numbers_of(object_ids: Iterable[str], most: float = inf) -> dict[str, int]:
    """A number from 1 for each id: the id itself if all are such numbers up to ``most``, else its place in order."""
    ids = in_order(object_ids)
    if all(text.isdecimal() and text == str(int(text)) and 1 <= int(text) <= most for text in ids):
        return {text: int(text) for text in ids}
    return {text: number for number, text in enumerate(ids, start=1)}


def _mask_of(row: Mapping[Any, Any]) -> MaskOnFrame:
    segmentation = row["segmentation"]
    rle = rle_from_coco(segmentation) if isinstance(segmentation, Mapping) else None
    return MaskOnFrame(str(row["object_id"]), int(row["frame_index"]), rle, float(row["mask_score"]))
