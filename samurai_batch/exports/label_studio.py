"""Label Studio: rectangles through videos, and brush masks on pictures; it has no masks in videos.

    label-studio          ``tasks.json``: a ``videorectangle`` for each object, a keyframe for each row
    label-studio-brush    ``tasks.json`` and ``images/``: a task for each frame, brush masks in Label Studio's RLE

Both come with ``label_config.xml``, the labeling interface; its labels are the object ids. Masks are predictions, which
Label Studio shows as editable pre-annotations. Frames count from 1 there, boxes are in percent of the picture.
Local files are named as Label Studio's local storage serves them (``/data/local-files/?d=...``): videos below the root
folder ``/``, pictures below the folder of the export.
"""

import json
from collections.abc import Iterable
from typing import Any
from xml.sax.saxutils import quoteattr

from samurai_batch.exports.brush_rle import encode_brush
from samurai_batch.exports.pictures import frame_pictures, picture_name
from samurai_batch.exports.video_masks import Files, MaskOnFrame, VideoMasks
from samurai_batch.prompts import Rle
from samurai_batch.rle import areas_and_boxes, decode_mask
from samurai_batch.storage import is_remote, local_path

LOCAL_FILES = "/data/local-files/?d="
MODEL = "samurai_batch"

_VIDEO_CONFIG = """<View>
  <Labels name="label" toName="video">
{labels}
  </Labels>
  <Video name="video" value="$video"/>
  <VideoRectangle name="box" toName="video"/>
</View>
"""
_BRUSH_CONFIG = """<View>
  <Image name="image" value="$image" zoom="true"/>
  <BrushLabels name="brush" toName="image">
{labels}
  </BrushLabels>
  <RectangleLabels name="box" toName="image">
{labels}
  </RectangleLabels>
</View>
"""


def label_studio(videos: Iterable[VideoMasks]) -> Files:
    """``tasks.json`` with a task for each video, and ``label_config.xml``."""
    tasks: list[dict[str, Any]] = []
    labels: set[str] = set()
    for number, video in enumerate(videos, start=1):
        labels.update(video.object_ids)
        data = {"video": _address(video.uri or video.video_id), **_identity(video)}
        results = [_rectangles(video, object_id, masks, f"{number}-{place}") for place, (object_id, masks) in
                   enumerate(video.tracks(), start=1) if any(mask.rle for mask in masks)]  # fmt: skip
        tasks.append({"data": data, "predictions": [{"model_version": MODEL, "result": results}]})
    yield "tasks.json", json.dumps(tasks, ensure_ascii=False, allow_nan=False).encode()
    yield "label_config.xml", _config(_VIDEO_CONFIG, labels)


def label_studio_brush(videos: Iterable[VideoMasks]) -> Files:
    """``tasks.json`` with a task for each frame that has a row, its pictures, and ``label_config.xml``."""
    tasks: list[dict[str, Any]] = []
    labels: set[str] = set()
    for video in videos:
        labels.update(video.object_ids)
        for frame_index, masks in video.frames():
            name = f"images/{picture_name(video.video_id, frame_index)}"
            data = {"image": LOCAL_FILES + name, **_identity(video), "frame_index": frame_index}
            results = [_brush(mask.object_id, mask.rle, f"{len(tasks)}-{place}") for place, mask in
                       enumerate(masks, start=1) if mask.rle is not None]  # fmt: skip
            tasks.append({"data": data, "predictions": [{"model_version": MODEL, "result": results}]})
        yield from ((f"images/{name}", picture) for name, picture in frame_pictures(video))
    yield "tasks.json", json.dumps(tasks, ensure_ascii=False, allow_nan=False).encode()
    yield "label_config.xml", _config(_BRUSH_CONFIG, labels)


def _identity(video: VideoMasks) -> dict[str, Any]:
    """What Label Studio keeps with a task, and exports again: whose masks these are, and their size in pixels."""
    return {"video_id": video.video_id, "width": video.width, "height": video.height}


def _address(uri: str) -> str:
    return uri if is_remote(uri) else LOCAL_FILES + str(local_path(uri)).lstrip("/")


def _rectangles(video: VideoMasks, object_id: str, masks: list[MaskOnFrame], result_id: str) -> dict[str, Any]:
    present = [(mask.frame_index, mask.rle) for mask in masks if mask.rle is not None]
    frames = {frame for frame, _ in present}
    times = dict(zip(video.rows["frame_index"].tolist(), video.rows["timestamp_s"].tolist(), strict=True))
    boxes = areas_and_boxes([rle for _, rle in present])[1].tolist()
    sequence = [
        {
            "frame": frame + 1,
            "time": times[frame],
            "enabled": frame + 1 in frames,  # a keyframe that is not enabled is the last before a gap
            "rotation": 0,
            **_percent(box, video.width, video.height),
        }
        for (frame, _), box in zip(present, boxes, strict=True)
    ]
    duration_s = video.frame_s * video.num_frames
    value = {
        "framesCount": video.num_frames,
        "duration": duration_s,
        "sequence": sequence,
        "labels": [object_id],
    }
    return {"id": result_id, "type": "videorectangle", "from_name": "box", "to_name": "video", "value": value}


def _brush(object_id: str, rle: Rle, result_id: str) -> dict[str, Any]:
    value = {"format": "rle", "rle": encode_brush(decode_mask(rle)), "brushlabels": [object_id]}
    size = {"original_width": rle.width, "original_height": rle.height, "image_rotation": 0}
    names = {"type": "brushlabels", "from_name": "brush", "to_name": "image"}
    return {"id": result_id, **names, **size, "value": value}


def _percent(box_xywh: list[float], width: int, height: int) -> dict[str, float]:
    left, top, box_width, box_height = box_xywh
    horizontal = {"x": 100 * left / width, "width": 100 * box_width / width}
    return {**horizontal, "y": 100 * top / height, "height": 100 * box_height / height}


def _config(template: str, labels: set[str]) -> bytes:
    lines = [f"    <Label value={quoteattr(label)}/>" for label in sorted(labels)]
    return template.format(labels="\n".join(lines)).encode()
