"""Prompts from Label Studio's JSON: rectangles through videos, and shapes on pictures of frames.

Annotations are taken; of a task without one, its predictions. A label is an object; if several rectangles of a video
have one label, an object is called ``<label>-<id of the region>``. Brush regions of one label on one picture are one
mask. Taken: rectangles, brushes, polygons (as masks), keypoints.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from samurai_batch.exports.brush_rle import decode_brush
from samurai_batch.exports.outlines import polygon_mask
from samurai_batch.imports.prompts import ImportedPrompts, Videos
from samurai_batch.prompts import MaskPrompt, Rle
from samurai_batch.rle import decode_mask, encode_mask
from samurai_batch.tasks import TrackId

_LABELS = ("labels", "rectanglelabels", "brushlabels", "polygonlabels", "keypointlabels")


def read_label_studio(tasks: list[Any], videos: Videos) -> ImportedPrompts:
    """The prompts of a file's tasks. Raises ValueError if they are not as Label Studio writes them."""
    found = ImportedPrompts()
    for task in tasks:
        data = task.get("data", {})
        results = list(_results(task, found))
        if any(result.get("type") == "videorectangle" for result in results):
            _read_video(data, results, videos, found)
        else:
            _read_picture(data, results, videos, found)
    return found


def _results(task: Mapping[str, Any], found: ImportedPrompts) -> Iterator[Mapping[str, Any]]:
    """The regions of the newest annotation of a task, or of its newest prediction."""
    annotations = [one for one in task.get("annotations") or [] if not one.get("was_cancelled")]
    chosen = annotations or list(task.get("predictions") or [])
    for older in chosen[:-1]:
        found.leave_out("regions of older annotations of the same task", len(older.get("result") or []))
    for result in chosen[-1].get("result") or [] if chosen else []:
        if isinstance(result.get("value"), Mapping):
            yield result
        else:
            found.leave_out("regions without a value, such as relations")


def _read_video(
    data: Mapping[str, Any], results: list[Mapping[str, Any]], videos: Videos, found: ImportedPrompts
) -> None:
    video_id = videos.id_of(str(data.get("video_id") or ""), str(data.get("video") or ""))
    height, width = _size(data) or videos.size(video_id)
    num_regions = Counter(_label(result) for result in results)
    for result in results:
        if result.get("type") != "videorectangle":
            found.leave_out(f"regions of type {result.get('type')}")
            continue
        label = _label(result)
        object_id = label if label and num_regions[label] == 1 else f"{label or 'region'}-{result.get('id', '')}"
        for keyframe in result["value"].get("sequence") or []:
            _add_rectangle(keyframe, (height, width), (video_id, object_id), int(keyframe["frame"]) - 1, found)


def _read_picture(
    data: Mapping[str, Any], results: list[Mapping[str, Any]], videos: Videos, found: ImportedPrompts
) -> None:
    name = str(data.get("image") or "")
    video_id, frame_index = videos.frame_of(name)
    if "frame_index" in data:  # as our own export writes it
        video_id, frame_index = videos.id_of(str(data.get("video_id") or ""), name), int(data["frame_index"])
    masks: dict[str, Rle] = {}
    for result in results:
        object_id, value = _label(result) or f"region-{result.get('id', '')}", result["value"]
        size = int(result.get("original_height") or 0), int(result.get("original_width") or 0)
        kind = str(result.get("type", "")).removesuffix("labels")
        if kind == "rectangle":
            _add_rectangle(value, size, (video_id, object_id), frame_index, found)
        elif kind == "brush" and value.get("format") == "rle":
            mask = decode_brush(value["rle"], *size)
            before = decode_mask(masks[object_id]) if object_id in masks else np.zeros_like(mask)
            if (rle := encode_mask(mask | before)) is not None:
                masks[object_id] = rle
        elif kind == "polygon":
            corners = [number for x, y in value["points"] for number in (x * size[1] / 100, y * size[0] / 100)]
            found.add_mask((video_id, object_id), frame_index, polygon_mask([corners], *size))
        elif kind == "keypoint":
            point = value["x"] * size[1] / 100, value["y"] * size[0] / 100
            found.add_points((video_id, object_id), frame_index, [point])
        else:
            found.leave_out(f"regions of type {result.get('type')}")
    for object_id, rle in masks.items():
        found.add((video_id, object_id), MaskPrompt(frame_index, rle))


def _add_rectangle(
    value: Mapping[str, Any], size: tuple[int, int], track_id: TrackId, frame_index: int, found: ImportedPrompts
) -> None:
    """A rectangle in percent of a picture of this height and width."""
    if float(value.get("rotation") or 0) % 360:
        found.leave_out("rotated rectangles")
        return
    height, width = size
    left, top = float(value["x"]) * width / 100, float(value["y"]) * height / 100
    right, bottom = left + float(value["width"]) * width / 100, top + float(value["height"]) * height / 100
    x1, y1, x2, y2 = (round(number, 6) for number in (left, top, right, bottom))
    found.add_box(track_id, frame_index, (x1, y1, x2, y2))


def _label(result: Mapping[str, Any]) -> str:
    for name in _LABELS:
        if labels := result["value"].get(name):
            return str(labels[0])
    return ""


def _size(data: Mapping[str, Any]) -> tuple[int, int] | None:
    """The height and width that our own export writes to the data of a task."""
    return (int(data["height"]), int(data["width"])) if data.get("height") and data.get("width") else None
