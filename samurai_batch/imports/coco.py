"""Prompts from COCO's JSON: masks (run lengths or polygons), else boxes.

An image is a frame by its ``frame_index`` or ``frame_id``, or by its file name (`Videos.frame_of`). An object is
``object_id``, else ``track_id`` (of the annotation or of its ``attributes``); without both, every annotation is an
object of its own, called by its id.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from samurai_batch.exports.outlines import polygon_mask
from samurai_batch.imports.prompts import ImportedPrompts, Videos
from samurai_batch.prompts import Rle
from samurai_batch.rle import areas_and_boxes, rle_from_coco


def read_coco(content: Mapping[str, Any], videos: Videos) -> ImportedPrompts:
    """The prompts of a file. Raises ValueError if a mask is damaged."""
    found = ImportedPrompts()
    images = {image["id"]: image for image in content["images"]}
    for annotation in content["annotations"]:
        image = images.get(annotation.get("image_id"))
        attributes = annotation.get("attributes") or {}
        if image is None:
            found.leave_out("annotations whose image is not in the file")
        elif attributes.get("keyframe") is False:
            found.leave_out("interpolated shapes (keyframes are taken)")
        else:
            names = annotation.get("object_id"), annotation.get("track_id"), attributes.get("track_id")
            object_id = next((str(name) for name in names if name is not None), str(annotation.get("id")))
            _read_annotation(annotation, image, object_id, videos, found)
    return found


def _read_annotation(
    annotation: Mapping[str, Any], image: Mapping[str, Any], object_id: str, videos: Videos, found: ImportedPrompts
) -> None:
    video_id, frame_index = _frame_of(image, videos)
    mask = _mask(annotation.get("segmentation"), int(image.get("height") or 0), int(image.get("width") or 0))
    if mask is not None:
        is_empty = not areas_and_boxes([mask])[0][0]
        found.add_mask((video_id, object_id), frame_index, None if is_empty else mask)
    elif annotation.get("bbox"):
        x, y, width, height = map(float, annotation["bbox"])
        found.add_box((video_id, object_id), frame_index, (x, y, x + width, y + height))
    else:
        found.leave_out("annotations with neither a mask nor a box")


def _frame_of(image: Mapping[str, Any], videos: Videos) -> tuple[str, int]:
    name = str(image.get("file_name", ""))
    for key in ("frame_index", "frame_id"):
        if key in image:
            path = PurePosixPath(name)
            return videos.id_of(str(image.get("video_id", path.parent.name or path.stem)), name), int(image[key])
    return videos.frame_of(name)


def _mask(segmentation: object, height: int, width: int) -> Rle | None:
    if isinstance(segmentation, Mapping):
        return rle_from_coco(segmentation)
    if isinstance(segmentation, list) and segmentation:
        return polygon_mask(segmentation, height, width)
    return None
