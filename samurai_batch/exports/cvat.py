"""CVAT: "CVAT for video 1.1" with a track for each object, and "CVAT for images 1.1" with pictures of single frames.

A label is an object id, so that it survives every edit in CVAT, and `samurai-batch prompts --from` finds it again. A
task for a file needs the labels that its ``meta`` lists; a file is uploaded to a task made from the same video.

    cvat           a track of boxes for each object
    cvat-polygon   a track of polygons; parts and holes are joined by bridges of no width
    cvat-mask      a mask for each frame; CVAT has no tracks of masks: in its own files each is a track of one frame
    cvat-images    masks on pictures: ``annotations.xml`` and ``images/``, for a task with exactly these frames

In a track every row is a keyframe, and the object is "outside" where it is absent or has no row.
"""

from collections.abc import Callable, Iterable, Iterator
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from samurai_batch.exports.outlines import mask_outline
from samurai_batch.exports.pictures import frame_pictures, picture_name
from samurai_batch.exports.video_masks import Files, MaskOnFrame, VideoMasks
from samurai_batch.prompts import Rle
from samurai_batch.rle import box_xywh_of, decode_mask
from samurai_batch.storage import file_name, quote_id

Draw = Callable[[Rle], tuple[str, dict[str, object]]]
"""The element of a shape, and its attributes."""


def cvat_boxes(videos: Iterable[VideoMasks]) -> Files:
    """``<video>.xml``: a track of boxes for each object."""
    return _video_files(videos, _box)


def cvat_polygons(videos: Iterable[VideoMasks]) -> Files:
    """``<video>.xml``: a track of polygons for each object."""
    return _video_files(videos, _polygon)


def cvat_masks(videos: Iterable[VideoMasks]) -> Files:
    """``<video>.xml``: a track of one frame for each mask."""
    for video in videos:
        tracks = [
            (object_id, [mask])
            for object_id, masks in video.tracks()
            for mask in masks
            if mask.rle is not None
        ]  # fmt: skip
        yield f"{quote_id(video.video_id)}.xml", _video_xml(video, tracks, _mask)


def cvat_images(videos: Iterable[VideoMasks]) -> Files:
    """``annotations.xml``, and ``images/<video>/<frame>.jpg`` for each frame with a row."""
    lines, labels, number = [], set(), 0
    for video in videos:
        labels.update(video.object_ids)
        for frame_index, masks in video.frames():
            name = picture_name(video.video_id, frame_index)
            size = {"width": video.width, "height": video.height}
            lines.append(f"  <image {_attributes({'id': number, 'name': name, **size})}>")
            lines += [f"    {_shape(mask.rle, _mask, label=mask.object_id)}" for mask in masks if mask.rle is not None]
            lines.append("  </image>")
            number += 1
        yield from ((f"images/{name}", data) for name, data in frame_pictures(video))
    meta = _meta("samurai_batch", number, "annotation", sorted(labels))
    yield "annotations.xml", _document([*meta, *lines])


def mask_attributes(mask: NDArray[np.bool_]) -> dict[str, object]:
    """A (H, W) mask that is not empty as CVAT has it: run lengths by row, background first, within its box."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    inside = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    changes = np.flatnonzero(np.diff(inside.ravel(), prepend=False)).tolist()
    runs = np.diff([0, *changes, inside.size]).tolist()
    box = {"left": left, "top": top, "width": inside.shape[1], "height": inside.shape[0]}
    return {"rle": ", ".join(map(str, runs)), **box}


def _video_files(videos: Iterable[VideoMasks], draw: Draw) -> Files:
    for video in videos:
        yield f"{quote_id(video.video_id)}.xml", _video_xml(video, video.tracks(), draw)


def _video_xml(video: VideoMasks, tracks: Iterable[tuple[str, list[MaskOnFrame]]], draw: Draw) -> bytes:
    size = [f"    <original_size><width>{video.width}</width><height>{video.height}</height></original_size>"]
    if video.uri:
        size.append(f"    <source>{escape(file_name(video.uri))}</source>")
    lines = _meta(video.video_id, video.num_frames, "interpolation", video.object_ids, size)
    number = 0
    for object_id, masks in tracks:
        shapes = list(_track_shapes(masks, video.num_frames, draw))
        if shapes:
            lines.append(f"  <track {_attributes({'id': number, 'label': object_id, 'source': 'file'})}>")
            lines += [f"    {shape}" for shape in shapes] + ["  </track>"]
            number += 1
    return _document(lines)


def _track_shapes(masks: list[MaskOnFrame], num_frames: int, draw: Draw) -> Iterator[str]:
    """A keyframe for each mask, and one "outside" after each run of frames with the object."""
    present = [mask for mask in masks if mask.rle is not None]
    ends = {mask.frame_index + 1 for mask in present} - {mask.frame_index for mask in present}
    for mask in present:
        assert mask.rle is not None
        next_frame = mask.frame_index + 1
        yield _shape(mask.rle, draw, frame=mask.frame_index, keyframe=1, outside=0)
        if next_frame in ends and next_frame < num_frames:
            yield _shape(mask.rle, draw, frame=next_frame, keyframe=1, outside=1)


def _shape(rle: Rle, draw: Draw, **attributes: object) -> str:
    tag, drawn = draw(rle)
    return f"<{tag} {_attributes({**attributes, 'occluded': 0, **drawn, 'z_order': 0})}></{tag}>"


def _box(rle: Rle) -> tuple[str, dict[str, object]]:
    left, top, width, height = box_xywh_of(rle)
    corners = zip(("xtl", "ytl", "xbr", "ybr"), (left, top, left + width, top + height), strict=True)
    return "box", {name: f"{value:.2f}" for name, value in corners}


def _polygon(rle: Rle) -> tuple[str, dict[str, object]]:
    corners = mask_outline(decode_mask(rle)).tolist()
    return "polygon", {"points": ";".join(f"{x:.2f},{y:.2f}" for x, y in corners)}


def _mask(rle: Rle) -> tuple[str, dict[str, object]]:
    return "mask", mask_attributes(decode_mask(rle))


def _meta(name: str, size: int, mode: str, labels: Iterable[str], more: Iterable[str] = ()) -> list[str]:
    listed = [f"      <label><name>{escape(label)}</name><attributes></attributes></label>" for label in labels]
    task = [f"    <name>{escape(name)}</name>", f"    <size>{size}</size>", f"    <mode>{mode}</mode>"]
    frames = [f"    <start_frame>0</start_frame><stop_frame>{max(size - 1, 0)}</stop_frame>"]
    return ["  <meta>", "    <task>", *task, *frames, "      <labels>", *listed, "      </labels>", *more,
            "    </task>", "  </meta>"]  # fmt: skip


def _attributes(values: dict[str, object]) -> str:
    return " ".join(f"{name}={quoteattr(str(value))}" for name, value in values.items())


def _document(lines: Iterable[str]) -> bytes:
    head = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "  <version>1.1</version>"]
    return "\n".join([*head, *lines, "</annotations>", ""]).encode()
