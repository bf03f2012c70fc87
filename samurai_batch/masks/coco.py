"""Mask rows as a COCO data set."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from samurai_batch.rle import areas_and_boxes, rle_from_coco, rle_to_coco

CATEGORY = {"id": 1, "name": "object"}


def frame_file_name(video_id: str, frame_index: int) -> str:
    """The file name of a frame in exports."""
    return f"{video_id}/{frame_index:05d}.jpg"


def coco_annotations(rows: pd.DataFrame) -> dict[str, Any]:
    """Images, annotations and categories of mask rows, in JSON's types.

    Ids count from 1 in the order of the rows; every frame with a row is an image, even if all objects are absent.
    Annotations name their object by ``video_id``, ``object_id`` and a ``track_id`` that is unique in the data set.
    """
    images: dict[tuple[str, int], dict[str, Any]] = {}
    track_ids: dict[tuple[str, str], int] = {}
    annotations: list[dict[str, Any]] = []
    for row in rows.to_dict("records"):
        video_id, object_id, frame_index = str(row["video_id"]), str(row["object_id"]), int(row["frame_index"])
        image = images.setdefault(
            (video_id, frame_index),
            {
                "id": len(images) + 1,
                "file_name": frame_file_name(video_id, frame_index),
                "height": int(row["height"]),
                "width": int(row["width"]),
                "video_id": video_id,
                "frame_index": frame_index,
            },
        )
        track_id = track_ids.setdefault((video_id, object_id), len(track_ids) + 1)
        if isinstance(row["segmentation"], Mapping):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image["id"],
                    "category_id": CATEGORY["id"],
                    **mask_fields(row["segmentation"]),
                    "iscrowd": 0,
                    "score": float(row["mask_score"]),
                    "video_id": video_id,
                    "object_id": object_id,
                    "track_id": track_id,
                }
            )
    return {"images": list(images.values()), "annotations": annotations, "categories": [CATEGORY]}


def mask_fields(segmentation: Mapping[str, object]) -> dict[str, Any]:
    """``segmentation``, ``area`` and ``bbox`` of one mask, in JSON's types."""
    rle = rle_from_coco(segmentation)
    areas, boxes = areas_and_boxes([rle])
    return {"segmentation": rle_to_coco(rle), "area": int(areas[0]), "bbox": boxes[0].tolist()}
