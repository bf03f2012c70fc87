"""Prompts from COCO's JSON: masks (run lengths or polygons), else boxes.

An image is a frame by its ``frame_index``, or by a number at the end of its file name; without one it is a picture, a
video of one frame. An object is ``object_id``, else ``track_id`` (of the annotation or of its ``attributes``); without
both, every annotation is an object of its own, called by its id.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from samurai_batch.exports.outlines import polygon_mask
from samurai_batch.imports.prompts import ImportedPrompts, Videos
from samurai_batch.rle import areas_and_boxes, rle_from_coco
from samurai_batch.storage import file_name
from samurai_batch.tasks import Rle

_NUMBER = re.compile(r"(.*?)[_-]?(\d+)")


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
    video, frame_index = frame_of(image)
    video_id = videos.id_of(video, str(image.get("file_name", "")))
    mask = _mask(annotation.get("segmentation"), int(image.get("height") or 0), int(image.get("width") or 0))
    if mask is not None:
        is_empty = not areas_and_boxes([mask])[0][0]
        found.add_mask(video_id, object_id, frame_index, None if is_empty else mask)
    elif annotation.get("bbox"):
        x, y, width, height = map(float, annotation["bbox"])
        found.add_box(video_id, object_id, frame_index, (x, y, x + width, y + height))
    else:
        found.leave_out("annotations with neither a mask nor a box")


def frame_of(image: Mapping[str, Any]) -> tuple[str, int]:
    """The video's name and the frame index of an image."""
    name = str(image.get("file_name", ""))
    path = PurePosixPath(name)
    numbered = _NUMBER.fullmatch(path.stem)
    for key in ("frame_index", "frame_id"):
        if key in image:
            return str(image.get("video_id", path.parent.name or path.stem)), int(image[key])
    if numbered is None:
        return file_name(name), 0
    return path.parent.name or numbered[1] or file_name(name), int(numbered[2])


def _mask(segmentation: object, height: int, width: int) -> Rle | None:
    if isinstance(segmentation, Mapping):
        return rle_from_coco(segmentation)
    if isinstance(segmentation, list) and segmentation:
        return polygon_mask(segmentation, height, width)
    return None
