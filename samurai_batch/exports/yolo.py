"""YOLO's text files: a line for each object, numbers in units of the picture's width and height.

    yolo-seg      class, then the corners of a polygon: ``class x1 y1 x2 y2 ...``, for training segmentation
    yolo-track    ``class x y width height score track``, as ultralytics writes tracks: x, y are the centre

``labels/<video>_<frame>.txt``: frames count from 0 here. A frame with rows but without an object has an empty file. The
class of an object is its number in ``data.yaml``; in yolo-track the class is 0, "object", and the track is its number
in ``tracks.json``.
"""

import json
from collections.abc import Callable, Iterable

import yaml

from samurai_batch.exports.outlines import mask_outline
from samurai_batch.exports.video_masks import Files, MaskOnFrame, VideoMasks
from samurai_batch.prompts import Rle
from samurai_batch.rle import box_xywh_of, decode_mask
from samurai_batch.storage import quote_id


def yolo_seg(videos: Iterable[VideoMasks]) -> Files:
    """``labels/`` with polygons, and ``data.yaml`` with a class for each object id."""
    classes: dict[str, int] = {}

    def line(video: VideoMasks, mask: MaskOnFrame, rle: Rle) -> str:
        number = classes.setdefault(mask.object_id, len(classes))
        corners = mask_outline(decode_mask(rle)) / (video.width, video.height)
        return f"{number} " + " ".join(f"{value:.8g}" for value in corners.ravel().tolist())

    yield from _labels(videos, line)
    yield "data.yaml", _data({number: object_id for object_id, number in classes.items()})


def yolo_track(videos: Iterable[VideoMasks]) -> Files:
    """``labels/`` with boxes, scores and track numbers, ``data.yaml``, and ``tracks.json`` with their object ids."""
    tracks: dict[str, dict[str, int]] = {}

    def line(video: VideoMasks, mask: MaskOnFrame, rle: Rle) -> str:
        numbers = tracks.setdefault(video.video_id, video.numbers())
        left, top, width, height = box_xywh_of(rle)
        box = (left + width / 2) / video.width, (top + height / 2) / video.height, width / video.width
        values = [*box, height / video.height, mask.score]
        return f"0 {' '.join(f'{value:.8g}' for value in values)} {numbers[mask.object_id]}"

    yield from _labels(videos, line)
    yield "data.yaml", _data({0: "object"})
    yield "tracks.json", json.dumps(tracks, ensure_ascii=False, indent=1).encode()


def _labels(videos: Iterable[VideoMasks], line: Callable[[VideoMasks, MaskOnFrame, Rle], str]) -> Files:
    for video in videos:
        for frame_index, masks in video.frames():
            lines = [line(video, mask, mask.rle) + "\n" for mask in masks if mask.rle is not None]
            yield f"labels/{quote_id(video.video_id)}_{frame_index:06d}.txt", "".join(lines).encode()


def _data(names: dict[int, str]) -> bytes:
    return yaml.safe_dump(
        {"path": ".", "train": "images", "val": "images", "names": names}, allow_unicode=True
    ).encode()
